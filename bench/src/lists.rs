//! `bench lists`: what the community's lists cost on a large data set. Starts `plaza up`, fills it with
//! `plaza seed --scale`, asks through the edge one request after the other, and writes bench/LISTS.md.

use std::fmt::Write as _;
use std::future::Future;
use std::hint::black_box;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use proto::auth::v1::LogInRequest;
use proto::auth::v1::log_in_request::Login;
use proto::auth::v1::session_service_client::SessionServiceClient;
use proto::common::v1::Point;
use proto::forum::v1::comment_service_client::CommentServiceClient;
use proto::forum::v1::post_service_client::PostServiceClient;
use proto::forum::v1::reaction_service_client::ReactionServiceClient;
use proto::forum::v1::{
    CommentDepth, GetPostRequest, GetThreadRequest, ListCommentsRequest, ListFeedRequest, ListPostsRequest,
    ListReactionsRequest, ListRelevantRequest, PostOrder, Target, TargetKind, TimeWindow,
};
use proto::marketplace::v1::ad_service_client::AdServiceClient;
use proto::marketplace::v1::{AdOrder, Condition, ListAdsRequest, ListNearbyAdsRequest};
use sqlx::{Connection, PgConnection};
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use crate::platform::{self, Ground};
use crate::process::{self, Process, Spent};
use crate::rounds::median;
use crate::{machine, report, run};

/// Everybody's password after `plaza seed`.
const PASSWORD: &str = "Plaza-demo-1";
/// As the edge asks for them in lists.
const WITH_COMMENTS: Option<CommentDepth> = Some(CommentDepth { top: 5, replies: 3, levels: 5 });
/// As the edge asks for them with a post by itself.
const WITH_ALL_COMMENTS: Option<CommentDepth> = Some(CommentDepth { top: 100, replies: 100, levels: 10 });
/// The page that is compared with the first.
const DEEP: usize = 10_000;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// 1 is a million posts; see `plaza seed --help`.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Requests of each kind.
    #[arg(long, default_value_t = 300)]
    requests: usize,
    /// A PostgreSQL server that we may create databases on, as its superuser.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    redis_url: String,
    #[arg(long, default_value = "bench/LISTS.md")]
    results: PathBuf,
}

/// Times in milliseconds, smallest first.
struct Times(Vec<f64>);

impl Times {
    fn of(mut ms: Vec<f64>) -> Self {
        ms.sort_unstable_by(f64::total_cmp);
        Self(ms)
    }

    fn at(&self, part: f64) -> f64 {
        self.0.get((self.0.len() as f64 * part) as usize).copied().unwrap_or(f64::NAN)
    }
}

/// Times of one kind of request.
struct Line {
    what: &'static str,
    goal_ms: f64,
    /// What the servers worked for it: edge, service and PostgreSQL together.
    servers: Times,
    /// How long the client waited.
    client: Times,
}

/// Pages of one list from its first to a deep one.
struct Depth {
    what: &'static str,
    page: usize,
    first_ms: f64,
    deep_ms: f64,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let binaries = std::env::current_exe()?.parent().context("a program lies in a folder")?.to_owned();
    platform::check(&binaries)?;
    let dir = std::env::temp_dir().join(format!("plaza-lists.{}", std::process::id()));
    std::fs::create_dir(&dir)?;
    let ground = Ground {
        binaries,
        dir: dir.clone(),
        database_url: options.database_url.clone(),
        redis_url: options.redis_url.clone(),
    };
    tokio::spawn(process::watch_signals());
    let outcome = measure(&options, &ground).await;
    let _ = std::fs::remove_dir_all(&dir);
    let text = outcome?;
    println!("{text}");
    report::write(&options.results, &text)?;
    run::say(&format!("written to {}", options.results.display()));
    Ok(())
}

