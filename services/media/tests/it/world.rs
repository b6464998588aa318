//! The service under test and the few steps that most tests take.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use futures_util::{StreamExt as _, stream};
use kit::context::Context;
use kit::error::Details;
use kit::{Peer, Stop};
use media::{Config, Media, Signatures};
use object_store::ObjectStore;
use proto::access::v1::Role;
use proto::media::v1::media_service_client::MediaServiceClient;
use proto::media::v1::{
    self, DeleteMediaRequest, FileHeader, GetMediaRequest, ReadFileRequest, UpdateHeader, UpdateMediaRequest,
    UploadHeader, UploadMediaRequest, get_media_request, read_file_response, update_media_request,
    upload_media_request,
};
use testkit::{Harness, S3};
use tonic::{Response, Status, Streaming};
use uuid::Uuid;

use crate::storage::Faulty;

pub(crate) struct World {
    pub harness: Harness,
    pub media: Media,
    pub storage: Arc<Faulty>,
    pub nobody: Client,
    folder: Option<PathBuf>,
}

/// Somebody who calls.
#[derive(Clone)]
pub(crate) struct Client {
    pub id: Uuid,
    pub rpc: MediaServiceClient<Peer>,
    context: Context,
}

impl World {
    pub(crate) async fn start() -> Self {
        let harness = Harness::new("media", &media::MIGRATOR).await;
        let storage = Arc::new(Faulty::default());
        let media = Media::new(&harness.service, &config("memory:"), storage.clone());
        let nobody = Client::new(harness.serve(media.routes()), Uuid::nil());
        Self { harness, media, storage, nobody, folder: None }
    }

    /// In an installation that checks no signatures.
    pub(crate) async fn lenient() -> Self {
        let harness = Harness::new("media", &media::MIGRATOR).await;
        let storage = Arc::new(Faulty::default());
        let config = Config { signatures: Signatures::Lenient, ..config("memory:") };
        let media = Media::new(&harness.service, &config, storage.clone());
        let nobody = Client::new(harness.serve(media.routes()), Uuid::nil());
        Self { harness, media, storage, nobody, folder: None }
    }

    /// With a folder for a storage, as on one machine.
    pub(crate) async fn on_disk() -> Self {
        let folder = std::env::temp_dir().join(format!("plaza-media-{}", Uuid::now_v7()));
        let harness = Harness::new("media", &media::MIGRATOR).await;
        let config = config(&format!("file:{}", folder.display()));
        let media = Media::try_new(&harness.service, &config).expect("a folder can be made");
        let nobody = Client::new(harness.serve(media.routes()), Uuid::nil());
        Self { harness, media, storage: Arc::default(), nobody, folder: Some(folder) }
    }

    /// On a real S3 server that has the bucket `plaza` and no other.
    pub(crate) async fn on_s3(bucket: &str) -> (Self, S3, Arc<dyn ObjectStore>) {
        let s3 = S3::start().await;
        s3.make_bucket("plaza").await;
        let (url, harness) = (s3.url(bucket), Harness::new("media", &media::MIGRATOR).await);
        let storage = kit::storage::open_with(&url, S3::keys()).expect("a URL of S3");
        let media = Media::new(&harness.service, &config(&url), storage.clone());
        let nobody = Client::new(harness.serve(media.routes()), Uuid::nil());
        (Self { harness, media, storage: Arc::default(), nobody, folder: None }, s3, storage)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.as_deref().expect("only on disk")
    }

    pub(crate) fn user(&self) -> Client {
        self.with_roles(&[Role::Consumer])
    }

    pub(crate) fn admin(&self) -> Client {
        self.with_roles(&[Role::Admin])
    }

    fn with_roles(&self, roles: &[Role]) -> Client {
        let id = Uuid::now_v7();
        Client::new(self.harness.as_user(id, 7, roles), id)
    }

    pub(crate) fn peer(&self, name: &str) -> Client {
        Client::new(self.harness.as_peer(name), Uuid::nil())
    }

    /// Somebody at this address who is not signed in, as the edge reports it.
    pub(crate) fn nobody_at(&self, address: &str) -> Client {
        let context = Context { client_ip: Some(address.into()), ..Context::default() };
        Client { context, ..self.peer("edge-gateway") }
    }

    pub(crate) async fn pass(&self, hours: u64) {
        self.harness.clock.advance(Duration::from_secs(hours * 3600));
        self.media.sweep().await.expect("it sweeps");
    }

