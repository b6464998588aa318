//! Who may call an RPC: read from the contract's `plaza.access.v1.rule` and enforced here, before any RPC's code.

use std::collections::HashMap;
use std::sync::LazyLock;

use anyhow::{Context as _, bail};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use prost::Message;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use proto::access::v1::{Role, Rule, Who};
use tonic::Code;

use crate::error::{Result, denied, unauthenticated};
use crate::identity::{Caller, Peer, Roles, Verifier};

/// Every contract.
pub static CONTRACTS: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(proto::DESCRIPTORS).expect("the build embedded valid descriptors"));

/// What the contract says of one RPC.
#[derive(Clone, Debug)]
pub struct Method {
    /// `/plaza.users.v1.UserService/GetUser`.
    pub path: String,
    pub who: Who,
    pub roles: Roles,
    pub peers: Vec<String>,
    /// Declared to have no side effects, so it may be sent twice.
    pub safe: bool,
    pub client_streaming: bool,
    pub server_streaming: bool,
}

/// The methods of some services by path.
pub type Methods = HashMap<String, Method>;

/// The methods of the named services (`plaza.users.v1.UserService`). An RPC without a rule is an error that names it.
pub fn methods<'a>(services: impl IntoIterator<Item = &'a str>) -> anyhow::Result<Methods> {
    methods_of(&CONTRACTS, services)
}

/// As [`methods`], from other contracts than the embedded ones.
pub fn methods_of<'a>(
    contracts: &DescriptorPool,
    services: impl IntoIterator<Item = &'a str>,
) -> anyhow::Result<Methods> {
    let mut methods = Methods::new();
    for name in services {
        let service = contracts.get_service_by_name(name).with_context(|| format!("no contract for {name}"))?;
        for method in service.methods() {
            let method = read(&method)?;
            methods.insert(method.path.clone(), method);
        }
    }
    Ok(methods)
}

/// The methods of every contract.
pub fn all_methods() -> anyhow::Result<Methods> {
    methods(CONTRACTS.services().map(|s| s.full_name().to_owned()).collect::<Vec<_>>().iter().map(String::as_str))
}

/// What outsiders may call through the edge: all but the RPCs between services.
pub fn public_methods() -> anyhow::Result<Methods> {
    Ok(all_methods()?.into_iter().filter(|(_, method)| method.who != Who::Peer).collect())
}

fn read(method: &MethodDescriptor) -> anyhow::Result<Method> {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let contracts = method.parent_pool();
    let option = contracts.get_extension_by_name("plaza.access.v1.rule").context("no extension `rule`")?;
    let options = method.options();
    if !options.has_extension(&option) {
        bail!("{path} has no access rule; write `option (plaza.access.v1.rule)` in its contract");
    }
    let rule = options.get_extension(&option).into_owned();
    let rule = rule.as_message().context("a rule is a message")?;
    let rule = Rule::decode(rule.encode_to_vec().as_slice())?;
    let nobody = match rule.who() {
        Who::Unspecified => true,
        Who::Public | Who::User => false,
        Who::Role => Roles::from_numbers(&rule.roles).is_empty(),
        Who::Peer => rule.peers.is_empty(),
    };
    if nobody {
        bail!("{path} has an access rule that lets nobody in");
    }
    let idempotency = options.get_field_by_name("idempotency_level").and_then(|v| v.as_enum_number());
    Ok(Method {
        path,
        who: rule.who(),
        roles: Roles::from_numbers(&rule.roles),
        safe: idempotency == Some(1),
        client_streaming: method.is_client_streaming(),
        server_streaming: method.is_server_streaming(),
        peers: rule.peers,
    })
}

impl Method {
    /// Lets the call through, with the caller if there is one. Reasons: `NOT_SIGNED_IN`, `BAD_TOKEN`,
    /// `SESSION_REVOKED`, `ROLE_MISSING`, `PEERS_ONLY`.
    pub async fn admit(&self, headers: &HeaderMap, peer: Option<&Peer>, verifier: &Verifier) -> Result<Option<Caller>> {
        let known_peer = peer.is_some_and(|peer| self.peers.iter().any(|name| **name == *peer.0));
        let token = bearer(headers);
        match self.who {
            Who::Peer if known_peer => Ok(None),
            Who::Peer | Who::Unspecified => Err(denied("PEERS_ONLY", "only some services may call this")),
            Who::Public => match token {
                Some(token) => match verifier.verify(token).await {
                    Ok(caller) => Ok(Some(caller)),
                    // Not knowing is not a bad token: what somebody signed in does must not become nobody's.
                    Err(error) if error.code() == Code::Unavailable => Err(error),
                    Err(_) => Ok(None),
                },
                None => Ok(None),
            },
            Who::User | Who::Role => {
                let Some(token) = token else {
                    if known_peer {
                        return Ok(None);
                    }
                    return Err(unauthenticated("NOT_SIGNED_IN", "an access token is needed"));
                };
                let caller = verifier.verify(token).await?;
                if self.who == Who::Role && !caller.roles.intersects(self.roles) {
                    return Err(denied("ROLE_MISSING", format!("needs one of {}", self.roles.names().join(", "))));
                }
                Ok(Some(caller))
            }
        }
    }
}

/// The token of `Authorization: Bearer …`; the scheme's case does not count.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

/// The role's name without its prefix, as in tokens and databases: `SPECIALIST`.
pub fn role_name(role: Role) -> &'static str {
    role.as_str_name().trim_start_matches("ROLE_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contract_says_who_may_call() {
        let all = all_methods().unwrap();
        assert_eq!(all["/plaza.users.v1.UserService/ProvisionUser"].peers, ["auth"]);
        assert!(all["/plaza.users.v1.UserService/GetUser"].safe);
        assert!(!all["/plaza.users.v1.UserService/UpdateUser"].safe);
        assert!(!public_methods().unwrap().contains_key("/plaza.users.v1.UserService/ProvisionUser"));
    }

    #[test]
    fn a_service_without_contract_is_named() {
        let error = methods(["plaza.ghosts.v1.GhostService"]).unwrap_err();
        assert!(error.to_string().contains("plaza.ghosts.v1.GhostService"));
    }
}
