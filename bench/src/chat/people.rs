//! People of the bench, registered through the edge.

use anyhow::Context as _;
use proto::access::v1::Role;
use proto::auth::v1::account_service_client::AccountServiceClient;
use proto::auth::v1::{PasswordRule, Profile, RegisterRequest};
use tokio::task::JoinSet;
use tonic::transport::Channel;

/// Registrations at once: each costs a password's hash.
const AT_ONCE: usize = 4;

/// Somebody with an access token.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) number: i64,
    pub(crate) token: String,
}

/// So many people, in no order.
pub(crate) async fn sign_up(edge: &Channel, people: usize) -> anyhow::Result<Vec<Member>> {
    let mut joined = Vec::with_capacity(people);
    let mut running = JoinSet::new();
    for number in 0..people {
        if running.len() == AT_ONCE {
            joined.push(running.join_next().await.context("one runs")???);
        }
        running.spawn(register(edge.clone(), number));
    }
    while let Some(member) = running.join_next().await {
        joined.push(member??);
    }
    Ok(joined)
}

async fn register(edge: Channel, number: usize) -> anyhow::Result<Member> {
    let request = RegisterRequest {
        phone: Some(format!("+5058{number:07}")),
        password: "Caballo7bateria".into(),
        password_rule: PasswordRule::Mixed.into(),
        role: Role::Consumer.into(),
        profile: Some(Profile { first_name: Some(format!("Persona {number}")), ..Profile::default() }),
        sign_in: true,
        ..RegisterRequest::default()
    };
    let answer = AccountServiceClient::new(edge).register(request).await.context("registering")?.into_inner();
    let (account, tokens) = answer.account.zip(answer.tokens).context("an account with tokens")?;
    Ok(Member { number: account.number, token: tokens.access_token })
}
