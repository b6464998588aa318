//! Agrovet's old monolith, or its microservices: `plaza import agrovet` reads what Django's `dumpdata` wrote and gives it to
//! the services, which say in their modules `bulk` what becomes of it. Each of them is one transaction: whoever is killed
//! in between has imported nothing of it, and runs the same command again. Accounts come first, as all else is theirs.
//!
//! It is history, so no event is published and nobody is notified. Who is missing is shown like somebody who deleted the
//! account.

mod dump;
mod files;
mod known;
mod loads;
mod models;
mod objects;
mod table;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, bail};
use kit::bulk::Load;
use media::bulk::Importer;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::sync::mpsc;

use crate::import::dump::{Labels, Read};
use crate::import::files::Files;
use crate::import::known::Known;
use crate::import::loads::Loads;
use crate::import::table::table;
use crate::installation::{Place, expect_running};
use crate::postgres::database;
use crate::report::{Progress, Step, line, print};

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    #[command(subcommand)]
    from: From,
}

#[derive(clap::Subcommand, Clone, Debug)]
enum From {
    /// Accounts with their passwords, files, profiles, ads, chats and the forum of Agrovet's monolith, numbers included,
    /// into a running platform. Again: only what is missing.
    Agrovet(Agrovet),
}

#[derive(clap::Args, Clone, Debug)]
struct Agrovet {
    #[command(flatten)]
    place: Place,

    /// What `manage.py dumpdata contenttypes auth_app.user media profiles add chat foro` wrote, with `--format jsonl` or without;
    /// `-` is the standard input.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Where the bytes of the files lie: a copy of the bucket, or `MEDIA_ROOT`. Without it a picture or document is only
    /// shown if it is here already, with its number and as its person's own.
    #[arg(long, value_name = "FOLDER")]
    files_from: Option<PathBuf>,

    /// Where `media` keeps files; that of the running platform unless given.
    #[arg(long, value_name = "URL", env = "MEDIA_STORAGE_URL")]
    storage_url: Option<String>,

    /// The server with the services' databases, as its superuser; that of the running platform unless given.
    #[arg(long, value_name = "URL")]
    server: Option<String>,

    /// Check, and say what would be imported, but write nothing.
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    labels: Labels,

    /// The number of the content type of posts, where the dump has no content types.
    #[arg(long, value_name = "NUMBER")]
    post_type: Option<i64>,

    /// The same of comments.
    #[arg(long, value_name = "NUMBER")]
    comment_type: Option<i64>,

    /// Import although people here have another phone than those with their numbers in the dump.
    #[arg(long)]
    trust_numbers: bool,
}

