//! The little community of the first start: neighbours of the demo people, ads with pictures, and a forum with some weeks
//! of history. Neighbours and pictures are made through RPCs; the rest is written as the village has it, because no RPC
//! takes a date of the past.

use std::collections::BTreeMap;

use anyhow::{Context, anyhow};
use chrono::Utc;
use proto::access::v1::Role;
use proto::auth::v1::{PasswordRule, Profile, RegisterRequest};
use proto::common::v1::Point;
use proto::forum::v1::ListPostsRequest;
use proto::forum::v1::post_service_client::PostServiceClient;
use proto::media::v1::Folder;
use proto::users::v1::BatchGetUsersRequest;
use tokio::task::JoinSet;
use tonic::Status;
use uuid::Uuid;

use crate::demo::dice::Dice;
use crate::demo::load::{self, Databases, Offered, Villager, offered};
use crate::demo::people::PASSWORD;
use crate::demo::village::{Size, Village};
use crate::demo::words::{self, TOWNS};
use crate::demo::{COMMUNITIES, Seeder, SignedIn, as_caller, explain, picture, upload};
use crate::services::Peers;

/// How many uploads at once; more would only wait for each other.
const AT_ONCE: usize = 4;
/// How many pictures each seller has; every one is decoded and gets two thumbnails.
const PICTURES_EACH: usize = 4;

/// Whether the forum has a post.
pub(crate) async fn settled(peers: &Peers) -> anyhow::Result<bool> {
    let request = ListPostsRequest { page_size: 1, ..ListPostsRequest::default() };
    let posts = PostServiceClient::new(peers.peer("forum")).list_posts(request).await;
    Ok(!posts.map_err(|refusal| anyhow!("looking into the forum: {}", explain(&refusal)))?.get_ref().posts.is_empty())
}

/// Fills it. `people` are the demo people of Agrovet, signed in.
pub(crate) async fn settle(seeder: &Seeder, databases: &Databases, mut people: Vec<SignedIn>) -> anyhow::Result<()> {
    for at in people.len()..Size::DEMO.people {
        let neighbour = seeder.neighbour(at).await;
        people.push(neighbour.map_err(|refusal| anyhow!("making a neighbour: {}", explain(&refusal)))?);
    }
    let villagers = villagers(seeder, &people).await?;
    let pictures = pictures(seeder, &people, &villagers).await?;

    let now = Utc::now();
    let village = Village::new(Size::DEMO, COMMUNITIES, now);
    load::ads(databases, &village, &villagers, &pictures, now).await?;
    load::forum(databases, &village, &villagers, now).await
}

impl Seeder {
    async fn neighbour(&self, at: usize) -> Result<SignedIn, Status> {
        let mut dice = Dice::of("neighbour", at as i64);
        let (_, latitude, longitude) = TOWNS[dice.below(TOWNS.len())];
        let (role, speciality) = match dice.below(10) {
            0..2 => (Role::Specialist, "Veterinario"),
            2..5 => (Role::Businessman, "Agroveterinaria"),
            _ => (Role::Consumer, ""),
        };
        let request = RegisterRequest {
            phone: Some(format!("5050000{:04}", 100 + at)),
            email: None,
            password: PASSWORD.into(),
            password_rule: PasswordRule::Mixed.into(),
            role: role.into(),
            profile: Some(Profile {
                first_name: Some(dice.pick(words::FIRST_NAMES).into()),
                last_name: Some(dice.pick(words::LAST_NAMES).into()),
                location: Some(Point { latitude: latitude + dice.share() / 20.0, longitude }),
                ..Profile::default()
            }),
            sign_in: true,
            speciality: speciality.into(),
        };
        let answer = self.accounts.clone().register(request).await?.into_inner();
        let signed_in = answer
            .account
            .zip(answer.tokens)
            .map(|(account, tokens)| SignedIn { id: account.id, token: tokens.access_token });
        signed_in.ok_or_else(|| Status::internal("a registration without tokens"))
    }
}

async fn villagers(seeder: &Seeder, people: &[SignedIn]) -> anyhow::Result<Vec<Villager>> {
    let ids = people.iter().map(|person| person.id.clone()).collect();
    let asking = async {
        let request = BatchGetUsersRequest { ids, ..Default::default() };
        Ok(seeder.users.clone().batch_get_users(request).await?.into_inner().users)
    };
    let asker = people.first().context("there are demo people")?;
    let users =
        as_caller(asker, asking).await.map_err(|refusal| anyhow!("looking up people: {}", explain(&refusal)))?;
    let users: BTreeMap<_, _> = users.into_iter().map(|user| (user.id.clone(), user)).collect();
    let villager = |person: &SignedIn| {
        let user = users.get(&person.id).context("a demo person is gone")?;
        let seller = [Role::Specialist, Role::Businessman].iter().any(|role| user.roles.contains(&(*role).into()));
        anyhow::Ok(Villager { id: user.id.parse()?, number: user.number, seller })
    };
    people.iter().map(villager).collect()
}

/// A picture for every ad, its publisher's own; those that offer alike things share one.
async fn pictures(
    seeder: &Seeder,
    people: &[SignedIn],
    villagers: &[Villager],
) -> anyhow::Result<BTreeMap<usize, Uuid>> {
    let mut shown_on: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for at in 0..Size::DEMO.ads {
        let Offered { offer, publisher } = offered(at, villagers);
        shown_on.entry((publisher, offer % PICTURES_EACH)).or_default().push(at);
    }
    let (mut waiting, mut uploads, mut pictures) = (shown_on.into_iter(), JoinSet::new(), BTreeMap::new());
    loop {
        for ((publisher, nth), ads) in waiting.by_ref().take(AT_ONCE - uploads.len()) {
            let (publisher, mut media) = (people[publisher].clone(), seeder.media.clone());
            uploads.spawn(async move {
                let picture = picture::landscape(&format!("{} {nth}", publisher.id));
                let parts = tokio_stream::iter(upload("Foto", Folder::Media, &picture));
                (ads, as_caller(&publisher, async { Ok(media.upload_media(parts).await?.into_inner().id) }).await)
            });
        }
        let Some(uploaded) = uploads.join_next().await else { return Ok(pictures) };
        let (ads, id) = uploaded?;
        let id = id.map_err(|refusal| anyhow!("uploading a picture: {}", explain(&refusal)))?.parse()?;
        pictures.extend(ads.into_iter().map(|at| (at, id)));
    }
}
