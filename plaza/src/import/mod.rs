//! Agrovet's old monolith brought its chat and its forum along: `plaza import agrovet` reads what Django's `dumpdata` wrote
//! and gives it to `chat` and `forum`, which say in their modules `bulk` what becomes of it. Each of both is one
//! transaction: whoever is killed in between has imported nothing of it, and runs the same command again.
//!
//! It is history, so no event is published and nobody is notified. Its people and files were brought in before, under
//! the numbers they had; who is missing is shown like somebody who deleted the account.

mod dump;
mod known;
mod models;
mod objects;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, bail};
use chat::bulk as chats;
use forum::bulk::import as forums;
use kit::bulk::Load;
use kit::bulk::import::Outcome;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::sync::mpsc;

use crate::import::dump::{Batch, Labels, Read};
use crate::import::known::Known;
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
    /// Rooms, messages and receipts, communities, posts, comments and reactions of Agrovet's monolith, numbers included,
    /// into a running platform. Again: only what is missing.
    Agrovet(Agrovet),
}

#[derive(clap::Args, Clone, Debug)]
struct Agrovet {
    #[command(flatten)]
    place: Place,

    /// What `manage.py dumpdata chat foro auth_app contenttypes` wrote, with `--format jsonl` or without; `-` is the
    /// standard input.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

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
    let url = match &options.server {
        Some(url) => url.clone(),
        None => expect_running(&options.place)?.database_url,
    };
    let server = PgConnectOptions::from_str(&url).context("the server's URL")?;
    let known = Known { users: pool(&server, "users").await?, media: pool(&server, "media").await? };
    let mut chat = chats::begin(&pool(&server, "chat").await?).await?;
    let mut forum = forums::begin(&pool(&server, "forum").await?).await?;

    let mut read = stage(&options, &mut chat, &mut forum).await?;
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

    let step = Step::begin("people, files");
    chats::staged(&mut chat).await?;
    forums::staged(&mut forum, &read.kinds).await?;
    let mut strangers = Vec::new();
    for load in [&mut chat, &mut forum] {
        known.introduce(load, &read, &mut strangers).await?;
    }
    strangers.sort_unstable();
    strangers.dedup();
    if !strangers.is_empty() && !options.trust_numbers {
        let first: Vec<_> = strangers.iter().take(10).map(i64::to_string).collect();
        bail!(
            "{} people here have another phone than those with their numbers in the dump ({}{}). If they are the same \
             people all the same, say --trust-numbers; otherwise import the accounts first, or somebody reads what is \
             not theirs. Nothing was imported",
            strangers.len(),
            first.join(", "),
            if strangers.len() > first.len() { ", …" } else { "" },
        );
    }
    step.done();
    if read.phones.is_empty() {
        line("  … there are no people in the dump, so that people are believed to have the same numbers here");
    }

    // Each is finished at once: nobody writes into it meanwhile.
    let step = Step::begin("chat");
    let mut outcome = chats::merge(&mut chat).await?;
    if options.dry_run {
        drop(chat);
    } else {
        chats::finish(chat).await?;
    }
    step.done();
    let step = Step::begin("forum");
    outcome.extend(forums::merge(&mut forum).await?);
    if options.dry_run {
        drop(forum);
    } else {
        forums::finish(forum).await?;
    }
    step.done();
    print(table(&outcome, &read, options.dry_run));
    Ok(if outcome.count("conflict") == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn pool(server: &PgConnectOptions, service: &str) -> anyhow::Result<PgPool> {
    let options = server.clone().database(&database(service));
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await;
    pool.with_context(|| format!("connecting to the database of {service}"))
}

/// Reads the dumps into both databases, where nobody sees it yet.
async fn stage(options: &Agrovet, chat: &mut Load, forum: &mut Load) -> anyhow::Result<Read> {
    let sizes = options.files.iter().filter(|file| *file != Path::new("-"));
    let sizes = sizes.map(|file| std::fs::metadata(file).map_or(0, |found| found.len()));
    let progress = Progress::begin("reading, KiB", (sizes.sum::<u64>() >> 10) as usize);
    let (sender, mut batches) = mpsc::channel(2);
    let (files, labels) = (options.files.clone(), options.labels.clone());
    let reading = tokio::task::spawn_blocking(move || dump::read(&files, &labels, &sender));
    let (mut bytes, mut shown) = (0, 0);
    while let Some(batch) = batches.recv().await {
        stage_batch(&batch, chat, forum).await?;
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

async fn stage_batch(batch: &Batch, chat: &mut Load, forum: &mut Load) -> anyhow::Result<()> {
    if !batch.rooms.is_empty() {
        chats::stage_rooms(chat, &batch.rooms).await?;
    }
    if !batch.messages.is_empty() {
        chats::stage_messages(chat, &batch.messages).await?;
    }
    if !batch.receipts.is_empty() {
        chats::stage_receipts(chat, &batch.receipts).await?;
    }
    if !batch.communities.is_empty() {
        forums::stage_communities(forum, &batch.communities).await?;
    }
    if !batch.posts.is_empty() {
        forums::stage_posts(forum, &batch.posts).await?;
    }
    if !batch.comments.is_empty() {
        forums::stage_comments(forum, &batch.comments).await?;
    }
    if !batch.reactions.is_empty() {
        forums::stage_reactions(forum, &batch.reactions).await?;
    }
    Ok(())
}

/// What became of everything.
fn table(outcome: &Outcome, read: &Read, dry_run: bool) -> String {
    let mut rows = vec![format!("\n  {:<14}{:>12}{:>12}{:>12}", "", "imported", "there", "left out")];
    for what in ["rooms", "messages", "receipts", "communities", "posts", "comments", "reactions"] {
        let of = outcome.counts.iter().filter(|(found, _, _)| found == what);
        let (mut imported, mut there, mut reasons) = (0, 0, Vec::new());
        for (_, became, count) in of {
            match &**became {
                "imported" => imported += count,
                "there" => there += count,
                reason => reasons.push((reason, count)),
            }
        }
        let left: i64 = reasons.iter().map(|(_, count)| *count).sum();
        rows.push(format!("  {what:<14}{imported:>12}{there:>12}{left:>12}"));
        reasons.sort_unstable();
        rows.extend(reasons.iter().map(|(reason, count)| format!("  {:<38}{count:>12}  {reason}", "")));
    }
    let others =
        read.others.iter().map(|(model, count)| (format!("objects of {model} are not imported"), *count as i64));
    let notes: Vec<_> = outcome.notes.iter().cloned().chain(others).collect();
    if !notes.is_empty() {
        rows.push(String::new());
        rows.extend(notes.iter().map(|(note, count)| format!("  {count:>12} {note}")));
    }
    let conflicting = outcome.count("conflict");
    if conflicting > 0 {
        rows.push(format!("\n  {conflicting} in conflict with what is here, which stays as it is:"));
        rows.extend(outcome.conflicts.iter().map(|conflict| format!("    {conflict}")));
        if conflicting > outcome.conflicts.len() as i64 {
            rows.push("    …".to_owned());
        }
    }
    if dry_run {
        rows.push("\n  Nothing was written: it was a dry run.".to_owned());
    }
    rows.join("\n")
}