async fn measure(options: &Options, ground: &Ground) -> anyhow::Result<String> {
    let (version, postmaster) = run::postgres(&ground.database_url).await?;
    let machine = machine::describe(&version);
    let mut postgres = PgConnection::connect(&ground.database_url).await?;
    run::say("starting the platform");
    let (platform, data_dir) = platform::start_plaza(ground)?;
    run::say(&format!("filling it at scale {}", options.scale));
    let seeding = Instant::now();
    let mut seed = Command::new(ground.binaries.join("plaza"));
    seed.args(["seed", "--scale", &options.scale.to_string(), "--data-dir"]).arg(&data_dir).stdout(Stdio::null());
    ensure!(seed.status()?.success(), "plaza seed failed");
    let seeding = seeding.elapsed();

    run::say("waiting until PostgreSQL has tidied up");
    settle(&mut postgres).await?;

    let servers = Servers { pids: platform.processes.iter().map(|process| process.pid).collect(), postmaster };
    let asker = Asker::sign_in(platform.edge).await?;
    let (mut lines, mut spins) = (Vec::new(), Vec::new());
    for kind in kinds() {
        process::go_on()?;
        lines.push(asker.time(kind, options.requests, &servers).await?);
        spins.extend((0..40).map(|_| spin()));
    }
    let depths = asker.depths().await?;
    let used = kept(&platform.processes)?;
    Ok(tables(&machine, options, seeding, &lines, &Times::of(spins), &depths, used))
}

/// A platform in use has not been filled the minute before: what a bulk load calls for in the background is done, and what
/// was written lies on the disk.
async fn settle(postgres: &mut PgConnection) -> anyhow::Result<()> {
    let (end, mut quiet) = (Instant::now() + Duration::from_secs(900), 0);
    // It looks for work once a minute.
    while quiet < 70 {
        ensure!(Instant::now() < end, "autovacuum has found work for a quarter of an hour");
        process::pause(Duration::from_secs(1))?;
        let workers = "select count(*) from pg_stat_activity where backend_type = 'autovacuum worker'";
        let working: i64 = sqlx::query_scalar(workers).fetch_one(&mut *postgres).await?;
        quiet = if working == 0 { quiet + 1 } else { 0 };
    }
    sqlx::query("checkpoint").execute(&mut *postgres).await?;
    Ok(())
}

/// How long a loop takes that needs about two milliseconds of a processor and nothing else: what is longer went to others,
/// of this machine or beside it.
fn spin() -> f64 {
    let started = Instant::now();
    let mut state = 1_u64;
    for _ in 0..2_000_000 {
        state = black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
    started.elapsed().as_secs_f64() * 1000.0
}

/// Whose processor time a request costs.
struct Servers {
    pids: Vec<u32>,
    postmaster: u32,
}

impl Servers {
    fn spent(&self) -> anyhow::Result<Spent> {
        Spent::of(&self.pids, self.postmaster)
    }
}

fn kept(processes: &[Process]) -> anyhow::Result<f64> {
    let kb: u64 = processes.iter().map(|p| Ok(process::memory(p.pid)?.rss_kb)).sum::<anyhow::Result<u64>>()?;
    Ok(kb as f64 / 1024.0)
}

/// A kind of request.
struct Kind {
    what: &'static str,
    goal_ms: f64,
    ask: Ask,
}

enum Ask {
    Posts(PostOrder, TimeWindow, bool),
    /// A page as the old frontend asks for it, so many rows behind the first.
    PostsBehind(i32),
    AdsBehind(i32),
    Feed,
    Relevant,
    Post,
    Thread,
    Comments,
    Reactions,
    Ads(AdOrder, bool),
    Search(&'static [&'static str]),
    Nearby,
}

fn kinds() -> Vec<Kind> {
    use PostOrder::{Active, Controversial, Hot, New, Top};
    let posts = |what, order, window, comments| Kind { what, goal_ms: 8.0, ask: Ask::Posts(order, window, comments) };
    let kind = |what, goal_ms, ask| Kind { what, goal_ms, ask };
    vec![
        posts("20 posts, newest first, without comments", New, TimeWindow::All, false),
        posts("20 posts, newest first", New, TimeWindow::All, true),
        posts("20 posts of a community, newest first", New, TimeWindow::Unspecified, true),
        posts("20 posts, hot", Hot, TimeWindow::All, true),
        posts("20 posts, top of all times", Top, TimeWindow::All, true),
        posts("20 posts, top of the year", Top, TimeWindow::Year, true),
        posts("20 posts, top of the month", Top, TimeWindow::Month, true),
        posts("20 posts, top of the week", Top, TimeWindow::Week, true),
        posts("20 posts, top of the day", Top, TimeWindow::Day, true),
        posts("20 posts, active", Active, TimeWindow::All, true),
        posts("20 posts, controversial", Controversial, TimeWindow::All, true),
        kind("20 posts, page 500 by number", 8.0, Ask::PostsBehind(9_980)),
        kind("feed of somebody's communities", 8.0, Ask::Feed),
        kind("`relevant`, another person each time", 25.0, Ask::Relevant),
        kind("a post with its thread", 8.0, Ask::Post),
        kind("replies to the top of a thread", 8.0, Ask::Thread),
        kind("20 comments on a post, newest first", 8.0, Ask::Comments),
        kind("20 reactions to a post", 8.0, Ask::Reactions),
        kind("20 ads, newest first", 8.0, Ask::Ads(AdOrder::Unspecified, false)),
        kind("20 ads of a category and condition, newest first", 8.0, Ask::Ads(AdOrder::Unspecified, true)),
        kind("20 ads, cheapest first", 8.0, Ask::Ads(AdOrder::Cheapest, false)),
        kind("20 ads, page 500 by number", 8.0, Ask::AdsBehind(9_980)),
        kind("200 ads nearby", 10.0, Ask::Nearby),
        kind("ads by a word", 20.0, Ask::Search(&["semental", "vaquilla", "riego", "alambre", "bomba"])),
        kind("ads by several words", 20.0, Ask::Search(&["semilla maiz", "vacuna ternero", "tractor arado"])),
        kind("ads by the beginning of a word", 20.0, Ask::Search(&["sem", "inse", "fertil", "ord"])),
        kind("ads by a misspelled word", 20.0, Ask::Search(&["semenatl", "fertilisante", "vaqilla", "trctor"])),
    ]
}

