//! What a page of rows shows of people and files: one call for each kind, whatever the number of rows. A row does not
//! depend on them: what cannot be had is left out, and the row is shown all the same.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;

use proto::users::v1::{BatchGetUsersRequest, User, UserView};
use tonic::{Response, Status};

use crate::Edge;
use crate::address::Base;
use crate::auth::unsigned;

/// How many ids one call may name; the services refuse more.
const MOST: usize = 500;

/// People by id, as much of each as `USER_VIEW_BASIC` tells.
#[derive(Default)]
pub struct People(HashMap<String, User>);

impl FromIterator<User> for People {
    fn from_iter<I: IntoIterator<Item = User>>(users: I) -> Self {
        Self(users.into_iter().map(|user| (user.id.clone(), user)).collect())
    }
}

impl People {
    pub fn get(&self, id: &str) -> Option<&User> {
        self.0.get(id)
    }

    /// First name, or `User 17` when there is none or nobody can say.
    pub fn name(&self, id: &str, number: i64) -> String {
        let name = self.get(id).map(|user| user.first_name.as_str()).filter(|name| !name.is_empty());
        name.map_or_else(|| format!("User {number}"), str::to_owned)
    }

    /// URL of the picture.
    pub fn picture(&self, id: &str, base: &Base) -> Option<String> {
        self.get(id)?.avatar_path.as_deref().map(|path| base.absolute(path))
    }
}

/// The people with these ids. The edge asks in its own name, because anonymous readers see names too.
pub async fn people(edge: &Edge, ids: impl IntoIterator<Item = &str>) -> People {
    let users = fetch(ids, |ids| {
        let mut users = edge.users();
        let request = BatchGetUsersRequest { ids, view: UserView::Basic.into(), ..Default::default() };
        unsigned(async move { users.batch_get_users(request).await })
    });
    users.await.into_iter().flat_map(|answer| answer.users).collect()
}

/// Asks for each id once; no call when there is none to ask for, and more than one only beyond [`MOST`].
pub async fn fetch<'a, A, F>(ids: impl IntoIterator<Item = &'a str>, ask: impl Fn(Vec<String>) -> F) -> Vec<A>
where
    F: Future<Output = Result<Response<A>, Status>>,
{
    let had = |answer: Result<A, Status>| match answer {
        Ok(answer) => Some(answer),
        Err(status) => {
            tracing::warn!(code = ?status.code(), "a page is shown without what a service could not say");
            None
        }
    };
    answers(ids, ask).await.into_iter().filter_map(had).collect()
}

/// The same, or an error when not all can be had.
pub async fn try_fetch<'a, A, F>(
    ids: impl IntoIterator<Item = &'a str>,
    ask: impl Fn(Vec<String>) -> F,
) -> Result<Vec<A>, Status>
where
    F: Future<Output = Result<Response<A>, Status>>,
{
    answers(ids, ask).await.into_iter().collect()
}

async fn answers<'a, A, F>(
    ids: impl IntoIterator<Item = &'a str>,
    ask: impl Fn(Vec<String>) -> F,
) -> Vec<Result<A, Status>>
where
    F: Future<Output = Result<Response<A>, Status>>,
{
    let ids: Vec<&str> = ids.into_iter().filter(|id| !id.is_empty()).collect::<BTreeSet<_>>().into_iter().collect();
    let calls = ids.chunks(MOST).map(|ids| ask(ids.iter().map(|id| (*id).to_owned()).collect()));
    let answers = futures_util::future::join_all(calls).await;
    answers.into_iter().map(|answer| answer.map(Response::into_inner)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    async fn asked(ids: &[&str], answer: impl Fn(usize) -> Result<usize, Status>) -> (Vec<usize>, Vec<Vec<String>>) {
        let calls = Mutex::new(Vec::new());
        let answers = fetch(ids.iter().copied(), |ids| {
            let answer = answer(ids.len()).map(Response::new);
            calls.lock().unwrap().push(ids);
            async move { answer }
        });
        let answers = answers.await;
        (answers, calls.into_inner().unwrap())
    }

    #[tokio::test]
    async fn each_id_is_asked_for_once_and_none_costs_no_call() {
        assert_eq!(asked(&["b", "a", "", "b"], Ok).await, (vec![2], vec![vec!["a".to_owned(), "b".to_owned()]]));
        assert_eq!(asked(&["", ""], Ok).await, (vec![], vec![]));
        let many: Vec<String> = (0..1001).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(asked(&many, Ok).await.0, vec![500, 500, 1]);
    }

    #[tokio::test]
    async fn what_cannot_be_had_is_left_out() {
        let away = |_| Err(Status::unavailable("away"));
        assert_eq!(asked(&["a"], away).await.0, Vec::<usize>::new());
    }
}
