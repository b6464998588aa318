//! Reads dumps, in a thread of its own, into batches of rows. Besides the batch at hand it remembers the phones of the
//! people in the dump, what is said of files and who shows them, and what content types mean; nothing else.

mod marketplace;
mod media;
mod people;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use ::marketplace::bulk::import as market;
use ::media::bulk::Folder;
use ::profiles::bulk::import as profiles;
use anyhow::Context;
use auth::bulk::import as accounts;
use chat::bulk as chats;
use forum::bulk::import as forums;
use tokio::sync::mpsc::Sender;

pub(crate) use self::media::{Attached, Described, Shown};
use crate::import::models::{self, Record};
use crate::import::objects::{Broken, Objects};

/// Objects, and bytes, of a batch.
const MOST: usize = 5_000;
const LARGEST: u64 = 4 << 20;
/// Mistakes that are told before reading is given up.
const TOLD: usize = 20;

/// What the monolith's apps are called.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Labels {
    /// The app of rooms and messages.
    #[arg(long, value_name = "LABEL", default_value = "chat")]
    chat_app: String,

    /// The app of communities and posts.
    #[arg(long, value_name = "LABEL", default_value = "foro")]
    forum_app: String,

    /// The app of people.
    #[arg(long, value_name = "LABEL", default_value = "auth_app")]
    users_app: String,

    /// The app of profiles.
    #[arg(long, value_name = "LABEL", default_value = "profiles")]
    profiles_app: String,

    /// The app of categories, ads and follows.
    #[arg(long, value_name = "LABEL", default_value = "add")]
    marketplace_app: String,

    /// The app of files.
    #[arg(long, value_name = "LABEL", default_value = "media")]
    media_app: String,
}

/// Rows that are staged together.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) accounts: Vec<accounts::Account>,
    pub(crate) people: Vec<users::bulk::import::Person>,
    pub(crate) roles: Vec<profiles::Role>,
    pub(crate) profiles: Vec<profiles::Profile>,
    pub(crate) categories: Vec<market::Category>,
    pub(crate) ads: Vec<market::Ad>,
    pub(crate) follows: Vec<market::Follow>,
    pub(crate) rooms: Vec<chats::Room>,
    pub(crate) messages: Vec<chats::Message>,
    pub(crate) receipts: Vec<chats::Receipt>,
    pub(crate) communities: Vec<forums::Community>,
    pub(crate) posts: Vec<forums::Post>,
    pub(crate) comments: Vec<forums::Comment>,
    pub(crate) reactions: Vec<forums::Reaction>,
    /// Bytes of the dump that were read for it.
    pub(crate) bytes: u64,
    objects: usize,
}

/// What is known when everything was read.
#[derive(Default)]
pub(crate) struct Read {
    /// Lines that say nothing we understand.
    pub(crate) mistakes: Vec<String>,
    /// Objects of other models, by model.
    pub(crate) others: BTreeMap<String, u64>,
    pub(crate) phones: HashMap<i64, String>,
    pub(crate) numbers: HashMap<String, i64>,
    /// The numbers of the content types of posts and comments.
    pub(crate) kinds: Vec<(String, String)>,
    /// By number.
    pub(crate) files: BTreeMap<i64, Described>,
    /// By number, also of files that the dump does not describe.
    pub(crate) shown: HashMap<i64, Shown>,
    /// The kinds of profiles whose content types have these numbers.
    profile_kinds: HashMap<String, &'static str>,
}

/// Reads all of them, and hands over what there is.
pub(crate) fn read(sources: &[PathBuf], labels: &Labels, batches: &Sender<Batch>) -> anyhow::Result<Read> {
    let mut reader = Reader { labels, batches, batch: Batch::default(), read: Read::default(), place: 0 };
    for source in sources {
        if source == Path::new("-") {
            reader.all("the standard input", BufReader::with_capacity(1 << 18, std::io::stdin()))?;
        } else {
            let name = source.display().to_string();
            let file = File::open(source).with_context(|| format!("opening {name}"))?;
            reader.all(&name, BufReader::with_capacity(1 << 18, file))?;
        }
    }
    reader.hand_over();
    Ok(reader.read)
}

