//! What a change of documents does to their review: pure, and the only place that decides it. Whatever is new must be
//! looked at again; what remains of something reviewed stays reviewed; without documents there is nothing to review.

use chrono::{DateTime, Utc};
use proto::profiles::v1::{Credential, VerificationState};
use uuid::Uuid;

/// A specialist's documents and their review, as the row has them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Documents {
    pub(crate) title_id: Option<Uuid>,
    pub(crate) student_card_id: Option<Uuid>,
    pub(crate) graduation_letter_id: Option<Uuid>,
    pub(crate) state: Option<i16>,
    pub(crate) reason: String,
    pub(crate) submission: i32,
    pub(crate) submitted_at: Option<DateTime<Utc>>,
    pub(crate) reviewed_at: Option<DateTime<Utc>>,
}

/// What to do with each document: nothing, or put another or none in its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exchange {
    pub(crate) title: Option<Option<Uuid>>,
    pub(crate) student_card: Option<Option<Uuid>>,
    pub(crate) graduation_letter: Option<Option<Uuid>>,
}

impl Exchange {
    /// The files that come in.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&'static str, Uuid)> {
        [
            ("title_id", self.title),
            ("student_card_id", self.student_card),
            ("graduation_letter_id", self.graduation_letter),
        ]
        .into_iter()
        .filter_map(|(field, file)| Some((field, file??)))
    }

    /// Takes a file away, wherever it is.
    pub(crate) fn without(documents: &Documents, file: Uuid) -> Self {
        let cleared = |present: Option<Uuid>| (present == Some(file)).then_some(None);
        Self {
            title: cleared(documents.title_id),
            student_card: cleared(documents.student_card_id),
            graduation_letter: cleared(documents.graduation_letter_id),
        }
    }
}

impl Documents {
    pub(crate) fn files(&self) -> Vec<Uuid> {
        [self.title_id, self.student_card_id, self.graduation_letter_id].into_iter().flatten().collect()
    }

    pub(crate) fn state(&self) -> VerificationState {
        self.state.and_then(|state| i32::from(state).try_into().ok()).unwrap_or_default()
    }

    pub(crate) fn exchanged(&self, exchange: Exchange, now: DateTime<Utc>) -> Self {
        let places = [
            (self.title_id, exchange.title),
            (self.student_card_id, exchange.student_card),
            (self.graduation_letter_id, exchange.graduation_letter),
        ]
        .map(|(before, after)| (before, after.unwrap_or(before)));
        if places.iter().all(|(before, after)| before == after) {
            return self.clone();
        }
        let [(_, title_id), (_, student_card_id), (_, graduation_letter_id)] = places;
        let submission = self.submission + 1;
        let exchanged = Self { title_id, student_card_id, graduation_letter_id, submission, ..self.clone() };
        let state = if places.iter().all(|(_, after)| after.is_none()) {
            None
        } else if places.iter().any(|(before, after)| after.is_some() && after != before) {
            Some(VerificationState::Pending as i16)
        } else {
            return exchanged;
        };
        Self { state, reason: String::new(), submitted_at: Some(now), reviewed_at: None, ..exchanged }
    }

    pub(crate) fn reviewed(&self, decision: VerificationState, reason: String, now: DateTime<Utc>) -> Self {
        Self { state: Some(decision as i16), reason, reviewed_at: Some(now), ..self.clone() }
    }

    /// What may be believed.
    pub(crate) fn credentials(&self) -> Vec<Credential> {
        if self.state() != VerificationState::Approved {
            return Vec::new();
        }
        [
            (self.student_card_id, Credential::Student),
            (self.title_id, Credential::Title),
            (self.graduation_letter_id, Credential::Graduated),
        ]
        .into_iter()
        .filter_map(|(file, credential)| file.map(|_| credential))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).expect("a time")
    }

    fn titled(file: u128) -> Exchange {
        Exchange { title: Some(Some(Uuid::from_u128(file))), ..Exchange::default() }
    }

    #[test]
    fn what_is_new_waits_for_a_review_and_what_is_not_does_not() {
        let none = Documents::default();
        let pending = none.exchanged(titled(1), now());
        assert_eq!((pending.state(), pending.submission), (VerificationState::Pending, 1));
        assert_eq!(pending.credentials(), []);
        let approved = pending.reviewed(VerificationState::Approved, String::new(), now());
        assert_eq!(approved.credentials(), [Credential::Title]);
        assert_eq!(approved.exchanged(titled(1), now()), approved);
        assert_eq!(approved.exchanged(Exchange::default(), now()), approved);
        let replaced = approved.exchanged(titled(2), now());
        assert_eq!((replaced.state(), replaced.reviewed_at), (VerificationState::Pending, None));
    }

    #[test]
    fn what_remains_of_something_reviewed_stays_so_until_nothing_is_left() {
        let both = Exchange { student_card: Some(Some(Uuid::from_u128(3))), ..titled(1) };
        let both = Documents::default().exchanged(both, now());
        let rejected = both.reviewed(VerificationState::Rejected, "blurred".into(), now());
        let one = rejected.exchanged(Exchange { title: Some(None), ..Exchange::default() }, now());
        assert_eq!((one.state(), one.reason.as_str(), one.submission), (VerificationState::Rejected, "blurred", 2));
        let none = one.exchanged(Exchange::without(&one, Uuid::from_u128(3)), now());
        assert_eq!((none.state, none.reason.as_str(), none.reviewed_at), (None, "", None));
        // The count goes on, so that no review of a former life is taken for one of the next.
        assert_eq!(none.exchanged(titled(1), now()).submission, 4);
    }
}
