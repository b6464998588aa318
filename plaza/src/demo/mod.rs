//! Demo people, so that whoever starts Plaza for the first time finds somebody there. Made through the same RPCs as
//! everybody, under the tool's own name, and only as far as they are missing. What they sell and write is in
//! `community`; with `--scale` there are millions of it, see `load`.

mod community;
mod dice;
mod load;
mod people;
mod picture;
mod village;
mod words;

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{anyhow, bail};
use kit::context::{self, Context as CallContext};
use kit::error::Details;
use proto::access::v1::Role;
use proto::auth::v1::account_service_client::AccountServiceClient;
use proto::auth::v1::log_in_request::Login;
use proto::auth::v1::session_service_client::SessionServiceClient;
use proto::auth::v1::{CreateAccountRequest, LogInRequest, PasswordRule, Profile, RegisterRequest};
use proto::common::v1::Point;
use proto::media::v1::media_service_client::MediaServiceClient;
use proto::media::v1::upload_media_request::Part;
use proto::media::v1::{Accept, Description, Folder, UploadHeader, UploadMediaRequest};
use proto::users::v1::get_user_request::Key;
use proto::users::v1::user_service_client::UserServiceClient;
use proto::users::v1::{GetUserRequest, SetAvatarRequest, UpdateUserRequest};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::demo::load::Databases;
use crate::demo::people::{ADMINISTRATOR, PASSWORD, PEOPLE, Person};
use crate::demo::village::{Size, Village};
use crate::installation::{Addresses, Place, expect_running};
use crate::report::{Step, line, print};
use crate::services::Peers;

/// Agrovet's roles.
const AGROVET: &[Role] = &[Role::Specialist, Role::Businessman, Role::Consumer];
/// Those that every forum has.
const COMMUNITIES: usize = 4;

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,

    /// Make a large community instead, for load tests: 1 is a million posts, ten million comments, twenty million
    /// reactions, 200,000 ads and 100,000 people, all with the demo people's password.
    #[arg(long, value_name = "SCALE", num_args = 0..=1, default_missing_value = "1", value_parser = scale)]
    scale: Option<f64>,
}

fn scale(text: &str) -> Result<f64, String> {
    let scale = text.parse().ok().filter(|scale: &f64| *scale > 0.0 && *scale <= 10.0);
    scale.ok_or_else(|| "a number above 0, at most 10".to_owned())
}

/// `plaza seed`.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let addresses = expect_running(&options.place)?;
    if let Some(scale) = options.scale {
        return enlarge(&addresses, Size::scaled(scale)).await;
    }
    let mut step = Step::begin("demo people");
    let made = seed(&Peers::of(&addresses)?, &addresses).await?;
    step.found(made.to_string());
    step.done();
    print(format_args!("\n{}\nTry:\n\n{}", table(), requests(&addresses.edge)));
    Ok(())
}

/// Adds a large community to whatever there is.
async fn enlarge(addresses: &Addresses, size: Size) -> anyhow::Result<()> {
    let (databases, now) = (Databases::of(&addresses.database_url)?, chrono::Utc::now());
    let village = Village::new(size, COMMUNITIES, now);
    let villagers = load::people(&databases, &village, now).await?;
    load::ads(&databases, &village, &villagers, &BTreeMap::new(), now).await?;
    load::forum(&databases, &village, &villagers, now).await
}

/// What a seeding changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Made {
    people: usize,
    pictures: usize,
    /// Whether neighbours, ads and posts were made.
    community: bool,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Made { people: 0, pictures: 0, community: false } => write!(f, "all there already"),
            Made { people, pictures, community: false } => write!(f, "{people} people, {pictures} pictures"),
            Made { people, pictures, .. } => write!(f, "{people} people, {pictures} pictures, a community"),
        }
    }
}

/// Makes who is missing, and what is missing of those who are there.
pub(crate) async fn seed(peers: &Peers, addresses: &Addresses) -> anyhow::Result<Made> {
    let seeder = Seeder {
        accounts: AccountServiceClient::new(peers.peer("auth")),
        sessions: SessionServiceClient::new(peers.peer("auth")),
        users: UserServiceClient::new(peers.peer("users")),
        media: MediaServiceClient::new(peers.peer("media")),
    };
    let mut made = Made::default();
    let mut there = Vec::new();
    // One after the other, so that their numbers follow the table.
    let (in_both, in_one): (Vec<_>, Vec<_>) = PEOPLE.iter().partition(|person| person.roles.len() > 1);
    for person in in_one {
        there.extend(seeder.enrol(person, seeder.register(person), &mut made).await?);
    }
    match seeder.administrator().await? {
        Some(administrator) => {
            for person in in_both {
                let creation = as_caller(&administrator, seeder.create(person));
                there.extend(seeder.enrol(person, creation, &mut made).await?);
            }
            there.push((&ADMINISTRATOR, administrator));
        }
        None => line("  … there is no demo administrator, so nobody with two communities is made either"),
    }
    let farmers = there.iter().filter(|(person, _)| person.roles.iter().any(|role| AGROVET.contains(role)));
    let farmers: Vec<_> = farmers.map(|(_, signed_in)| signed_in.clone()).collect();
    let (mut waiting, mut completions) = (there.into_iter(), JoinSet::new());
    loop {
        // A few at once; more would only wait for each other.
        for (person, signed_in) in waiting.by_ref().take(4 - completions.len()) {
            let seeder = seeder.clone();
            completions.spawn(async move { seeder.complete(person, &signed_in).await });
        }
        match completions.join_next().await {
            Some(pictured) => made.pictures += usize::from(pictured??),
            None => break,
        }
    }
    if !farmers.is_empty() && !community::settled(peers).await? {
        community::settle(&seeder, &Databases::of(&addresses.database_url)?, farmers).await?;
        made.community = true;
    }
    Ok(made)
}