/// Clients of the edge, signed in as a few people of the large community.
struct Asker {
    edge: Channel,
    tokens: Vec<String>,
}

impl Asker {
    async fn sign_in(edge: SocketAddr) -> anyhow::Result<Self> {
        let edge = Endpoint::from_shared(format!("http://{edge}"))?.tcp_nodelay(true).connect().await?;
        let mut tokens = Vec::new();
        for number in 1..=40 {
            let login = Some(Login::Phone(format!("50501{:08}", number * 1000)));
            let request = LogInRequest { login, password: PASSWORD.into(), second_factor: String::new() };
            // Numbers begin where the platform's own people end, so not every one of these is somebody.
            if let Ok(answer) = SessionServiceClient::new(edge.clone()).log_in(request).await {
                tokens.extend(answer.into_inner().tokens.map(|tokens| tokens.access_token));
            }
        }
        ensure!(!tokens.is_empty(), "nobody of the large community could sign in");
        Ok(Self { edge, tokens })
    }

    fn signed<T>(&self, message: T, turn: usize) -> anyhow::Result<Request<T>> {
        let mut request = Request::new(message);
        let token = &self.tokens[turn % self.tokens.len()];
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
        Ok(request)
    }

    async fn time(&self, kind: Kind, requests: usize, servers: &Servers) -> anyhow::Result<Line> {
        let (mut waited, mut worked) = (Vec::with_capacity(requests), Vec::with_capacity(requests));
        // Some to warm up: what is measured is a platform in use.
        let warm_up = requests.min(30);
        let mut before = servers.spent()?;
        for turn in 0..requests + warm_up {
            let started = Instant::now();
            self.ask(&kind.ask, turn).await.with_context(|| kind.what)?;
            let client = started.elapsed();
            // What is still to be done behind an answer belongs to its request too.
            tokio::time::sleep(Duration::from_millis(1)).await;
            let after = servers.spent()?;
            if turn >= warm_up {
                waited.push(client.as_secs_f64() * 1000.0);
                worked.push(after.since(&before).as_secs_f64() * 1000.0);
            }
            before = after;
        }
        let line =
            Line { what: kind.what, goal_ms: kind.goal_ms, servers: Times::of(worked), client: Times::of(waited) };
        let [p50, p99, client_p50, client_p99] =
            [line.servers.at(0.5), line.servers.at(0.99), line.client.at(0.5), line.client.at(0.99)];
        eprintln!("  {:<54} {p50:>6.2} ms, p99 {p99:>6.2}; client {client_p50:>6.2}, p99 {client_p99:>6.2}", line.what);
        Ok(line)
    }