/// `plaza import`.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let From::Agrovet(options) = options.from;
    let (url, storage_url) = places(&options)?;
    let server = PgConnectOptions::from_str(&url).context("the server's URL")?;
    let media = pool(&server, "media", files::AT_ONCE).await?;
    let importer = match (&options.files_from, storage_url) {
        (None, _) => None,
        (Some(_), Some(storage_url)) if storage_url.starts_with("memory:") => {
            bail!("the platform keeps files in its memory, which only it can fill")
        }
        (Some(_), Some(storage_url)) => Some(Importer::open(media.clone(), &storage_url)?),
        (Some(_), None) => bail!("--files-from needs --storage-url beside --server"),
    };
    let mut loads = Loads::begin(&server).await?;

    let mut read = stage(&options, &mut loads).await?;
    if !read.mistakes.is_empty() {
        read.mistakes.iter().for_each(|mistake| line(&format!("  ✗ {mistake}")));
        bail!("the dump is broken; nothing was imported");
    }
    // What is said here counts more than what the dump says.
    for (number, kind) in [(options.post_type, "post"), (options.comment_type, "comment")] {
        if let Some(number) = number {
            read.kinds.retain(|(other, _)| *other != number.to_string());
            read.kinds.push((number.to_string(), kind.to_owned()));
        }
    }
    loads.staged(&mut read).await?;

    let step = Step::begin("accounts");
    let mut strangers = Vec::new();
    let mut outcome = loads.merge_people(&read, &mut strangers).await?;
    step.done();
    let step = Step::begin("people, files");
    let mut known = Known { users: &mut loads.users, media: &media, expected: HashMap::new() };
    let mut files = None;
    if let (Some(folder), Some(importer)) = (&options.files_from, &importer) {
        if !options.dry_run
            && let Some((highest, _)) = read.files.last_key_value()
        {
            importer.reserve(*highest).await?;
        }
        let mut looked = Files::look(folder, &read, &mut known, &mut strangers).await?;
        known.expected = std::mem::take(&mut looked.expected);
        files = Some((looked, importer));
    } else if !read.files.is_empty() {
        read.others.insert("media.media".to_owned(), read.files.len() as u64);
    }
    for load in [&mut loads.profiles, &mut loads.marketplace, &mut loads.chat, &mut loads.forum] {
        known.introduce(load, &read, &mut strangers).await?;
    }
    if !options.trust_numbers {
        refuse(strangers)?;
    }
    // At once, as nobody signs in meanwhile. Everything else is of people who are there.
    end(loads.auth, options.dry_run, auth::bulk::import::finish).await?;
    end(loads.users, options.dry_run, users::bulk::import::finish).await?;
    step.done();
    if read.phones.is_empty() {
        line("  … there are no people in the dump, so that people are believed to have the same numbers here");
    }

    if let Some((mut files, importer)) = files {
        if !options.dry_run {
            let refused = files.bring(importer).await?;
            for load in [&mut loads.profiles, &mut loads.marketplace, &mut loads.chat, &mut loads.forum] {
                kit::bulk::import::detach(load, &refused).await?;
            }
        }
        outcome.extend(files.outcome());
    }

    // Each is finished at once: nobody writes into it meanwhile.
    let step = Step::begin("profiles");
    outcome.extend(profiles::bulk::import::merge(&mut loads.profiles).await?);
    end(loads.profiles, options.dry_run, profiles::bulk::import::finish).await?;
    step.done();
    let step = Step::begin("marketplace");
    outcome.extend(marketplace::bulk::import::merge(&mut loads.marketplace).await?);
    end(loads.marketplace, options.dry_run, marketplace::bulk::import::finish).await?;
    step.done();
    let step = Step::begin("chat");
    outcome.extend(chat::bulk::merge(&mut loads.chat).await?);
    end(loads.chat, options.dry_run, chat::bulk::finish).await?;
    step.done();
    let step = Step::begin("forum");
    outcome.extend(forum::bulk::import::merge(&mut loads.forum).await?);
    end(loads.forum, options.dry_run, forum::bulk::import::finish).await?;
    step.done();
    print(table(&outcome, &read, options.dry_run));
    Ok(if outcome.count("conflict") == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The server, and where `media` keeps files if that is known: what was said, or else what is so in the running platform.
fn places(options: &Agrovet) -> anyhow::Result<(String, Option<String>)> {
    let storage_url = options.storage_url.clone();
    if let Some(server) = &options.server {
        return Ok((server.clone(), storage_url));
    }
    let running = expect_running(&options.place)?;
    Ok((running.database_url, storage_url.or(Some(running.storage_url))))
}

/// Fails if there are any.
fn refuse(mut strangers: Vec<i64>) -> anyhow::Result<()> {
    strangers.sort_unstable();
    strangers.dedup();
    if strangers.is_empty() {
        return Ok(());
    }
    let first: Vec<_> = strangers.iter().take(10).map(i64::to_string).collect();
    bail!(
        "{} people here have another phone than those with their numbers in the dump ({}{}). If they are the same people \
         all the same, say --trust-numbers; otherwise somebody would read what is not theirs. Nothing was imported",
        strangers.len(),
        first.join(", "),
        if strangers.len() > first.len() { ", …" } else { "" },
    );
}

/// Makes an import true, unless it is a dry run.
async fn end<F>(load: Load, dry_run: bool, finish: impl FnOnce(Load) -> F) -> kit::Result<()>
where
    F: Future<Output = kit::Result<()>>,
{
    if dry_run {
        drop(load);
        return Ok(());
    }
    finish(load).await
}

async fn pool(server: &PgConnectOptions, service: &str, connections: u32) -> anyhow::Result<PgPool> {
    let options = server.clone().database(&database(service));
    let pool = PgPoolOptions::new().max_connections(connections).connect_with(options).await;
    pool.with_context(|| format!("connecting to the database of {service}"))
}

/// Reads the dumps into all databases, where nobody sees it yet.
async fn stage(options: &Agrovet, loads: &mut Loads) -> anyhow::Result<Read> {
    let sizes = options.files.iter().filter(|file| *file != Path::new("-"));
    let sizes = sizes.map(|file| std::fs::metadata(file).map_or(0, |found| found.len()));
    let progress = Progress::begin("reading, KiB", (sizes.sum::<u64>() >> 10) as usize);
    let (sender, mut batches) = mpsc::channel(2);
    let (files, labels) = (options.files.clone(), options.labels.clone());
    let reading = tokio::task::spawn_blocking(move || dump::read(&files, &labels, &sender));
    let (mut bytes, mut shown) = (0, 0);
    while let Some(batch) = batches.recv().await {
        loads.stage(&batch).await?;
        bytes += batch.bytes;
        while shown < bytes >> 10 {
            progress.step();
            shown += 1;
        }
    }
    let read = reading.await??;
    progress.done();
    Ok(read)
}