/// Somebody signed in.
#[derive(Clone)]
struct SignedIn {
    id: String,
    token: String,
}

#[derive(Clone)]
struct Seeder {
    accounts: AccountServiceClient<kit::Peer>,
    sessions: SessionServiceClient<kit::Peer>,
    users: UserServiceClient<kit::Peer>,
    media: MediaServiceClient<kit::Peer>,
}

impl Seeder {
    /// Makes one person by `enrolment`, or signs in whom there is already.
    async fn enrol(
        &self,
        person: &'static Person,
        enrolment: impl Future<Output = Result<Option<SignedIn>, Status>>,
        made: &mut Made,
    ) -> anyhow::Result<Option<(&'static Person, SignedIn)>> {
        let signed_in = match enrolment.await {
            Ok(signed_in) => {
                made.people += 1;
                signed_in
            }
            Err(refusal) if matches!(&*Details::of(&refusal).reason, "PHONE_TAKEN" | "EMAIL_TAKEN") => None,
            Err(refusal) => bail!("making {}: {}", person.name(), explain(&refusal)),
        };
        let signed_in = match signed_in {
            Some(signed_in) => Some(signed_in),
            None => self.log_in(person).await?,
        };
        if signed_in.is_none() {
            line(&format!("  … {} has another password by now and is left alone", person.name()));
        }
        Ok(signed_in.map(|signed_in| (person, signed_in)))
    }

    /// The administrator, whom `auth` makes itself some moments after its first start with [`administrator_flags`].
    async fn administrator(&self) -> anyhow::Result<Option<SignedIn>> {
        for pause in [0, 1, 2] {
            tokio::time::sleep(Duration::from_secs(pause)).await;
            if let Some(signed_in) = self.log_in(&ADMINISTRATOR).await? {
                return Ok(Some(signed_in));
            }
        }
        Ok(None)
    }

    async fn register(&self, person: &Person) -> Result<Option<SignedIn>, Status> {
        let request = RegisterRequest {
            phone: person.phone.map(Into::into),
            email: person.email.map(Into::into),
            password: PASSWORD.into(),
            password_rule: PasswordRule::Mixed.into(),
            role: person.roles.first().copied().unwrap_or_default().into(),
            profile: Some(profile(person)),
            sign_in: true,
            speciality: person.speciality.into(),
        };
        let answer = self.accounts.clone().register(request).await?.into_inner();
        let signed_in = answer.account.zip(answer.tokens);
        Ok(signed_in.map(|(account, tokens)| SignedIn { id: account.id, token: tokens.access_token }))
    }

    /// For somebody with several roles, which only an administrator can give.
    async fn create(&self, person: &Person) -> Result<Option<SignedIn>, Status> {
        let request = CreateAccountRequest {
            phone: person.phone.map(Into::into),
            email: person.email.map(Into::into),
            password: PASSWORD.into(),
            password_rule: PasswordRule::Mixed.into(),
            roles: person.roles.iter().map(|role| (*role).into()).collect(),
            profile: Some(profile(person)),
            speciality: person.speciality.into(),
        };
        self.accounts.clone().create_account(request).await.map(|_| None)
    }

