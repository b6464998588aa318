//! How many statements a page of a list takes.

use std::sync::{Arc, Mutex};

use proto::forum::v1::{
    CommentDepth, CreateCommentRequest, ListCommentsRequest, ListFeedRequest, ListPostsRequest, ListRelevantRequest,
    PostOrder, TimeWindow,
};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::World;

/// The statements that sqlx runs, as it tells in its log.
#[derive(Clone, Default)]
pub(crate) struct Statements(Arc<Mutex<Vec<String>>>);

impl Statements {
    /// As long as the answer lives. One thread serves a test, so this hears of all statements and of no other test's.
    pub(crate) fn listen(&self) -> impl Sized + use<> {
        // Where there is one subscriber, tracing asks it only in the thread that comes by first, perhaps another test's.
        let second = tracing::Dispatch::new(tracing_subscriber::registry());
        (second, tracing::subscriber::set_default(tracing_subscriber::registry().with(self.clone())))
    }

    /// Those since the last call that read or write a table.
    pub(crate) fn take(&self) -> Vec<String> {
        let mut all = std::mem::take(&mut *self.0.lock().unwrap());
        all.retain(|statement| statement.contains("from") || statement.contains("into"));
        all
    }
}

impl<S: Subscriber> Layer<S> for Statements {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "sqlx::query" {
            event.record(&mut self.clone());
        }
    }
}

impl Visit for Statements {
    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}

    fn record_str(&mut self, field: &Field, value: &str) {
        // The statement, or its summary when that is all of it.
        if field.name() == "db.statement" && !value.is_empty() || field.name() == "summary" && !value.ends_with('…') {
            self.0.lock().unwrap().push(value.to_owned());
        }
    }
}

#[tokio::test]
async fn a_page_of_a_list_takes_two_statements() {
    let statements = Statements::default();
    let _listening = statements.listen();
    let world = World::with(&["--writes-per-minute", "1000"]).await;
    let ana = world.person(1);
    let community = ana.found("uno").await.id;
    for n in 0..8 {
        world.pass(1);
        let post_id = ana.post(&format!("Post {n}"), Some(community)).await.id;
        let request = CreateCommentRequest { post_id, content: "Hola".into(), ..Default::default() };
        ana.comments().create_comment(request).await.unwrap();
    }
    statements.take();

    use PostOrder::{Active, Controversial, Hot, New, Top};
    for order in [New, Top, Hot, Active, Controversial] {
        for (community_id, author_id, window) in [
            (None, "", TimeWindow::All),
            (Some(community), "", TimeWindow::All),
            (None, &*ana.id.to_string(), TimeWindow::All),
            (None, "", TimeWindow::Week),
        ] {
            let mut page_token = String::new();
            for page in 1.. {
                let request = ListPostsRequest {
                    page_size: 2,
                    page_token,
                    order: order.into(),
                    community_id,
                    author_id: author_id.to_owned(),
                    window: window.into(),
                    ..Default::default()
                };
                page_token = ana.posts().list_posts(request).await.unwrap().into_inner().next_page_token;
                let taken = statements.take();
                // Who begins to page makes the ranking once: it looks for it, reads the order, writes it and looks again.
                let more = if order != New && page == 2 { 3 } else { 0 };
                assert!(taken.len() <= 2 + more, "page {page} of {order:?} takes {taken:#?}");
                if page_token.is_empty() {
                    break;
                }
            }
        }
    }

    ana.posts().list_feed(ListFeedRequest::default()).await.unwrap();
    assert_eq!(statements.take().len(), 2);
    let comments = Some(CommentDepth { top: 3, replies: 3, levels: 3 });
    ana.posts().list_feed(ListFeedRequest { comments, ..Default::default() }).await.unwrap();
    assert_eq!(statements.take().len(), 3, "comments of all posts come along in one more");
    ana.comments().list_comments(ListCommentsRequest::default()).await.unwrap();
    assert_eq!(statements.take().len(), 2);
    let mut request = ListRelevantRequest { page_size: 2, ..Default::default() };
    request.page_token = ana.posts().list_relevant(request.clone()).await.unwrap().into_inner().next_page_token;
    statements.take();
    ana.posts().list_relevant(request).await.unwrap();
    assert_eq!(statements.take().len(), 2);
}
