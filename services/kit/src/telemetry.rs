//! Logs, traces and metrics of a process. One log line is one JSON object (or text on a terminal); traces go out by
//! OTLP when an endpoint is configured; metrics are read at `/metrics` on the admin port.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::context::{Context, TRACEPARENT};

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();
static TRACES: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Upper bounds in seconds; the gateway's contract names the coarse ones.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0];

/// Starts logs, metrics and traces of the process; inside a runtime, once. Reads `LOG` (such as `info,users=debug`),
/// `LOG_FORMAT` (`json` or `text`) and `OTEL_EXPORTER_OTLP_ENDPOINT`.
pub fn init(service: &str) -> anyhow::Result<()> {
    init_with(service, "info,sqlx=warn")
}

/// The same with another filter for when `LOG` says nothing.
pub fn init_with(service: &str, filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_env("LOG").unwrap_or_else(|_| EnvFilter::new(filter));
    let text = match std::env::var("LOG_FORMAT").as_deref() {
        Ok("json") => false,
        Ok("text") => true,
        _ => std::io::stderr().is_terminal(),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let (text, json) = if text {
        (Some(lines.with_target(false)), None)
    } else {
        (
            None,
            Some(
                tracing_subscriber::fmt::layer()
                    .with_writer(std::io::stderr)
                    .json()
                    .flatten_event(true)
                    .with_current_span(true)
                    .with_span_list(false),
            ),
        )
    };
    let traces = match std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT") {
        Ok(endpoint) if !endpoint.is_empty() => {
            let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
            let resource = Resource::builder().with_service_name(service.to_owned()).build();
            let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
            let tracer = provider.tracer("plaza");
            let _ = TRACES.set(provider);
            Some(tracing_opentelemetry::layer().with_tracer(tracer))
        }
        _ => None,
    };
    tracing_subscriber::registry().with(filter).with(text).with(json).with(traces).try_init()?;

    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
        .install_recorder()?;
    let upkeep = recorder.clone();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_secs(5));
        loop {
            tick.tick().await;
            upkeep.run_upkeep();
        }
    });
    let _ = METRICS.set(recorder);
    Ok(())
}

/// Sends what traces are left. Blocks; call it outside of the runtime's threads.
pub fn shutdown() {
    if let Some(provider) = TRACES.get() {
        let _ = provider.shutdown();
    }
}

/// The metrics in Prometheus's text format; empty when [`init`] was not called.
pub fn metrics() -> String {
    METRICS.get().map(PrometheusHandle::render).unwrap_or_default()
}

/// Makes `span` a child of the trace the request belongs to, and the request's onward calls children of `span`.
/// Without an exporter the incoming `traceparent` is passed on as it is.
pub fn continue_trace(span: &Span, context: &mut Context) {
    if TRACES.get().is_none() {
        return;
    }
    let propagator = TraceContextPropagator::new();
    if let Some(parent) = &context.traceparent {
        let carrier = std::collections::HashMap::from([(TRACEPARENT.to_owned(), parent.to_string())]);
        let _ = span.set_parent(propagator.extract(&carrier));
    }
    let mut carrier = std::collections::HashMap::<String, String>::new();
    propagator.inject_context(&span.context(), &mut carrier);
    if let Some(own) = carrier.remove(TRACEPARENT) {
        context.traceparent = Some(own.into());
    }
}
