//! Writes a village into the services' databases, through what each service offers for that. Twice the same village is
//! twice the same rows.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use uuid::Uuid;

use crate::demo::dice::Dice;
use crate::demo::people::PASSWORD;
use crate::demo::village::{Comment, Kind, Village, Votes};
use crate::demo::words::{self, OFFERS, TOWNS};
use crate::postgres::database;
use crate::report::Progress;

/// Somebody of the village.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Villager {
    pub(crate) id: Uuid,
    pub(crate) number: i64,
    pub(crate) seller: bool,
}

impl From<Villager> for forum::bulk::Person {
    fn from(villager: Villager) -> Self {
        Self { id: villager.id, number: villager.number }
    }
}

/// The services' databases, as the server's administrator.
pub(crate) struct Databases {
    server: PgConnectOptions,
}

impl Databases {
    /// `url` names the server and its superuser.
    pub(crate) fn of(url: &str) -> anyhow::Result<Self> {
        Ok(Self { server: PgConnectOptions::from_str(url).context("the server's URL")? })
    }

    async fn pool(&self, service: &str) -> anyhow::Result<PgPool> {
        let options = self.server.clone().database(&database(service));
        let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await;
        pool.with_context(|| format!("connecting to the database of {service}"))
    }
}

/// Makes the people, with accounts and profiles, and answers who they are.
pub(crate) async fn people(
    databases: &Databases,
    village: &Village,
    now: DateTime<Utc>,
) -> anyhow::Result<Vec<Villager>> {
    let count = village.size.people;
    let progress = Progress::begin("people", count);
    let mut accounts = auth::bulk::begin(&databases.pool("auth").await?).await?;
    let first = auth::bulk::last_number(&mut accounts).await? + 1;
    let neighbours: Vec<Neighbour> = (0..count).map(|at| Neighbour::new(at, first + at as i64, now)).collect();

    let hash = auth::bulk::password_hash(PASSWORD)?;
    let mut copy = auth::bulk::accounts(&mut accounts).await?;
    for who in &neighbours {
        let Neighbour { id, number, role, created_at, .. } = *who;
        let account = auth::bulk::Account { id, number, phone: &who.phone, password_hash: &hash, role, created_at };
        account.write(&mut copy).await?;
    }
    copy.finish().await?;
    auth::bulk::settle(&mut accounts).await?;

    let mut people = users::bulk::begin(&databases.pool("users").await?).await?;
    let mut copy = users::bulk::people(&mut people).await?;
    for who in &neighbours {
        let Neighbour { id, number, first_name, last_name, role, place: (latitude, longitude), created_at, .. } = *who;
        let phone = &who.phone;
        let person =
            users::bulk::Person { id, number, first_name, last_name, phone, role, latitude, longitude, created_at };
        person.write(&mut copy).await?;
    }
    copy.finish().await?;

    let mut profiles = profiles::bulk::begin(&databases.pool("profiles").await?).await?;
    let mut copy = profiles::bulk::profiles(&mut profiles).await?;
    for who in &neighbours {
        let profile = profiles::bulk::Profile {
            user_id: who.id,
            user_number: who.number,
            kind: who.role,
            name: who.first_name,
            speciality: who.speciality,
            about_us: "",
            business_name: if who.role == "BUSINESSMAN" { who.last_name } else { "" },
            created_at: who.created_at,
        };
        profile.write(&mut copy).await?;
        progress.step();
    }
    copy.finish().await?;
    profiles::bulk::settle(&mut profiles).await?;

    // Last who may log in: nobody does without being a person with a profile.
    profiles.finish().await?;
    people.finish().await?;
    accounts.finish().await?;
    progress.done();
    Ok(neighbours
        .into_iter()
        .map(|who| Villager { id: who.id, number: who.number, seller: who.role != "CONSUMER" })
        .collect())
}

/// Somebody who is made up.
struct Neighbour {
    id: Uuid,
    number: i64,
    first_name: &'static str,
    last_name: &'static str,
    phone: String,
    role: &'static str,
    speciality: Option<&'static str>,
    place: (f64, f64),
    created_at: DateTime<Utc>,
}

/// The first bytes of ids: `plaza`.
const PREFIX: u128 = 0x706c_617a_6100_0000_0000_0000_0000_0000;

