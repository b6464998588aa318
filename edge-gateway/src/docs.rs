//! `/docs`: the OpenAPI documents of both dialects and a viewer that needs nothing from elsewhere.

use std::sync::LazyLock;

use axum::Router;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use utoipa::openapi::OpenApi;

use crate::agrovet::Agrovet;
use crate::conectar::Conectar;
use crate::dialect::Dialect;
use crate::platform::Platform;

pub fn router() -> Router<Platform> {
    Router::new()
        .route("/docs", get(async || asset("text/html; charset=utf-8", include_bytes!("docs/index.html"))))
        .route(
            "/docs/viewer.js",
            get(async || asset("text/javascript; charset=utf-8", include_bytes!("docs/viewer.js"))),
        )
        .route("/docs/viewer.css", get(async || asset("text/css; charset=utf-8", include_bytes!("docs/viewer.css"))))
        .route("/openapi/agrovet.json", get(async || document("application/json", &AGROVET)))
        .route("/openapi/conectar.json", get(async || document("application/json", &CONECTAR)))
        // Where the old platforms had their documents; the front must know these paths, too.
        .route("/swagger.json", get(async || document("application/json", &AGROVET)))
        // Whatever is JSON is YAML.
        .route("/swagger.yaml", get(async || document("application/yaml", &AGROVET)))
        .route("/swagger", get(async || Redirect::permanent("/docs")))
        .route("/redoc", get(async || Redirect::permanent("/docs")))
}

/// The document of Agrovet's dialect.
pub fn agrovet() -> OpenApi {
    let about = "REST API of Agrovet. Every path is served with and without a trailing slash.";
    Agrovet::routes().document("Agrovet", &[about, crate::agrovet::chat::frames::ABOUT].join("\n\n"), "/")
}

/// The document of Conectar's dialect.
pub fn conectar() -> OpenApi {
    let about = "REST API of ConectarProfesionales, under `/api/v1`, `/api/v2`, `/api` and without a prefix.";
    let about = [about, crate::conectar::chat::frames::ABOUT].join("\n\n");
    Conectar::routes().document("ConectarProfesionales", &about, "/api/v1")
}

static AGROVET: LazyLock<Bytes> = LazyLock::new(|| written(agrovet()));
static CONECTAR: LazyLock<Bytes> = LazyLock::new(|| written(conectar()));

fn written(document: OpenApi) -> Bytes {
    document.to_json().expect("the document is made of texts and numbers").into()
}

fn document(kind: &'static str, document: &'static LazyLock<Bytes>) -> Response {
    ([(CONTENT_TYPE, kind)], Bytes::clone(document)).into_response()
}

pub(crate) fn asset(kind: &'static str, bytes: &'static [u8]) -> Response {
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, "default-src 'self'; frame-ancestors 'none'"),
    ];
    (headers, bytes).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;

    use super::*;

    fn check(document: OpenApi) {
        let document: Value = serde_json::to_value(document).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let mut ids = HashSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let id = operation["operationId"].as_str().unwrap().to_owned();
                assert!(ids.insert(id), "{method} {path} has somebody else's operationId");
                assert!(!operation["tags"][0].as_str().unwrap().is_empty(), "{method} {path} stands in no area");
                assert!(!operation["responses"].as_object().unwrap().is_empty());
                let named =
                    |p: &Value| p["in"] != "path" || path.contains(&format!("{{{}}}", p["name"].as_str().unwrap()));
                assert!(operation["parameters"].as_array().into_iter().flatten().all(named), "{method} {path}");
            }
        }
        // Every reference leads somewhere.
        let text = document.to_string();
        for part in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(document["components"]["schemas"].get(name).is_some(), "{name} is not described");
        }
    }

    #[test]
    fn both_documents_hold_together() {
        check(agrovet());
        check(conectar());
    }
}
