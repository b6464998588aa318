//! What leaves the platform towards people: mail and SMS, by URL. `file:<folder>` writes them where people and tests can
//! read them; providers come behind the same names.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use lettre::Message;
use lettre::message::header::ContentType;
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

/// Sends SMS.
#[derive(Clone, Debug)]
pub struct Sms(Folder);

/// Sends mail.
#[derive(Clone, Debug)]
pub struct Mail(Folder);

/// A mail of plain text.
#[derive(Clone, Debug)]
pub struct Letter {
    pub to: String,
    pub subject: String,
    pub text: String,
}

#[derive(Clone, Debug)]
struct Folder(PathBuf);

impl Folder {
    fn open(url: &str) -> anyhow::Result<Self> {
        match url.strip_prefix("file:") {
            Some(path) => Ok(Self(path.strip_prefix("//").unwrap_or(path).into())),
            None => bail!("`{url}` is not a known channel; use file:<folder>"),
        }
    }
}

impl Sms {
    pub fn open(url: &str) -> anyhow::Result<Self> {
        Ok(Self(Folder::open(url)?))
    }

    /// Appends one JSON line to `sms.jsonl`.
    pub async fn send(&self, to: &str, text: &str) -> anyhow::Result<()> {
        let folder = &self.0.0;
        tokio::fs::create_dir_all(folder).await.with_context(|| format!("making {}", folder.display()))?;
        let line = serde_json::json!({ "to": to, "text": text, "at": chrono::Utc::now() });
        let mut options = tokio::fs::OpenOptions::new();
        let mut file = options.create(true).append(true).open(folder.join("sms.jsonl")).await?;
        // One write, so that lines of several processes do not mix.
        file.write_all(format!("{line}\n").as_bytes()).await?;
        Ok(file.flush().await?)
    }
}

impl Mail {
    pub fn open(url: &str) -> anyhow::Result<Self> {
        Ok(Self(Folder::open(url)?))
    }

    /// Writes `mail/<id>.eml`.
    pub async fn send(&self, letter: &Letter) -> anyhow::Result<()> {
        let message = Message::builder()
            .from("Plaza <no-reply@plaza.invalid>".parse()?)
            .to(letter.to.parse().context("the address")?)
            .subject(&letter.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(letter.text.clone())?;
        let folder = self.0.0.join("mail");
        tokio::fs::create_dir_all(&folder).await.with_context(|| format!("making {}", folder.display()))?;
        // Named last, so that nobody reads half a mail.
        let name = Uuid::now_v7();
        let half = folder.join(format!(".{name}.part"));
        tokio::fs::write(&half, message.formatted()).await?;
        Ok(tokio::fs::rename(half, folder.join(format!("{name}.eml"))).await?)
    }
}
