//! The results as Markdown. What people wrote below the marker, about why and what next, stays when the numbers change.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::platform::FOUNDATION;
use crate::process::Memory;
use crate::rounds::{Plan, Series};

const MARKER: &str = "<!-- Written by hand from here on; `make bench` keeps it. -->";

/// How long one service took to be ready.
pub(crate) struct Start {
    pub(crate) name: &'static str,
    pub(crate) ms: f64,
}

/// Everything that was measured. The series stand in the order in which `run` made them.
pub(crate) struct Report {
    pub(crate) machine: Vec<String>,
    pub(crate) plan: Plan,
    pub(crate) idle: Duration,
    pub(crate) memory: Vec<(String, Memory)>,
    pub(crate) starts: Vec<Start>,
    pub(crate) reads: Vec<Series>,
    pub(crate) ads: Vec<Series>,
    pub(crate) echoes: Vec<Series>,
}

/// How much more an answer costs than from one process: all that is spent for it, and what the processes alone spend.
struct Ratio {
    all: f64,
    processes: f64,
}

impl Ratio {
    fn of(platform: &Series, single: &Series) -> Self {
        Self {
            all: platform.against(single, |m| m.cpu_us() + m.postgres_us),
            processes: platform.against(single, |m| m.cpu_us()),
        }
    }

    fn verdict(&self) -> &'static str {
        match (self.all <= 2.0, self.processes <= 2.0) {
            (true, true) => "met",
            (true, false) => "met with PostgreSQL, **missed** without",
            (false, _) => "**missed**",
        }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} × with PostgreSQL, {:.2} × without", self.all, self.processes)
    }
}

struct Goal {
    what: &'static str,
    measured: String,
    verdict: &'static str,
}

fn met(met: bool) -> &'static str {
    if met { "met" } else { "**missed**" }
}

