use proto::media::v1::Folder;
use proto::profiles::v1::profile_input::Details as Input;
use proto::profiles::v1::{
    Credential, DeleteProfileRequest, ListVerificationsRequest, ListVerificationsResponse, Profession, Profile,
    ProfileKind, ReviewVerificationRequest, SpecialistInput, VerificationState,
};
use tonic::Status;
use uuid::Uuid;

use crate::world::{Somebody, World, refused, specialist, verification, vet};

fn title(file: Uuid) -> Input {
    Input::Specialist(SpecialistInput { title_id: Some(file.to_string()), ..SpecialistInput::default() })
}

async fn review(
    admin: &Somebody,
    whose: &Somebody,
    submission: i32,
    decision: VerificationState,
) -> Result<Profile, Status> {
    let request = ReviewVerificationRequest {
        user_id: whose.id.to_string(),
        submission,
        decision: decision.into(),
        reason: "borroso".into(),
    };
    Ok(admin.verifications().review_verification(request).await?.into_inner())
}

async fn list(admin: &Somebody, request: ListVerificationsRequest) -> ListVerificationsResponse {
    admin.verifications().list_verifications(request).await.unwrap().into_inner()
}

/// Somebody with a title that waits for a review.
async fn waiting(world: &World, number: i64) -> Somebody {
    let ana = world.person(number, "Ana");
    ana.create(vet()).await;
    ana.update(title(world.peers.file(ana.id, Folder::Verification))).await;
    ana
}

#[tokio::test]
async fn a_document_proves_nothing_until_an_administrator_says_so() {
    let world = World::start().await;
    let (admin, ben) = (world.admin(), world.person(2, "Ben"));
    let ana = waiting(&world, 1).await;
    let own = ana.see(&ana).await.unwrap();
    assert_eq!((verification(&own).state(), verification(&own).submission), (VerificationState::Pending, 1));
    assert!(specialist(&own).credentials.is_empty());
    world.published().await;

    for _ in 0..2 {
        let approved = review(&admin, &ana, 1, VerificationState::Approved).await.unwrap();
        assert_eq!(verification(&approved).state(), VerificationState::Approved);
        assert!(verification(&approved).title_id.is_some(), "administrators see documents");
    }
    let seen = ben.see(&ana).await.unwrap();
    assert_eq!(specialist(&seen).credentials, [Credential::Title as i32]);
    assert_eq!(specialist(&seen).verification, None);
    assert_eq!(world.published().await.len(), 1, "the same decision again is no change");
    let noted: Vec<(Uuid, bool, Uuid)> = sqlx::query_as("select user_id, approved, reviewer_id from reviews")
        .fetch_all(&world.harness.service.db)
        .await
        .unwrap();
    assert_eq!(noted, [(ana.id, true, admin.id)]);

    ana.update(title(world.peers.file(ana.id, Folder::Verification))).await;
    assert!(specialist(&ben.see(&ana).await.unwrap()).credentials.is_empty(), "another document is unproven again");
}

#[tokio::test]
async fn a_rejection_has_a_reason_and_a_new_document_another_chance() {
    let world = World::start().await;
    let admin = world.admin();
    let ana = waiting(&world, 1).await;
    let rejected = review(&admin, &ana, 1, VerificationState::Rejected).await.unwrap();
    assert_eq!(verification(&rejected).reason, "borroso");
    let own = ana.see(&ana).await.unwrap();
    assert_eq!(
        (verification(&own).state(), verification(&own).reason.as_str()),
        (VerificationState::Rejected, "borroso")
    );
    let again = ana.update(title(world.peers.file(ana.id, Folder::Verification))).await;
    assert_eq!((verification(&again).state(), verification(&again).reason.as_str()), (VerificationState::Pending, ""));
    refused!(review(&admin, &ana, 1, VerificationState::Approved).await, Aborted, "SUBMISSION_CHANGED");
    assert!(review(&admin, &ana, 2, VerificationState::Approved).await.is_ok());
    let none = Input::Specialist(SpecialistInput { title_id: Some(String::new()), ..SpecialistInput::default() });
    let none = ana.update(none).await;
    assert_eq!((verification(&none).state(), verification(&none).title_id), (VerificationState::Unspecified, None));
    refused!(review(&admin, &ana, 3, VerificationState::Approved).await, FailedPrecondition, "NO_DOCUMENTS");
}

#[tokio::test]
async fn a_review_of_a_former_profile_is_none_of_the_next() {
    let world = World::start().await;
    let admin = world.admin();
    let ana = waiting(&world, 1).await;
    ana.profiles()
        .delete_profile(DeleteProfileRequest { user_id: ana.id.to_string(), kind: ProfileKind::Specialist.into() })
        .await
        .unwrap();
    ana.create(vet()).await;
    ana.update(title(world.peers.file(ana.id, Folder::Verification))).await;
    assert_eq!(verification(&ana.see(&ana).await.unwrap()).submission, 2);
    refused!(review(&admin, &ana, 1, VerificationState::Approved).await, Aborted, "SUBMISSION_CHANGED");
}

