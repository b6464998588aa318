//! `/demo/chat`: two people side by side, on the sockets that Agrovet's frontend uses. Plain modules; what they show is
//! what any client can do.

use axum::Router;
use axum::routing::get;

use crate::docs::asset;
use crate::platform::Platform;

pub(crate) fn router() -> Router<Platform> {
    const JS: &str = "text/javascript; charset=utf-8";
    Router::new()
        .route("/demo/chat", get(async || asset("text/html; charset=utf-8", include_bytes!("demo/chat.html"))))
        .route("/demo/icon.svg", get(async || asset("image/svg+xml", include_bytes!("demo/icon.svg"))))
        .route("/demo/chat.css", get(async || asset("text/css; charset=utf-8", include_bytes!("demo/chat.css"))))
        .route("/demo/chat.js", get(async || asset(JS, include_bytes!("demo/chat.js"))))
        .route("/demo/room.js", get(async || asset(JS, include_bytes!("demo/room.js"))))
}