    async fn ask(&self, ask: &Ask, turn: usize) -> anyhow::Result<()> {
        let (mut posts, mut comments) =
            (PostServiceClient::new(self.edge.clone()), CommentServiceClient::new(self.edge.clone()));
        let mut ads = AdServiceClient::new(self.edge.clone());
        // Spread over everything, the same in every run.
        let somewhere = 1 + (turn as i64).wrapping_mul(7919) % 10_000;
        let found = match ask {
            Ask::Posts(order, window, with_comments) => {
                // Without a window the community is the filter.
                let community_id = (*window == TimeWindow::Unspecified).then_some(1 + turn as i64 % 4);
                let request = ListPostsRequest {
                    order: (*order).into(),
                    window: (*window).into(),
                    community_id,
                    comments: if *with_comments { WITH_COMMENTS } else { None },
                    ..ListPostsRequest::default()
                };
                posts.list_posts(request).await?.into_inner().posts.len()
            }
            Ask::PostsBehind(skip) => {
                let request = ListPostsRequest { skip: *skip, comments: WITH_COMMENTS, ..ListPostsRequest::default() };
                posts.list_posts(request).await?.into_inner().posts.len()
            }
            Ask::AdsBehind(skip) => {
                let request = ListAdsRequest { skip: *skip, ..ListAdsRequest::default() };
                ads.list_ads(request).await?.into_inner().ads.len()
            }
            Ask::Feed => {
                let request = ListFeedRequest { comments: WITH_COMMENTS, ..ListFeedRequest::default() };
                posts.list_feed(self.signed(request, turn)?).await?;
                1
            }
            Ask::Relevant => {
                let request = ListRelevantRequest { comments: WITH_COMMENTS, ..ListRelevantRequest::default() };
                let request = self.signed(request, turn)?;
                posts.list_relevant(request).await?.into_inner().posts.len()
            }
            Ask::Post => {
                posts.get_post(GetPostRequest { id: somewhere, comments: WITH_ALL_COMMENTS }).await?;
                1
            }
            Ask::Thread => {
                let request = GetThreadRequest { post_id: somewhere, ..GetThreadRequest::default() };
                comments.get_thread(request).await?;
                1
            }
            Ask::Comments => {
                let request = ListCommentsRequest { post_id: Some(somewhere), ..ListCommentsRequest::default() };
                comments.list_comments(request).await?;
                1
            }
            Ask::Reactions => {
                let target = Some(Target { kind: TargetKind::Post.into(), id: somewhere });
                let request = ListReactionsRequest { target, ..ListReactionsRequest::default() };
                ReactionServiceClient::new(self.edge.clone()).list_reactions(request).await?;
                1
            }
            Ask::Ads(order, filtered) => {
                let mut request = ListAdsRequest { order: (*order).into(), ..ListAdsRequest::default() };
                if *filtered {
                    request.category_id = Some([24, 32, 33, 36, 38][turn % 5]);
                    request.condition = Condition::Used.into();
                }
                ads.list_ads(request).await?.into_inner().ads.len()
            }
            Ask::Search(texts) => {
                let request = ListAdsRequest { search: texts[turn % texts.len()].into(), ..ListAdsRequest::default() };
                ads.list_ads(request).await?.into_inner().ads.len()
            }
            Ask::Nearby => {
                // From the Pacific to the Caribbean.
                let center =
                    Point { latitude: 11.5 + (turn % 17) as f64 / 8.0, longitude: -87.0 + (turn % 29) as f64 / 10.0 };
                let request = ListNearbyAdsRequest { center: Some(center), radius_km: 50.0 };
                ads.list_nearby_ads(request).await?;
                1
            }
        };
        ensure!(found > 0, "nothing was found");
        Ok(())
    }

    async fn depths(&self) -> anyhow::Result<Vec<Depth>> {
        let posts = PostServiceClient::new(self.edge.clone());
        let new = depth("posts, newest first", |page_token, _| {
            let mut posts = posts.clone();
            async move {
                let request = ListPostsRequest { page_token, ..ListPostsRequest::default() };
                Ok(posts.list_posts(request).await?.into_inner().next_page_token)
            }
        });
        let hot = depth("posts, hot", |page_token, _| {
            let mut posts = posts.clone();
            async move {
                let request =
                    ListPostsRequest { order: PostOrder::Hot.into(), page_token, ..ListPostsRequest::default() };
                Ok(posts.list_posts(request).await?.into_inner().next_page_token)
            }
        });
        let relevant = depth("`relevant`", |page_token, who| {
            let mut posts = posts.clone();
            async move {
                let request = self.signed(ListRelevantRequest { page_token, ..ListRelevantRequest::default() }, who)?;
                Ok(posts.list_relevant(request).await?.into_inner().next_page_token)
            }
        });
        let comments = CommentServiceClient::new(self.edge.clone());
        let all = depth("comments, newest first", |page_token, _| {
            let mut comments = comments.clone();
            async move {
                let request = ListCommentsRequest { page_token, ..ListCommentsRequest::default() };
                Ok(comments.list_comments(request).await?.into_inner().next_page_token)
            }
        });
        let ads = AdServiceClient::new(self.edge.clone());
        let for_sale = depth("ads, newest first", |page_token, _| {
            let mut ads = ads.clone();
            async move {
                let request = ListAdsRequest { page_token, ..ListAdsRequest::default() };
                Ok(ads.list_ads(request).await?.into_inner().next_page_token)
            }
        });
        Ok(vec![new.await?, hot.await?, relevant.await?, all.await?, for_sale.await?])
    }
}