struct Reader<'a> {
    labels: &'a Labels,
    batches: &'a Sender<Batch>,
    batch: Batch,
    read: Read,
    place: i64,
}

impl Reader<'_> {
    fn all(&mut self, name: &str, source: impl BufRead) -> anyhow::Result<()> {
        let (mut objects, mut object) = (Objects::new(source), Vec::new());
        while self.read.mistakes.len() < TOLD {
            let before = objects.read;
            let line = match objects.next(&mut object) {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(Broken::Io(error)) => return Err(error).with_context(|| format!("reading {name}")),
                Err(Broken::Form { line, what }) => {
                    self.read.mistakes.push(format!("{name}, line {line}: {what}"));
                    break;
                }
            };
            if let Err((lines, what)) = self.take(&object) {
                let line = line + lines;
                self.read.mistakes.push(format!("{name}, line {line}: {what}"));
            }
            self.batch.bytes += objects.read - before;
            if self.batch.objects >= MOST || self.batch.bytes >= LARGEST {
                self.hand_over();
            }
        }
        Ok(())
    }

    /// Nothing is staged any more once something is wrong, as it will not be imported.
    fn hand_over(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if self.read.mistakes.is_empty() {
            // Nobody listens when staging failed, which says so itself.
            let _ = self.batches.blocking_send(batch);
        }
    }

    /// Or how many lines further down something is wrong, and what.
    fn take(&mut self, object: &[u8]) -> Result<(), (u64, String)> {
        let record = Record::read(object).map_err(|error| {
            let place = format!(" at line {} column {}", error.line(), error.column());
            (error.line().saturating_sub(1) as u64, error.to_string().replace(&place, ""))
        })?;
        let model = record.model.to_lowercase();
        let which = format!("{model} {}", record.pk);
        self.sort(&model, record).map_err(|what| (0, format!("{which}: {what}")))
    }

    fn sort(&mut self, model: &str, record: Record) -> Result<(), String> {
        self.place += 1;
        self.batch.objects += 1;
        let (app, name) = model.split_once('.').unwrap_or_default();
        match name {
            "chatroom" if app == self.labels.chat_app => self.room(record),
            "chatmessage" if app == self.labels.chat_app => self.message(record),
            "chatmessagereceipt" if app == self.labels.chat_app => self.receipt(record),
            "community" if app == self.labels.forum_app => self.community(record),
            "post" if app == self.labels.forum_app => self.post(record),
            "comment" if app == self.labels.forum_app => self.comment(record),
            "reaction" if app == self.labels.forum_app => self.reaction(record),
            // By phone alone, `--natural-primary`, people are looked up here.
            "user" if app == self.labels.users_app && !record.pk.is_null() => self.user(record),
            "specialistprofile" if app == self.labels.profiles_app => self.specialist(record),
            "businessmanprofile" if app == self.labels.profiles_app => self.businessman(record),
            "consumerprofile" if app == self.labels.profiles_app => self.consumer(record),
            "category" if app == self.labels.marketplace_app => self.category(record),
            "add" if app == self.labels.marketplace_app => self.ad(record),
            "follow" if app == self.labels.marketplace_app => self.follow(record),
            "media" if app == self.labels.media_app => self.media(record),
            "contenttype" if app == "contenttypes" && !record.pk.is_null() => {
                let number = record.number()?.to_string();
                let kind: models::ContentType = record.fields()?;
                if kind.app_label == self.labels.forum_app && matches!(&*kind.model, "post" | "comment") {
                    self.read.kinds.push((number, kind.model));
                } else if kind.app_label == self.labels.profiles_app {
                    match &*kind.model {
                        "specialistprofile" => drop(self.read.profile_kinds.insert(number, "SPECIALIST")),
                        "businessmanprofile" => drop(self.read.profile_kinds.insert(number, "BUSINESSMAN")),
                        _ => {}
                    }
                }
                Ok(())
            }
            _ => {
                *self.read.others.entry(model.to_owned()).or_default() += 1;
                Ok(())
            }
        }
    }

    fn room(&mut self, record: Record) -> Result<(), String> {
        let number = record.number()?;
        let room: models::Room = record.fields()?;
        self.batch.rooms.push(chats::Room {
            place: self.place,
            number,
            private: room.is_private,
            name: room.name.0,
            people: room.participants.into_iter().map(|who| who.0).collect(),
            created_at: room.created_at.0,
        });
        Ok(())
    }

    fn message(&mut self, record: Record) -> Result<(), String> {
        let number = record.number()?;
        let message: models::Message = record.fields()?;
        self.shown(&message.sender.0, Folder::Chat, message.media.map(|media| media.0));
        self.batch.messages.push(chats::Message {
            place: self.place,
            number,
            room: message.room.0,
            sender: message.sender.0,
            text: message.content.0,
            media: message.media.map(|media| media.0),
            sent_at: message.timestamp.0,
        });
        Ok(())
    }

    fn receipt(&mut self, record: Record) -> Result<(), String> {
        let number = record.number()?;
        let receipt: models::Receipt = record.fields()?;
        self.batch.receipts.push(chats::Receipt {
            place: self.place,
            number,
            message: receipt.message.0,
            person: receipt.user.0,
            delivered: receipt.delivered,
            delivered_at: receipt.delivered_at.map(|at| at.0),
            read: receipt.read,
            read_at: receipt.read_at.map(|at| at.0),
        });
        Ok(())
    }

    fn community(&mut self, record: Record) -> Result<(), String> {
        let id = record.number()?;
        let community: models::Community = record.fields()?;
        self.batch.communities.push(forums::Community {
            place: self.place,
            id,
            name: community.name.0,
            slug: slug(&community.slug.0).to_owned(),
            short_description: community.short_description.0,
            description: community.description.0,
            cover_image: Some(community.cover_image.0).filter(|image| !image.is_empty()),
            avatar: Some(community.avatar.0).filter(|image| !image.is_empty()),
            creator: community.created_by.map(|who| who.0),
            members: community.members.into_iter().map(|who| who.0).collect(),
            created_at: community.created_at.0,
        });
        Ok(())
    }

    fn post(&mut self, record: Record) -> Result<(), String> {
        let id = record.number()?;
        let post: models::Post = record.fields()?;
        self.shown(&post.author.0, Folder::Media, post.media.map(|media| media.0));
        self.batch.posts.push(forums::Post {
            place: self.place,
            id,
            author: post.author.0,
            community: post.community.map(|community| community.0),
            title: post.title.0,
            content: post.content.0,
            media: post.media.map(|media| media.0),
            views: post.views_count.max(0),
            relevance: post.relevance_score.max(0.0),
            created_at: post.created_at.0,
            updated_at: post.updated_at.unwrap_or(post.created_at).0,
        });
        Ok(())
    }

    fn comment(&mut self, record: Record) -> Result<(), String> {
        let id = record.number()?;
        let comment: models::Comment = record.fields()?;
        self.shown(&comment.user.0, Folder::Media, comment.media.map(|media| media.0));
        self.batch.comments.push(forums::Comment {
            place: self.place,
            id,
            author: comment.user.0,
            post: comment.post.0,
            parent: comment.parent.map(|parent| parent.0),
            content: comment.content.0,
            media: comment.media.map(|media| media.0),
            created_at: comment.created_at.0,
            updated_at: comment.updated_at.unwrap_or(comment.created_at).0,
        });
        Ok(())
    }

    fn reaction(&mut self, record: Record) -> Result<(), String> {
        let id = record.number()?;
        let reaction: models::Reaction = record.fields()?;
        let on = reaction.on()?;
        self.batch.reactions.push(forums::Reaction {
            place: self.place,
            id,
            person: reaction.user.0,
            kind: reaction.kind.0,
            on,
            object: reaction.object_id.0,
            created_at: reaction.created_at.0,
        });
        Ok(())
    }
}

/// What a community of the monolith, or of its copy, is called here.
fn slug(old: &str) -> &str {
    match old {
        "consumidores" | "dueno-animales-agricultores" => "ganaderos-agricultores-animales",
        "agroveterinarias" | "empresarios" => "agronegocios",
        "veterinarios" | "agronomos" | "especialistas" => "especialistas-salud",
        other => other,
    }
}