impl Neighbour {
    fn new(at: usize, number: i64, now: DateTime<Utc>) -> Self {
        let mut dice = Dice::of("person", at as i64);
        let (role, speciality) = match dice.below(10) {
            0..2 => ("SPECIALIST", Some(*dice.pick(&[&"VETERINARIAN", &"AGRONOMIST", &"ZOOTECHNICIAN"]))),
            2..4 => ("BUSINESSMAN", Some(*dice.pick(&[&"VETERINARY_SHOP", &"FARMING_COMPANY"]))),
            _ => ("CONSUMER", None),
        };
        Self {
            // Of version 8: ours to choose, and never one of those that services make.
            id: uuid::Builder::from_custom_bytes((PREFIX | number as u128).to_be_bytes()).into_uuid(),
            number,
            first_name: dice.pick(words::FIRST_NAMES),
            last_name: dice.pick(words::LAST_NAMES),
            // Nobody's number begins like this.
            phone: format!("50501{number:08}"),
            role,
            speciality,
            place: near(TOWNS[dice.below(TOWNS.len())], &mut dice),
            created_at: now - TimeDelta::days(731) - TimeDelta::minutes(dice.below(500_000) as i64),
        }
    }
}

/// Somewhere within about ten kilometres.
fn near((_, latitude, longitude): (&str, f64, f64), dice: &mut Dice) -> (f64, f64) {
    let mut off = || (dice.share() + dice.share() - 1.0) * 0.09;
    (latitude + off(), longitude + off())
}

/// Makes ads. `pictures` are files by their publisher; who has none shows none.
pub(crate) async fn ads(
    databases: &Databases,
    village: &Village,
    villagers: &[Villager],
    pictures: &BTreeMap<usize, Uuid>,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    let count = village.size.ads;
    let progress = Progress::begin("ads", count);
    let mut load = marketplace::bulk::begin(&databases.pool("marketplace").await?).await?;
    let former = marketplace::bulk::last_id(&mut load).await?;
    let mut copy = marketplace::bulk::ads(&mut load).await?;
    for at in 0..count {
        let Offered { offer, publisher } = offered(at, villagers);
        let mut dice = Dice::of("ad", at as i64);
        let (title, description) = words::ad(&OFFERS[offer], &mut dice);
        let town = TOWNS[dice.below(TOWNS.len())];
        let (latitude, longitude) = near(town, &mut dice);
        let (cheapest, dearest) = OFFERS[offer].prices;
        let price = cheapest + dice.below((dearest - cheapest) as usize) as i64;
        let ago = (1.0 - (at as f64 + 1.0) / (count as f64 + 1.0)) * 86_400.0 * 60.0;
        let ad = marketplace::bulk::Ad {
            id: former + 1 + at as i64,
            publisher_id: villagers[publisher].id,
            publisher_number: villagers[publisher].number,
            title: &title,
            description: &description,
            // Nobody asks for 1,237 córdobas.
            price: price / 10 * 10 * 100,
            category_id: OFFERS[offer].category,
            condition: dice.pick(&["NEW", "NEW", "USED", "SEMI_NEW"]),
            state: match dice.below(20) {
                0 => "SOLD",
                1 => "PAUSED",
                2 => "ARCHIVED",
                _ => "ACTIVE",
            },
            location_name: town.0,
            latitude,
            longitude,
            main_image_id: pictures.get(&at).copied(),
            created_at: now - TimeDelta::seconds(ago as i64),
        };
        ad.write(&mut copy).await?;
        progress.step();
    }
    copy.finish().await?;
    marketplace::bulk::settle(&mut load, former).await?;
    progress.indexes();
    load.finish().await?;
    progress.done();
    Ok(())
}

/// What an ad offers, and whose it is.
pub(crate) struct Offered {
    pub(crate) offer: usize,
    /// Index of a seller.
    pub(crate) publisher: usize,
}

pub(crate) fn offered(at: usize, villagers: &[Villager]) -> Offered {
    let mut dice = Dice::of("offer", at as i64);
    let offer = dice.below(OFFERS.len());
    let first = dice.below(villagers.len());
    let publisher = (first..villagers.len()).chain(0..first).find(|who| villagers[*who].seller).unwrap_or(first);
    Offered { offer, publisher }
}

