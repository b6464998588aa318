use proto::auth::v1::audit_service_client::AuditServiceClient;
use proto::auth::v1::{ListAuditEntriesRequest, ListAuditEntriesResponse};
use tonic::{Code, Status};

use crate::world::{PASSWORD, PHONE, Person, World, phone, reason};

async fn page(person: &Person, user_id: &str, size: i32, token: &str) -> Result<ListAuditEntriesResponse, Status> {
    let request = ListAuditEntriesRequest { user_id: user_id.into(), page_size: size, page_token: token.into() };
    let answer = AuditServiceClient::new(person.peer.clone()).list_audit_entries(request).await;
    answer.map(tonic::Response::into_inner)
}

fn actions(page: &ListAuditEntriesResponse) -> Vec<&str> {
    page.entries.iter().map(|entry| &entry.action[..]).collect()
}

#[tokio::test]
async fn the_owner_reads_what_happened_newest_first_and_page_by_page() {
    let world = World::new().await;
    let ana = world.register(PHONE).await;
    world.advance(1);
    world.log_in(phone(PHONE), "Secreta124").await.unwrap_err();
    world.advance(1);
    world.log_in(phone(PHONE), PASSWORD).await.unwrap();
    let first = page(&ana, "", 2, "").await.unwrap();
    assert_eq!(actions(&first), ["LOGGED_IN", "LOGIN_FAILED"]);
    assert_eq!(first.entries[1].actor_id, "", "nobody was signed in");
    let last = page(&ana, "", 2, &first.next_page_token).await.unwrap();
    assert_eq!(actions(&last), ["REGISTERED"]);
    assert_eq!(last.next_page_token, "");
}

#[tokio::test]
async fn others_do_not_and_administrators_do() {
    let world = World::new().await;
    let (ana, eva, admin) =
        (world.register(PHONE).await, world.register("59171111111").await, world.administrator().await);
    assert_eq!(reason(page(&eva, &ana.account.id, 0, "").await), "NOT_YOURS");
    assert_eq!(actions(&page(&admin, &ana.account.id, 0, "").await.unwrap()), ["REGISTERED"]);
    let mut nobody = AuditServiceClient::new(world.nobody.clone());
    let refused = nobody.list_audit_entries(ListAuditEntriesRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_page_token_is_good_for_its_own_list_only() {
    let world = World::new().await;
    let (ana, admin) = (world.register(PHONE).await, world.administrator().await);
    world.log_in(phone(PHONE), PASSWORD).await.unwrap();
    let token = page(&ana, "", 1, "").await.unwrap().next_page_token;
    assert_eq!(page(&admin, "", 1, &token).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(page(&ana, "", 1, "forged").await.unwrap_err().code(), Code::InvalidArgument);
}