    /// Types and numbers of the events published so far.
    pub(crate) async fn events(&self) -> Vec<(String, String)> {
        sqlx::query_as("select type, key from outbox order by position")
            .fetch_all(&self.harness.service.db)
            .await
            .expect("the outbox is a table")
    }

    pub(crate) async fn files(&self) -> i64 {
        sqlx::query_scalar("select count(*) from files").fetch_one(&self.harness.service.db).await.expect("a number")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let stop: &Stop = &self.harness.service.stop;
        stop.cancel();
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

pub(crate) fn config(storage_url: &str) -> Config {
    let secret = "a secret of tests and nothing else";
    let args = ["media", "--secret", secret, "--database-url", "unused:", "--storage-url", storage_url];
    Config::try_parse_from(args).expect("the arguments fit")
}

impl Client {
    fn new(peer: Peer, id: Uuid) -> Self {
        Self { id, rpc: MediaServiceClient::new(peer), context: Context::default() }
    }

    pub(crate) async fn upload(&self, name: &str, bytes: &[u8]) -> Result<v1::Media, Status> {
        self.upload_with(UploadHeader { file_name: name.into(), ..Default::default() }, bytes).await
    }

    pub(crate) async fn upload_to(&self, folder: v1::Folder, bytes: &[u8]) -> Result<v1::Media, Status> {
        self.upload_with(UploadHeader { folder: folder.into(), ..Default::default() }, bytes).await
    }

    pub(crate) async fn upload_with(&self, header: UploadHeader, bytes: &[u8]) -> Result<v1::Media, Status> {
        use upload_media_request::Part;
        let header = UploadMediaRequest { part: Some(Part::Header(header)) };
        let chunks: Vec<_> = bytes
            .chunks(64 << 10)
            .map(|chunk| UploadMediaRequest { part: Some(Part::Chunk(chunk.to_vec().into())) })
            .collect();
        let request = stream::iter([header]).chain(stream::iter(chunks));
        let mut rpc = self.rpc.clone();
        kit::context::scope(self.context.clone(), rpc.upload_media(request)).await.map(Response::into_inner)
    }

    pub(crate) async fn update(&self, header: UpdateHeader, bytes: &[u8]) -> Result<v1::Media, Status> {
        use update_media_request::Part;
        let parts = bytes.chunks(64 << 10).map(|chunk| Part::Chunk(chunk.to_vec().into()));
        let parts: Vec<_> = std::iter::once(Part::Header(header)).chain(parts).collect();
        let request = stream::iter(parts.into_iter().map(|part| UpdateMediaRequest { part: Some(part) }));
        self.rpc.clone().update_media(request).await.map(Response::into_inner)
    }

    pub(crate) async fn get(&self, id: &str) -> Result<v1::Media, Status> {
        let key = Some(get_media_request::Key::Id(id.into()));
        self.rpc.clone().get_media(GetMediaRequest { key }).await.map(Response::into_inner)
    }

    pub(crate) async fn delete(&self, id: &str) -> Result<(), Status> {
        self.rpc.clone().delete_media(DeleteMediaRequest { id: id.into() }).await.map(|_| ())
    }

    pub(crate) async fn read(&self, path: &str) -> Result<(FileHeader, Vec<u8>), Status> {
        self.read_with(ReadFileRequest { path: path.into(), ..Default::default() }).await
    }

    pub(crate) async fn read_with(&self, request: ReadFileRequest) -> Result<(FileHeader, Vec<u8>), Status> {
        let stream = self.rpc.clone().read_file(request).await?.into_inner();
        let (header, chunks) = parts(stream).await?;
        Ok((header, chunks.concat()))
    }
}

/// The header and the chunks of a file.
pub(crate) async fn parts(mut stream: Streaming<v1::ReadFileResponse>) -> Result<(FileHeader, Vec<Vec<u8>>), Status> {
    use read_file_response::Part;
    let Some(Part::Header(header)) = stream.message().await?.and_then(|message| message.part) else {
        panic!("the header comes first");
    };
    let mut chunks = Vec::new();
    while let Some(message) = stream.message().await? {
        match message.part {
            Some(Part::Chunk(chunk)) => chunks.push(chunk.to_vec()),
            other => panic!("only chunks follow the header: {other:?}"),
        }
    }
    Ok((header, chunks))
}

/// Why a call was refused.
pub(crate) fn reason<T: std::fmt::Debug>(result: Result<T, Status>) -> String {
    Details::of(&result.expect_err("a refusal")).reason
}