    /// `None` when there is no such account or it has another password.
    async fn log_in(&self, person: &Person) -> anyhow::Result<Option<SignedIn>> {
        let login = match (person.phone, person.email) {
            (Some(phone), _) => Login::Phone(phone.into()),
            (None, email) => Login::Email(email.unwrap_or_default().into()),
        };
        let request = LogInRequest { login: Some(login), password: PASSWORD.into(), second_factor: String::new() };
        match self.sessions.clone().log_in(request).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                let token = answer.tokens.unwrap_or_default().access_token;
                Ok(Some(SignedIn { id: answer.user_id, token }))
            }
            Err(refusal) => match refusal.code() {
                Code::Unauthenticated | Code::PermissionDenied | Code::FailedPrecondition | Code::ResourceExhausted => {
                    Ok(None)
                }
                _ => bail!("signing in {}: {}", person.name(), explain(&refusal)),
            },
        }
    }

    /// Gives the person what registration does not take, unless it is there; says whether that was a picture.
    async fn complete(&self, person: &'static Person, signed_in: &SignedIn) -> anyhow::Result<bool> {
        let id = signed_in.id.clone();
        let pictured = as_caller(signed_in, async {
            let (mut users, mut media) = (self.users.clone(), self.media.clone());
            let present = users.get_user(GetUserRequest { key: Some(Key::Id(id.clone())) }).await?.into_inner();
            // An administrator comes without a name.
            if present.first_name.is_empty() || present.address.is_none() && !person.address.is_empty() {
                let update = UpdateUserRequest {
                    id,
                    first_name: Some(person.first_name.into()),
                    last_name: Some(person.last_name.into()),
                    bio: Some(person.bio.into()),
                    location: Some(place(person)),
                    address: Some(person.address.into()),
                    ..UpdateUserRequest::default()
                };
                users.update_user(update).await?;
            }
            if present.avatar_path.is_some() {
                return Ok(false);
            }
            let parts = upload(&person.name(), Folder::Avatars, &picture::portrait(&person.name()));
            let picture = media.upload_media(tokio_stream::iter(parts)).await?.into_inner();
            users.set_avatar(SetAvatarRequest { media_id: picture.id }).await?;
            Ok(true)
        });
        pictured.await.map_err(|refusal| anyhow!("completing {}: {}", person.name(), explain(&refusal)))
    }
}

/// Calls inside are made by whom it is.
async fn as_caller<T>(caller: &SignedIn, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let authorization = Some(format!("Bearer {}", caller.token).into());
    context::scope(CallContext { authorization, ..CallContext::default() }, call).await
}

fn explain(refusal: &Status) -> String {
    let details = Details::of(refusal);
    let fields: Vec<_> = details.fields.iter().map(|field| format!("{}: {}", field.field, field.message)).collect();
    format!("{} ({:?} {}) {}", refusal.message(), refusal.code(), details.reason, fields.join(", "))
}

fn profile(person: &Person) -> Profile {
    Profile {
        first_name: Some(person.first_name.into()),
        last_name: Some(person.last_name.into()),
        bio: Some(person.bio.into()),
        location: Some(place(person)),
        ..Profile::default()
    }
}

fn place(person: &Person) -> Point {
    Point { latitude: person.place.0, longitude: person.place.1 }
}

fn upload(name: &str, folder: Folder, picture: &[u8]) -> Vec<UploadMediaRequest> {
    let header = UploadHeader {
        description: Some(Description { name: Some(name.to_owned()), ..Description::default() }),
        folder: folder.into(),
        file_name: "demo.png".into(),
        accept: Accept::Image.into(),
        file_required: true,
        max_size: 0,
    };
    let chunks = picture.chunks(64 << 10).map(|chunk| Part::Chunk(chunk.to_vec().into()));
    let parts = [Part::Header(header)].into_iter().chain(chunks);
    parts.map(|part| UploadMediaRequest { part: Some(part) }).collect()
}

/// Flags that make `auth` make the demo administrator.
pub(crate) fn administrator_flags() -> [String; 3] {
    let Person { phone, email, .. } = &ADMINISTRATOR;
    [
        format!("--admin-phone={}", phone.unwrap_or_default()),
        format!("--admin-email={}", email.unwrap_or_default()),
        format!("--admin-password={PASSWORD}"),
    ]
}

/// The password of a demo person, by phone or email.
pub(crate) fn password_of(who: &str) -> Option<&'static str> {
    let who = Some(who.trim_start_matches('+'));
    let known = PEOPLE.iter().chain([&ADMINISTRATOR]).any(|person| person.phone == who || person.email == who);
    known.then_some(PASSWORD)
}

/// Who there is.
pub(crate) fn table() -> String {
    let mut text = format!("Demo people; everybody's password is {PASSWORD}\n\n");
    for person in PEOPLE.iter().chain([&ADMINISTRATOR]) {
        let roles: Vec<_> = person.roles.iter().map(|role| role.as_str_name().trim_start_matches("ROLE_")).collect();
        let names: Vec<_> = person.phone.into_iter().chain(person.email).collect();
        let _ = writeln!(
            text,
            "  {:<22}{:<22}{:<14}{}",
            person.name(),
            roles.join(", ").to_lowercase(),
            person.town,
            names.join(", "),
        );
    }
    text
}

/// Two requests that work when pasted: a login in each dialect.
pub(crate) fn requests(edge: &str) -> String {
    let phone = PEOPLE.iter().find_map(|person| person.phone).unwrap_or_default();
    let email = PEOPLE.iter().find_map(|person| person.email).unwrap_or_default();
    format!(
        "  curl -s {edge}/api/auth/login/ -H 'content-type: application/json' \
         -d '{{\"phone_number\":\"{phone}\",\"password\":\"{PASSWORD}\"}}'\n  \
         curl -s {edge}/api/v1/auth/login -d 'username={email}&password={PASSWORD}'\n"
    )
}