impl Report {
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        write(path, &self.tables())
    }

    pub(crate) fn tables(&self) -> String {
        let parts = [
            self.heading(),
            self.goals(),
            self.reads(),
            self.ads(),
            self.echoes(),
            self.memory(),
            self.starts(),
            self.method(),
        ];
        parts.join("\n")
    }

    fn heading(&self) -> String {
        let machine = self.machine.iter().fold(String::new(), |text, line| text + "* " + line + "\n");
        let mut text = format!("# Results of `make bench`\n\n{machine}");
        let others = self.reads.iter().chain(&self.ads).chain(&self.echoes);
        let others = others.flat_map(|series| &series.rounds).map(|round| round.others);
        let others = crate::rounds::median(others.collect());
        let _ = writeln!(text, "* Used by others during the rounds, median: {:.0} % of the machine", others * 100.0);
        if others > 0.1 {
            text += "\n**The machine was busy with other work: times are too high, and only ratios mean something.**\n";
        }
        text
    }

    fn goals(&self) -> String {
        let [single_a, many_a, one_a, single_c, many_c, one_c, _] = &*self.reads else { return String::new() };
        let [single_ads, many_ads, one_ads] = &*self.ads else { return String::new() };
        let [many_a, many_c] = [Ratio::of(many_a, single_a), Ratio::of(many_c, single_c)];
        let [one_a, one_c] = [Ratio::of(one_a, single_a), Ratio::of(one_c, single_c)];
        let (many_ads, one_ads) = (Ratio::of(many_ads, single_ads), Ratio::of(one_ads, single_ads));
        let echo = self.echoes[3].against(&self.echoes[0], |m| m.cpu_us());
        let foundation = self.memory.iter().filter(|(name, _)| FOUNDATION.contains(&name.as_str()));
        let resident = foundation.map(|(_, memory)| memory.pss_kb).sum::<u64>() as f64 / 1024.0;
        let slowest = self.starts.iter().max_by(|a, b| a.ms.total_cmp(&b.ms));
        let slowest = slowest.map_or((f64::NAN, ""), |start| (start.ms, start.name));
        let goals = [
            Goal {
                what: "Agrovet's `users/me` by separate processes ≤ 2.0 × the CPU that it costs by one axum process",
                measured: many_a.to_string(),
                verdict: many_a.verdict(),
            },
            Goal { what: "the same by `plaza up`", measured: one_a.to_string(), verdict: one_a.verdict() },
            Goal {
                what: "Conectar's `users/me` by separate processes ≤ 2.0 × the CPU that it costs by one axum process",
                measured: many_c.to_string(),
                verdict: many_c.verdict(),
            },
            Goal { what: "the same by `plaza up`", measured: one_c.to_string(), verdict: one_c.verdict() },
            Goal {
                what: "a list of 20 ads by separate processes ≤ 2.0 × the CPU that it costs by one axum process",
                measured: many_ads.to_string(),
                verdict: many_ads.verdict(),
            },
            Goal { what: "the same by `plaza up`", measured: one_ads.to_string(), verdict: one_ads.verdict() },
            Goal {
                what: "REST → `kit` → gRPC echo ≤ 2.4 × bare tonic's CPU",
                measured: format!("{echo:.2} ×"),
                verdict: met(echo <= 2.4),
            },
            Goal {
                what: "idle memory of auth, users, media and edge-gateway together ≤ 120 MB",
                measured: format!("{resident:.0} MB (PSS: what they share counted once)"),
                verdict: met(resident <= 120.0),
            },
            Goal {
                what: "each service ready in ≤ 150 ms",
                measured: format!("{:.0} ms (slowest: {})", slowest.0, slowest.1),
                verdict: met(slowest.0 <= 150.0),
            },
        ];
        let mut text = "## Goals\n\n| goal | measured | |\n| --- | --- | --- |\n".to_owned();
        for Goal { what, measured, verdict } in goals {
            let _ = writeln!(text, "| {what} | {measured} | {verdict} |");
        }
        text
    }

    fn reads(&self) -> String {
        let [single_a, .., pgbench] = &*self.reads else { return String::new() };
        let mut text = "## `GET users/me`\n\nAgrovet's shows one's profile too, which is a second call.\n\n".to_owned();
        text += &table(&self.reads, |series| {
            let single = if series.subject.name.ends_with("Conectar") { &self.reads[3] } else { single_a };
            let own =
                series.subject.servers.first() != single.subject.servers.first() && !series.subject.servers.is_empty();
            own.then_some(single)
        });
        let _ = writeln!(
            text,
            "\nPostgreSQL itself needs {:.0} µs for this select when pgbench asks (its latency is an average).",
            pgbench.median(|m| m.postgres_us),
        );
        text + &spent(&[&self.reads[1], &self.reads[4]])
    }

    fn ads(&self) -> String {
        let single = &self.ads[0];
        let mut text = "## `GET adds/?page_size=20`\n\n".to_owned();
        text += &table(&self.ads, |series| (series.subject.name != single.subject.name).then_some(single));
        text += "\nTwenty ads of as many people, with two pictures each: one call to `marketplace`, then one to `users` and one \
                 to `media` at once.\n";
        text + &spent(&[&self.ads[1]])
    }

    fn echoes(&self) -> String {
        let tonic = &self.echoes[0];
        let mut text = "## A tiny RPC\n\n".to_owned();
        text += &table(&self.echoes, |series| (series.subject.name != tonic.subject.name).then_some(tonic));
        text
    }

    fn rss_kb(&self, of: impl Fn(&str) -> bool) -> u64 {
        self.memory.iter().filter(|(name, _)| of(name)).map(|(_, memory)| memory.rss_kb).sum()
    }

    fn memory(&self) -> String {
        let mut text = format!("## Memory, {} s after the start and without requests\n\n", self.idle.as_secs());
        text += "| process | RSS, MB | PSS, MB |\n| --- | ---: | ---: |\n";
        let mb = |kb: u64| kb as f64 / 1024.0;
        for (name, memory) in &self.memory {
            let _ = writeln!(text, "| {} | {:.1} | {:.1} |", label(name), mb(memory.rss_kb), mb(memory.pss_kb));
        }
        let pss = self.memory.iter().filter(|(name, _)| name != "plaza").map(|(_, memory)| memory.pss_kb).sum();
        let _ = writeln!(
            text,
            "| **the separate ones together** | **{:.1}** | **{:.1}** |",
            mb(self.rss_kb(|name| name != "plaza")),
            mb(pss)
        );
        text
    }

    fn starts(&self) -> String {
        let mut text = "## From start to ready\n\n| service | ms |\n| --- | ---: |\n".to_owned();
        for Start { name, ms } in &self.starts {
            let _ = writeln!(text, "| {name} | {ms:.0} |");
        }
        text
    }

    fn method(&self) -> String {
        let Plan { rounds, seconds, connections } = self.plan;
        format!(
            "## Method\n\n\
             Built as it is shipped (`make build`), one run, everything on this machine over 127.0.0.1. {rounds} rounds; in each round every \
             line of a table is measured once for {seconds} s, in an order that turns round, and a ratio is the median \
             of the ratios within each round. All other figures are medians over the rounds.\n\n\
             * Load comes from a process of its own with {connections} connections, each with one request at a time, \
             after a warm-up of 0.3 s. Its CPU is not counted.\n\
             * CPU is user and system time of the server processes by /proc, divided by the requests answered; that of \
             PostgreSQL stands beside it. In brackets: the lowest and highest round. Goals are about all that an answer \
             costs on the machine, PostgreSQL's part with it, and told for the processes alone as well, as × is in the \
             tables.\n\
             * *separate processes* are the services and edge-gateway, each a process of its own, with mutual TLS \
             between them, logs and metrics on; all of them run from one file, \
             `plaza`, under their names. *plaza up* is the same in one process. Both without rate limits.\n\
             * *one axum process* checks the token with the same code and the same memory of verified tokens, sends \
             the same queries and answers the same JSON (compared before the rounds); it has no request ids, metrics, \
             logs, CORS, deadlines, revocations or gRPC.\n\
             * *tonic* answers the same messages without any layer. *REST → kit → kit's server* are two processes \
             without TLS, like tonic; *with mutual TLS* is as outside of Linkerd.\n\
             * Ready: from the start of one more process to 200 at /readyz, with migrated databases.\n"
        )
    }
}