/// Walks to page 10,000 or to the last, then asks for the first and that one in turn. The first is asked for by somebody
/// else than who walked, 1 instead of 0: of what is ranked for a person, only the latest rankings are kept.
async fn depth<F>(what: &'static str, mut page: impl FnMut(String, usize) -> F) -> anyhow::Result<Depth>
where
    F: Future<Output = anyhow::Result<String>>,
{
    let (mut number, mut token) = (1, String::new());
    while number < DEEP {
        process::go_on()?;
        match page(token.clone(), 0).await? {
            next if next.is_empty() => break,
            next => token = next,
        }
        number += 1;
    }
    let (mut first, mut deep) = (Vec::new(), Vec::new());
    for _ in 0..200 {
        for (token, who, ms) in [(String::new(), 1, &mut first), (token.clone(), 0, &mut deep)] {
            let started = Instant::now();
            page(token, who).await?;
            ms.push(started.elapsed().as_secs_f64() * 1000.0);
        }
    }
    Ok(Depth { what, page: number, first_ms: median(first), deep_ms: median(deep) })
}

fn tables(
    machine: &[String],
    options: &Options,
    seeding: Duration,
    lines: &[Line],
    spins: &Times,
    depths: &[Depth],
    memory_mb: f64,
) -> String {
    let mut text = String::from("# Results of `bench lists`\n\n");
    for line in machine {
        let _ = writeln!(text, "* {line}");
    }
    let _ = writeln!(
        text,
        "* `plaza seed --scale {}`: {:.0} s, through which the services went on running\n\
         * Memory of `plaza up` afterwards: {memory_mb:.0} MB\n",
        options.scale,
        seeding.as_secs_f64()
    );
    let _ = writeln!(
        text,
        "One request after the other by gRPC through the edge, with a few milliseconds between them, {} of each kind after a \
         warm-up, once no autovacuum had been seen for a minute and PostgreSQL had written a checkpoint. Lists of posts bring \
         the comments that the frontend shows.\n\n\
         *Servers* is the time that processors worked for a request: edge, mutual TLS, service and PostgreSQL together (Redis \
         is left out), with whatever these did in the background meanwhile. The scheduler counts it by thread (`schedstat`), \
         without the time in which the machine was lent to its other guests, if the kernel is told of that. *Client* is what \
         somebody waited, with all of that, wake-ups and the sockets in it. How noisy the machine is: a loop that needs a \
         processor for {:.1} ms and nothing else took {:.1} ms at its 99th percentile, measured between the rows.\n\n\
         Goals are about the 99th percentile of the servers' time; whether the client's was within the same is told too.\n",
        options.requests,
        spins.at(0.1),
        spins.at(0.99)
    );
    text += "| request | goal, p99 ms | servers, p50 | p99 | | client, p50 | p99 | |\n\
             | --- | ---: | ---: | ---: | --- | ---: | ---: | --- |\n";
    for Line { what, goal_ms, servers, client } in lines {
        let met = |times: &Times| if times.at(0.99) <= *goal_ms { "met" } else { "**missed**" };
        let cells =
            [servers, client].map(|times| format!("{:.2} | {:.2} | {}", times.at(0.5), times.at(0.99), met(times)));
        let _ = writeln!(text, "| {what} | {goal_ms:.0} | {} |", cells.join(" | "));
    }
    text += "\n## Deep pages by token\n\nThe first page and a deep one in turn, medians of 200 each; goal: within 10 %.\n\n";
    text += "| list | page | first, ms | deep, ms | ratio | |\n| --- | ---: | ---: | ---: | ---: | --- |\n";
    for Depth { what, page, first_ms, deep_ms } in depths {
        let ratio = deep_ms / first_ms;
        let met = if ratio <= 1.1 { "met" } else { "**missed**" };
        let _ = writeln!(text, "| {what} | {page} | {first_ms:.2} | {deep_ms:.2} | {ratio:.2} | {met} |");
    }
    text
}
