//! Media: the files of both communities. An upload is received into a temporary file, made harmless, put into the
//! object storage and only then referred to by a row; [`blobs`] says how no crash in between leaves bytes behind.

mod blobs;
pub mod bulk;
mod content;
mod events;
mod files;
mod image;
mod names;
mod serve;
mod sign;
mod sweep;
mod upload;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kit::Clock;
use kit::page::Pager;
use kit::seal::{self, Secret};
use object_store::ObjectStore;
use proto::media::v1::Folder;
use proto::media::v1::media_service_server::MediaServiceServer;
use sqlx::PgPool;
use tokio::sync::Semaphore;

use crate::sign::Signer;
use crate::upload::Limits;

pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// Mebibytes of pixels that are decoded at once unless said otherwise.
const PIXEL_MEMORY: u32 = 256;

/// Configuration, from the environment.
#[derive(Clone, Debug, clap::Parser)]
pub struct Config {
    #[command(flatten)]
    pub service: kit::config::Service,
    /// Where the bytes lie: `file:DIR`, `s3://BUCKET/PREFIX?endpoint=…&region=…`, or `memory:`.
    #[arg(long, env = "MEDIA_STORAGE_URL", default_value = "file:./.plaza/storage")]
    pub storage_url: String,
    /// Folder for files while they arrive; the system's temporary folder when not given.
    #[arg(long, env = "MEDIA_SPOOL")]
    pub spool: Option<PathBuf>,
    /// Largest image, in bytes.
    #[arg(long, env = "MEDIA_IMAGE_LIMIT", default_value_t = 10 << 20)]
    pub image_limit: u64,
    /// Largest audio file, in bytes.
    #[arg(long, env = "MEDIA_AUDIO_LIMIT", default_value_t = 20 << 20)]
    pub audio_limit: u64,
    /// Largest document, in bytes.
    #[arg(long, env = "MEDIA_DOCUMENT_LIMIT", default_value_t = 10 << 20)]
    pub document_limit: u64,
    /// Anonymous uploads an hour from one address; 0 for no limit.
    #[arg(long, env = "MEDIA_ANONYMOUS_LIMIT", default_value_t = 30)]
    pub anonymous_limit: i64,
    /// Mebibytes of pixels that may be decoded at once; a picture of 12 megapixels has 35.
    #[arg(long, env = "MEDIA_PIXEL_MEMORY", default_value_t = PIXEL_MEMORY)]
    pub pixel_memory: u32,
    /// Whether an avatar or a proof of identity must be of a type by its bytes. `lenient` is for test suites that upload
    /// any bytes as `avatar.jpg`: such a file is kept as `application/octet-stream`, which no browser shows or runs.
    #[arg(long, env = "MEDIA_SIGNATURES", value_enum, default_value = "strict")]
    pub signatures: Signatures,
}

/// What a file's first bytes must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Signatures {
    /// Of a type that is taken.
    Strict,
    /// Anything, in the folders where Conectar took anything.
    Lenient,
}

#[derive(Clone)]
pub struct Media {
    db: PgPool,
    clock: Clock,
    pager: Pager,
    signer: Signer,
    storage: Arc<dyn ObjectStore>,
    /// The folder that is the storage, if it is one: it keeps no content types, and a crash leaves half-written files.
    folder: Option<PathBuf>,
    spool: PathBuf,
    limits: Limits,
    signatures: Signatures,
    anonymous_limit: i64,
    /// A permit is a mebibyte of decoded pixels: a few phone pictures at once, or one huge one, never several.
    pixels: Arc<Semaphore>,
    pixel_memory: u32,
}

impl Media {
    pub fn try_new(kit: &kit::Service, config: &Config) -> anyhow::Result<Self> {
        Ok(Self::new(kit, config, kit::storage::open(&config.storage_url)?))
    }

    /// With a storage that is open already.
    pub fn new(kit: &kit::Service, config: &Config, storage: Arc<dyn ObjectStore>) -> Self {
        Self {
            db: kit.db.clone(),
            clock: kit.clock.clone(),
            pager: kit.pager(),
            signer: Signer::new(&kit.secret),
            storage,
            folder: folder_of(&config.storage_url),
            spool: config.spool.clone().unwrap_or_else(std::env::temp_dir),
            limits: Limits { image: config.image_limit, audio: config.audio_limit, document: config.document_limit },
            signatures: config.signatures,
            anonymous_limit: config.anonymous_limit,
            pixels: Arc::new(Semaphore::new(config.pixel_memory as usize)),
            pixel_memory: config.pixel_memory,
        }
    }

    /// One that is no service and only takes files in, as large as `largest` bytes; see [`bulk`].
    fn alone(db: PgPool, storage_url: &str, largest: u64) -> anyhow::Result<Self> {
        // What it signed nobody could verify, and it signs nothing.
        let secret = Secret::new(&seal::random::<32>());
        Ok(Self {
            db,
            clock: Clock::system(),
            pager: Pager::new(&secret),
            signer: Signer::new(&secret),
            storage: kit::storage::open(storage_url)?,
            folder: folder_of(storage_url),
            spool: std::env::temp_dir(),
            limits: Limits { image: largest, audio: largest, document: largest },
            signatures: Signatures::Strict,
            anonymous_limit: 0,
            pixels: Arc::new(Semaphore::new(PIXEL_MEMORY as usize)),
            pixel_memory: PIXEL_MEMORY,
        })
    }

    /// Whether bytes of no type may lie in this folder.
    fn takes_opaque(&self, folder: Folder) -> bool {
        self.signatures == Signatures::Lenient && matches!(folder, Folder::Avatars | Folder::Verification)
    }

    pub fn routes(&self) -> kit::Routes {
        kit::Routes::default().add(MediaServiceServer::new(self.clone()))
    }
}

/// The folder of a storage that is one.
fn folder_of(storage_url: &str) -> Option<PathBuf> {
    storage_url.strip_prefix("file:").map(|path| path.strip_prefix("//").unwrap_or(path).into())
}

/// Runs the service until `stop`.
pub async fn run(config: Config, stop: kit::Stop) -> anyhow::Result<()> {
    let kit = kit::Service::start("media", &config.service, &MIGRATOR, stop).await?;
    let media = Media::try_new(&kit, &config)?;
    kit.consume(media.clone());
    kit.every("sweep", Duration::from_secs(30), {
        let media = media.clone();
        move || {
            let media = media.clone();
            async move { media.sweep().await }
        }
    });
    kit.serve(media.routes()).await
}