/// Writes a file of tables; keeps what stands below the marker.
pub(crate) fn write(path: &Path, tables: &str) -> anyhow::Result<()> {
    let former = fs::read_to_string(path).unwrap_or_default();
    let by_hand = former.split_once(MARKER).map_or("\n", |(_, by_hand)| by_hand);
    Ok(fs::write(path, format!("{tables}\n{MARKER}{by_hand}"))?)
}

fn label(name: &str) -> &str {
    if name == "plaza" { "plaza up (all in one)" } else { name }
}

/// Which process spends how much.
fn spent(all: &[&Series]) -> String {
    let mut text = "\nWhere the separate processes spend it, µs per request:\n\n".to_owned();
    let names: Vec<_> = all[0].subject.servers.iter().map(|(name, _)| name.as_str()).collect();
    let _ = writeln!(text, "| | {} |\n| --- |{}", names.join(" | "), " ---: |".repeat(names.len()));
    for series in all {
        let each: Vec<_> = (0..names.len()).map(|at| format!("{:.1}", series.median(|m| m.servers_us[at]))).collect();
        let _ = writeln!(text, "| {} | {} |", series.subject.name, each.join(" | "));
    }
    text
}

/// Rates, times and CPU; and how much more CPU than what `yardstick` names.
fn table<'a>(all: &'a [Series], yardstick: impl Fn(&'a Series) -> Option<&'a Series>) -> String {
    let mut text = "| | requests/s | p50 ms | p99 ms | CPU µs/request | × | PostgreSQL µs/request |\n\
                    | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        .to_owned();
    for series in all {
        let ours = !series.subject.servers.is_empty();
        let cpu: Vec<_> = series.rounds.iter().map(|round| round.cpu_us()).collect();
        let (low, high) = cpu.iter().fold((f64::MAX, 0.0_f64), |(low, high), us| (low.min(*us), high.max(*us)));
        let p99 = if ours { format!("{:.2}", series.median(|m| m.p99_ms)) } else { "–".into() };
        let spent =
            if ours { format!("{:.1} ({low:.1}–{high:.1})", series.median(|m| m.cpu_us())) } else { "–".into() };
        let ratio =
            yardstick(series).map_or(String::new(), |other| format!("{:.2}", series.against(other, |m| m.cpu_us())));
        let postgres = series.median(|m| m.postgres_us);
        let postgres = if postgres >= 1.0 { format!("{postgres:.1}") } else { "–".into() };
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.2} | {p99} | {spent} | {ratio} | {postgres} |",
            series.subject.name,
            series.median(|m| m.per_second),
            series.median(|m| m.p50_ms),
        );
    }
    text
}
