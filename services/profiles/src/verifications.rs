//! The review of documents. An administrator decides about what was looked at: documents that changed meanwhile are
//! another submission, and wait for their own review.

use kit::error::{aborted, denied, refused};
use kit::identity::caller;
use kit::page;
use kit::wire::parse_id;
use proto::profiles::v1::verification_service_server::VerificationService;
use proto::profiles::v1::{
    ListVerificationsRequest, ListVerificationsResponse, Profile, ReviewVerificationRequest, VerificationState,
};
use sqlx::PgExecutor;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::documents::Documents;
use crate::events::publish_updated;
use crate::profiles::{Turn, count_verifications, list_verifications, lock_profile, update_documents};
use crate::{Profiles, no_such_profile};

#[tonic::async_trait]
impl VerificationService for Profiles {
    async fn list_verifications(
        &self,
        request: Request<ListVerificationsRequest>,
    ) -> Result<Response<ListVerificationsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let states = match request.state() {
            VerificationState::Unspecified => (VerificationState::Pending as i16, VerificationState::Rejected as i16),
            state => (state as i16, state as i16),
        };
        let scope = format!("ListVerifications {states:?}");
        let after = self.pager.open::<Turn>(&scope, &request.page_token)?;
        let size = page::size(request.page_size, 20, 100);
        let mut rows = list_verifications(&self.db, states, after, size + 1, request.skip.into()).await?;
        let total_size = count_verifications(&self.db, states).await?;

        let more = rows.len() as i64 > size;
        rows.truncate(size as usize);
        let last = rows.last().and_then(|row| Some((row.documents.state?, row.documents.submitted_at?, row.id)));
        let next_page_token = match last {
            Some(turn) if more => self.pager.seal(&scope, &turn)?,
            _ => String::new(),
        };
        let profiles = rows.into_iter().map(|row| row.shown_to(Some(caller))).collect();
        Ok(Response::new(ListVerificationsResponse { profiles, next_page_token, total_size }))
    }

    async fn review_verification(
        &self,
        request: Request<ReviewVerificationRequest>,
    ) -> Result<Response<Profile>, Status> {
        let caller = caller(&request)?;
        let review = request.into_inner();
        let user_id = parse_id("user_id", &review.user_id)?;
        if user_id == caller.id {
            return Err(denied("SELF_NOT_REVIEWABLE", "nobody verifies themselves").into());
        }
        let decision = review.decision();
        let now = self.clock.now();

        let mut tx = kit::db::begin(&self.db).await?;
        let row = lock_profile(&mut tx, user_id).await?.ok_or_else(no_such_profile)?;
        if row.documents.state.is_none() {
            return Err(refused("NO_DOCUMENTS", "there is nothing to review").into());
        }
        if row.documents.submission != review.submission {
            return Err(aborted("SUBMISSION_CHANGED", "the documents are others by now").into());
        }
        let reason = if decision == VerificationState::Rejected { review.reason } else { String::new() };
        if row.documents.state() == decision && row.documents.reason == reason {
            return Ok(Response::new(row.shown_to(Some(caller))));
        }
        let documents = row.documents.reviewed(decision, reason, now);
        let row = update_documents(&mut tx, row.id, &documents, now).await?;
        insert_review(&mut *tx, user_id, &documents, caller.id).await?;
        publish_updated(&mut tx, &row).await?;
        kit::db::commit(tx).await?;
        Ok(Response::new(row.shown_to(Some(caller))))
    }
}

async fn insert_review(
    db: impl PgExecutor<'_>,
    user_id: Uuid,
    documents: &Documents,
    reviewer_id: Uuid,
) -> kit::Result<()> {
    sqlx::query!(
        "insert into reviews (user_id, submission, documents, approved, reason, reviewer_id, reviewed_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
        user_id,
        documents.submission,
        &documents.files(),
        documents.state() == VerificationState::Approved,
        documents.reason,
        reviewer_id,
        documents.reviewed_at
    )
    .execute(db)
    .await?;
    Ok(())
}

pub(crate) async fn delete_reviews(db: impl PgExecutor<'_>, user_id: Uuid) -> kit::Result<()> {
    sqlx::query!("delete from reviews where user_id = $1", user_id).execute(db).await?;
    Ok(())
}
