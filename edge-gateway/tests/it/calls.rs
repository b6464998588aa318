//! How many calls the edge makes for a page, and which of them at once.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::files::{form, photo};
use crate::world::World;

const REQUEST: &str = "calls-of-this-request";

/// The calls that services on this thread answer for one request, by what they write into their traces.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Noted>>);

#[derive(Default)]
struct Noted {
    open: HashMap<u64, String>,
    /// `+` and a method when it begins, `-` when it ends.
    all: Vec<String>,
}

impl Calls {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("nothing panics under this lock").all)
    }

    fn has(&self, call: &str) -> bool {
        self.0.lock().expect("nothing panics under this lock").all.iter().any(|noted| noted == call)
    }
}

#[derive(Default)]
struct Fields(HashMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl<S: Subscriber> Layer<S> for Calls {
    fn on_new_span(&self, span: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        let mut fields = Fields::default();
        span.record(&mut fields);
        let Fields(mut fields) = fields;
        if let Some(path) = fields.remove("rpc.method")
            && fields.get("request.id").is_some_and(|id| id == REQUEST)
        {
            let method = path.rsplit('/').next().unwrap_or_default().to_owned();
            let mut noted = self.0.lock().expect("nothing panics under this lock");
            noted.all.push(format!("+{method}"));
            noted.open.insert(id.into_u64(), method);
        }
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        let mut noted = self.0.lock().expect("nothing panics under this lock");
        if let Some(method) = noted.open.remove(&id.into_u64()) {
            noted.all.push(format!("-{method}"));
        }
    }
}

#[tokio::test]
async fn a_page_of_ads_takes_one_call_and_then_two_at_once() {
    let world = World::start().await;
    let sellers = [
        world.agrovet("Ana", "59170000001", "Specialist").await,
        world.agrovet("Beto", "59170000002", "businessman").await,
    ];
    for n in 0..20 {
        let seller = &sellers[n % 2];
        let picture = form("image", "toro.jpg", photo(n as u8));
        let picture = world.ask(world.post("/api/media/").bearer_auth(&seller.token).multipart(picture)).await;
        let id = &picture.body["id"];
        world.offers(seller, json!({ "main_image_id": id, "secondary_image_ids": [id] })).await;
    }
    let calls = Calls::default();
    let _guard = tracing_subscriber::registry().with(calls.clone()).set_default();
    let page = || world.get("/api/adds/?page_size=20").header("x-request-id", REQUEST);

    let answer = world.ask(page()).await;
    let shown = answer.body["results"].as_array().expect("a page");
    assert_eq!(shown.len(), 20);
    assert!(
        shown.iter().all(|add| add["main_image"]["url"].is_string()
            && ["Ana", "Beto"].iter().any(|name| add["publisher_name"] == *name))
    );
    let mut noted = calls.take();
    assert_eq!(noted[..2], ["+ListAds", "-ListAds"]);
    noted.retain(|call| call.starts_with('+'));
    noted.sort_unstable();
    assert_eq!(noted, ["+BatchGetMedia", "+BatchGetUsers", "+ListAds"]);

    // Whichever of the two takes long, the other one does not wait for it.
    for (service, table, slow, other) in
        [("users", "people", "BatchGetUsers", "BatchGetMedia"), ("media", "files", "BatchGetMedia", "BatchGetUsers")]
    {
        let mut holder = PgConnection::connect(&world.databases[service].url).await.expect("the database answers");
        let mut tx = holder.begin().await.expect("a transaction");
        let lock = AssertSqlSafe(format!("lock table {table} in access exclusive mode"));
        sqlx::query(lock).execute(&mut *tx).await.expect("the table is locked");
        let waiting = tokio::spawn(page().send());
        testkit::eventually("the other call is answered", async || calls.has(&format!("-{other}"))).await;
        testkit::eventually("the slow call is made", async || calls.has(&format!("+{slow}"))).await;
        assert!(!calls.has(&format!("-{slow}")));
        tx.rollback().await.expect("the table is free");
        let answer = waiting.await.expect("no panic").expect("the edge answers");
        assert_eq!(answer.status(), 200);
        calls.take();
    }
}