/// Makes posts, comments and reactions, three passes over the same village.
pub(crate) async fn forum(
    databases: &Databases,
    village: &Village,
    villagers: &[Villager],
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    let pool = databases.pool("forum").await?;
    let mut load = forum::bulk::begin(&pool).await?;
    let communities = forum::bulk::communities(&mut load).await?;
    let (last_post, last_comment, last_reaction) = forum::bulk::last_ids(&mut load).await?;
    let id_of = |post: usize| last_post + 1 + post as i64;
    let mut text = (String::new(), String::new());

    let progress = Progress::begin("posts", village.size.posts);
    let mut copy = forum::bulk::posts(&mut load).await?;
    for at in village.posts() {
        let (post, thread) = (village.post(at), village.thread(at));
        let mut dice = Dice::of("words", at as i64);
        text.0.clear();
        text.1.clear();
        words::title(&mut dice, &mut text.0);
        words::post(&mut dice, &mut text.1);
        let row = forum::bulk::Post {
            id: id_of(at),
            author: villagers[post.author].into(),
            community_id: post.community.map(|community| communities[community]),
            title: &text.0,
            content: &text.1,
            views: post.views,
            comments: thread.len() as i64,
            votes: votes(village.votes("post", at as i64, post.reactions)),
            created_at: post.created_at,
            last_activity_at: thread.iter().map(|c| c.created_at).fold(post.created_at, DateTime::max),
        };
        row.write(&mut copy).await?;
        progress.step();
    }
    copy.finish().await?;
    progress.done();

    let progress = Progress::begin("comments", village.size.comments);
    let mut copy = forum::bulk::comments(&mut load).await?;
    let mut first = last_comment + 1;
    for at in village.posts() {
        let thread = village.thread(at);
        let mut depths = Vec::with_capacity(thread.len());
        for (place, comment) in thread.iter().enumerate() {
            let id = first + place as i64;
            text.0.clear();
            words::comment(&mut Dice::of("answer", id), &mut text.0);
            depths.push(comment.parent.map_or(1, |parent| depths[parent] + 1));
            let row = forum::bulk::Comment {
                id,
                post_id: id_of(at),
                parent_id: comment.parent.map(|parent| first + parent as i64),
                depth: depths[place],
                author: villagers[comment.author].into(),
                content: &text.0,
                votes: votes(village.votes("comment", id - last_comment, comment.reactions)),
                replies: comment.replies,
                created_at: comment.created_at,
            };
            row.write(&mut copy).await?;
            progress.step();
        }
        first += thread.len() as i64;
    }
    copy.finish().await?;
    progress.done();

    let progress = Progress::begin("reactions", village.size.reactions);
    let mut copy = forum::bulk::reactions(&mut load).await?;
    let (mut id, mut comment_id) = (last_reaction, last_comment);
    for at in village.posts() {
        let post = village.post(at);
        let on_post = (Some(id_of(at)), None, ("post", at as i64, post.reactions), post.created_at);
        let on_comments = village.thread(at).into_iter().map(|Comment { reactions, created_at, .. }| {
            comment_id += 1;
            (None, Some(comment_id), ("comment", comment_id - last_comment, reactions), created_at)
        });
        for (post_id, comment_id, (kind, of, count), after) in [on_post].into_iter().chain(on_comments) {
            let later = (now - after) / 20;
            for (nth, (who, kind)) in village.reactions(kind, of, count).enumerate() {
                id += 1;
                let row = forum::bulk::Reaction {
                    id,
                    user: villagers[who].into(),
                    post_id,
                    comment_id,
                    kind: match kind {
                        Kind::Heart => "HEART",
                        Kind::Like => "LIKE",
                        Kind::Dislike => "DISLIKE",
                    },
                    created_at: after + later * nth as i32 / count as i32,
                };
                row.write(&mut copy).await?;
                progress.step();
            }
        }
    }
    copy.finish().await?;
    forum::bulk::settle(&mut load, now).await?;
    progress.indexes();
    load.finish().await?;
    progress.done();
    Ok(())
}

fn votes(Votes { hearts, likes, dislikes }: Votes) -> forum::bulk::Votes {
    forum::bulk::Votes { hearts, likes, dislikes }
}
