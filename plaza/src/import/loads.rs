//! The imports of all services, each a transaction of its own until it ends.

use ::profiles::bulk::import as profiles;
use auth::bulk::import as accounts;
use chat::bulk as chats;
use forum::bulk::import as forums;
use kit::bulk::Load;
use kit::bulk::import::Outcome;
use marketplace::bulk::import as market;
use sqlx::postgres::PgConnectOptions;
use users::bulk::import as people;

use crate::import::dump::{Attached, Batch, Read};
use crate::import::known::is_other;
use crate::import::pool;

/// Accounts that are handed over together.
const CHUNK: i64 = 10_000;

pub(crate) struct Loads {
    pub(crate) auth: Load,
    pub(crate) users: Load,
    pub(crate) profiles: Load,
    pub(crate) marketplace: Load,
    pub(crate) chat: Load,
    pub(crate) forum: Load,
}

impl Loads {
    pub(crate) async fn begin(server: &PgConnectOptions) -> anyhow::Result<Self> {
        Ok(Self {
            auth: accounts::begin(&pool(server, "auth", 1).await?).await?,
            users: people::begin(&pool(server, "users", 1).await?).await?,
            profiles: profiles::begin(&pool(server, "profiles", 1).await?).await?,
            marketplace: market::begin(&pool(server, "marketplace", 1).await?).await?,
            chat: chats::begin(&pool(server, "chat", 1).await?).await?,
            forum: forums::begin(&pool(server, "forum", 1).await?).await?,
        })
    }

    pub(crate) async fn stage(&mut self, batch: &Batch) -> kit::Result<()> {
        if !batch.accounts.is_empty() {
            accounts::stage(&mut self.auth, &batch.accounts).await?;
            people::stage(&mut self.users, &batch.people).await?;
        }
        if !batch.roles.is_empty() {
            profiles::stage_roles(&mut self.profiles, &batch.roles).await?;
        }
        if !batch.profiles.is_empty() {
            profiles::stage_profiles(&mut self.profiles, &batch.profiles).await?;
        }
        if !batch.categories.is_empty() {
            market::stage_categories(&mut self.marketplace, &batch.categories).await?;
        }
        if !batch.ads.is_empty() {
            market::stage_ads(&mut self.marketplace, &batch.ads).await?;
        }
        if !batch.follows.is_empty() {
            market::stage_follows(&mut self.marketplace, &batch.follows).await?;
        }
        self.stage_history(batch).await
    }

    async fn stage_history(&mut self, batch: &Batch) -> kit::Result<()> {
        if !batch.rooms.is_empty() {
            chats::stage_rooms(&mut self.chat, &batch.rooms).await?;
        }
        if !batch.messages.is_empty() {
            chats::stage_messages(&mut self.chat, &batch.messages).await?;
        }
        if !batch.receipts.is_empty() {
            chats::stage_receipts(&mut self.chat, &batch.receipts).await?;
        }
        if !batch.communities.is_empty() {
            forums::stage_communities(&mut self.forum, &batch.communities).await?;
        }
        if !batch.posts.is_empty() {
            forums::stage_posts(&mut self.forum, &batch.posts).await?;
        }
        if !batch.comments.is_empty() {
            forums::stage_comments(&mut self.forum, &batch.comments).await?;
        }
        if !batch.reactions.is_empty() {
            forums::stage_reactions(&mut self.forum, &batch.reactions).await?;
        }
        Ok(())
    }

    /// Makes accounts, and of these people, which only we see so far. Numbers of people here who have another phone than in
    /// the dump are added to `strangers`.
    pub(crate) async fn merge_people(&mut self, read: &Read, strangers: &mut Vec<i64>) -> kit::Result<Outcome> {
        let mut outcome = accounts::merge(&mut self.auth).await?;
        let mut after = 0;
        loop {
            let accepted = accounts::accepted(&mut self.auth, after, CHUNK).await?;
            let Some(last) = accepted.last() else { break };
            after = last.number;
            let others = accepted.iter().filter(|account| is_other(read, account.number, account.phone.as_deref()));
            strangers.extend(others.map(|account| account.number));
            let handed: Vec<_> = accepted.iter().map(handed).collect();
            people::accept(&mut self.users, &handed).await?;
        }
        outcome.extend(people::merge(&mut self.users).await?);
        Ok(outcome)
    }

    /// Everything is read: gathers what people and files it names.
    pub(crate) async fn staged(&mut self, read: &mut Read) -> kit::Result<()> {
        let mut pictures = Vec::new();
        for Attached { person, kind, number } in read.attached() {
            // A profile has its person's number, or with `--natural-foreign` the phone.
            let phone = read.phones.get(&person).map(|phone| format!("@{phone}"));
            let names = phone.into_iter().chain([person.to_string()]);
            pictures.extend(names.map(|person| profiles::Attached { person, kind, number }));
        }
        profiles::stage_attached(&mut self.profiles, &pictures).await?;
        profiles::staged(&mut self.profiles).await?;
        market::staged(&mut self.marketplace).await?;
        chats::staged(&mut self.chat).await?;
        forums::staged(&mut self.forum, &read.kinds).await
    }
}

/// What `users` copies of an account.
fn handed(account: &accounts::Accepted) -> people::Account<'_> {
    people::Account {
        number: account.number,
        id: account.id,
        phone: account.phone.as_deref(),
        roles: account.roles.iter().map(String::as_str).collect(),
        state: &account.state,
    }
}