#[tokio::test]
async fn documents_of_a_profile_that_is_made_while_the_former_one_goes_are_another_submission() {
    let world = World::start().await;
    let admin = world.admin();
    let ana = waiting(&world, 1).await;
    // Holds up the removal behind all that it changes, before its commit.
    let mut shut = world.harness.service.db.begin().await.unwrap();
    sqlx::query("lock table outbox in access exclusive mode").execute(&mut *shut).await.unwrap();
    let removal = tokio::spawn({
        let ana = ana.clone();
        async move {
            let request = DeleteProfileRequest { user_id: ana.id.to_string(), kind: ProfileKind::Specialist.into() };
            ana.profiles().delete_profile(request).await.unwrap();
        }
    });
    testkit::eventually("the removal waits", async || world.blocked().await == 1).await;
    let unseen = Input::Specialist(SpecialistInput {
        profession: Some(Profession::Agronomist.into()),
        title_id: Some(world.peers.file(ana.id, Folder::Verification).to_string()),
        ..SpecialistInput::default()
    });
    let making = tokio::spawn({
        let ana = ana.clone();
        async move { ana.create(unseen).await }
    });
    testkit::eventually("the next profile waits for it", async || world.blocked().await == 2).await;
    shut.rollback().await.unwrap();
    removal.await.unwrap();
    assert_eq!(verification(&making.await.unwrap()).submission, 2);
    refused!(review(&admin, &ana, 1, VerificationState::Approved).await, Aborted, "SUBMISSION_CHANGED");
    assert!(review(&admin, &ana, 2, VerificationState::Approved).await.is_ok());
}

#[tokio::test]
async fn only_administrators_review_and_never_themselves() {
    let world = World::start().await;
    let (admin, ben) = (world.admin(), world.person(2, "Ben"));
    let ana = waiting(&world, 1).await;
    refused!(review(&ana, &ana, 1, VerificationState::Approved).await, PermissionDenied, "ROLE_MISSING");
    refused!(review(&admin, &ben, 1, VerificationState::Approved).await, NotFound, "PROFILE_NOT_FOUND");
    refused!(review(&admin, &ana, 1, VerificationState::Pending).await, InvalidArgument, "INVALID_FIELDS");
    let request = ListVerificationsRequest::default();
    refused!(ana.verifications().list_verifications(request).await, PermissionDenied, "ROLE_MISSING");
    admin.create(vet()).await;
    admin.update(title(world.peers.file(admin.id, Folder::Verification))).await;
    refused!(review(&admin, &admin, 1, VerificationState::Approved).await, PermissionDenied, "SELF_NOT_REVIEWABLE");
}

#[tokio::test]
async fn documents_are_private_files_of_the_specialist() {
    let world = World::start().await;
    let (ana, ben) = (world.person(1, "Ana"), world.person(2, "Ben"));
    ana.create(vet()).await;
    let public = world.peers.file(ana.id, Folder::Portfolio);
    refused!(ana.try_update(&ana, title(public)).await, InvalidArgument, "NOT_PRIVATE");
    let others = world.peers.file(ben.id, Folder::Verification);
    refused!(ana.try_update(&ana, title(others)).await, InvalidArgument, "MEDIA_UNKNOWN");
    let nonsense = SpecialistInput { title_id: Some("7".into()), ..SpecialistInput::default() };
    refused!(ana.try_update(&ana, Input::Specialist(nonsense)).await, InvalidArgument, "INVALID_FIELDS");
}

#[tokio::test]
async fn of_two_administrators_at_once_one_decision_stands_and_both_are_noted() {
    let world = World::start().await;
    let admin = world.admin();
    let ana = waiting(&world, 1).await;
    let decide = |decision| {
        let (admin, ana) = (admin.clone(), ana.clone());
        tokio::spawn(async move { review(&admin, &ana, 1, decision).await.unwrap() })
    };
    for decision in [decide(VerificationState::Approved), decide(VerificationState::Rejected)] {
        decision.await.unwrap();
    }
    let noted: Vec<bool> = sqlx::query_scalar("select approved from reviews order by id")
        .fetch_all(&world.harness.service.db)
        .await
        .unwrap();
    let state = verification(&ana.see(&ana).await.unwrap()).state();
    assert_eq!((noted.len(), noted[1]), (2, state == VerificationState::Approved));
}

#[tokio::test]
async fn pending_documents_come_first_and_pages_follow_one_another() {
    let world = World::start().await;
    let admin = world.admin();
    let mut people = Vec::new();
    for number in 1..=5 {
        world.harness.clock.advance(std::time::Duration::from_secs(60));
        people.push(waiting(&world, number).await);
    }
    world.person(6, "Eva").create(vet()).await;
    review(&admin, &people[0], 1, VerificationState::Approved).await.unwrap();
    review(&admin, &people[1], 1, VerificationState::Rejected).await.unwrap();
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListVerificationsRequest { page_size: 2, page_token, ..Default::default() };
        let page = list(&admin, request).await;
        assert_eq!(page.total_size, 5);
        seen.extend(page.profiles.iter().map(|profile| profile.user_number));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, [3, 4, 5, 1, 2]);
    let pending = ListVerificationsRequest { state: VerificationState::Pending.into(), skip: 1, ..Default::default() };
    let page = list(&admin, pending).await;
    let seen: Vec<_> = page.profiles.iter().map(|profile| profile.user_number).collect();
    assert_eq!((seen, page.total_size), (vec![4, 5], 3));
}
