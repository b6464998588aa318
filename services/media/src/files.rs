//! Files as people see them: a description, an owner, and the blob with the bytes. The surprising rule is that a file
//! may have no owner: whoever posts an ad without being signed in uploads first, and the ad's author claims the file.
//! What nobody claims in a day is swept away.

mod sql;

use std::future::ready;

use bytes::Bytes;
use chrono::TimeDelta;
use futures_util::{Stream, TryStreamExt as _};
use kit::error::{denied, exhausted, invalid, invalid_because, not_found, refused};
use kit::identity::{Caller, Peer, caller, peer, try_caller};
use kit::net::network;
use kit::page;
use kit::seal::hex;
use kit::wire::{parse_id, timestamp};
use proto::media::v1::media_service_server::MediaService;
use proto::media::v1::{
    self, Accept, AssignMediaRequest, BatchGetMediaRequest, BatchGetMediaResponse, ClaimMediaRequest,
    ClaimMediaResponse, DeleteMediaRequest, DeleteMediaResponse, GetMediaRequest, ListMediaRequest, ListMediaResponse,
    MediaView, ReadFileRequest, SignFileRequest, SignFileResponse, UpdateHeader, UpdateMediaRequest, UploadHeader,
    UploadMediaRequest, get_media_request, update_media_request, upload_media_request,
};
use sqlx::PgConnection;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use self::sql::{
    Basics, NewFile, count_anonymous, count_files, fetch_file, fetch_file_numbered, insert_file, list_basics,
    list_files, list_files_named, lock_file, lock_files_named, lock_uploader, set_owner, update_file,
};
pub(crate) use self::sql::{FileRow, delete_files, lock_files_of_owner};
use crate::Media;
use crate::serve::FileStream;
use crate::upload::{Terms, receive};
use crate::{blobs, content, events, names};

/// How long the signature lives that a private file comes with.
const SIGNED_FOR: TimeDelta = TimeDelta::minutes(5);

/// The time in which an address may upload a number of files without signing in.
pub(crate) const ANONYMOUS_WINDOW: TimeDelta = TimeDelta::hours(1);

#[tonic::async_trait]
impl MediaService for Media {
    async fn upload_media(
        &self,
        request: Request<Streaming<UploadMediaRequest>>,
    ) -> Result<Response<v1::Media>, Status> {
        use upload_media_request::Part;

        let caller = try_caller(&request);
        let mut parts = request.into_inner();
        let Some(UploadMediaRequest { part: Some(Part::Header(header)) }) = parts.message().await? else {
            return Err(invalid("header", "must be the first message").into());
        };
        let chunks = chunks(parts, |message| match message.part {
            Some(Part::Chunk(chunk)) => Some(chunk),
            _ => None,
        });
        let file = self.upload(caller.map(|caller| caller.id), header, chunks).await?;
        Ok(Response::new(self.shown(file, caller)))
    }

    async fn get_media(&self, request: Request<GetMediaRequest>) -> Result<Response<v1::Media>, Status> {
        let caller = try_caller(&request);
        let file = match request.into_inner().key {
            Some(get_media_request::Key::Id(id)) => fetch_file(&self.db, parse_id("id", &id)?).await?,
            Some(get_media_request::Key::Number(number)) => fetch_file_numbered(&self.db, number).await?,
            None => None,
        };
        let file = file.filter(|file| file.visible_to(caller)).ok_or_else(absent)?;
        Ok(Response::new(self.shown(file, caller)))
    }

    async fn batch_get_media(
        &self,
        request: Request<BatchGetMediaRequest>,
    ) -> Result<Response<BatchGetMediaResponse>, Status> {
        let caller = try_caller(&request);
        let request = request.into_inner();
        let view = request.view();
        let BatchGetMediaRequest { ids, numbers, .. } = request;
        let ids = ids.iter().map(|id| parse_id("ids", id)).collect::<kit::Result<Vec<_>>>()?;
        let media = match view {
            MediaView::Unspecified | MediaView::Full => {
                let files = list_files_named(&self.db, &ids, &numbers).await?;
                let visible = files.into_iter().filter(|file| file.visible_to(caller));
                visible.map(|file| self.shown(file, caller)).collect()
            }
            MediaView::Basic => {
                let files = list_basics(&self.db, &ids, &numbers).await?;
                let visible = files.into_iter().filter(|file| visible(&file.folder, file.owner_id, caller));
                visible.map(|file| self.basics(file)).collect()
            }
        };
        Ok(Response::new(BatchGetMediaResponse { media }))
    }

    async fn list_media(&self, request: Request<ListMediaRequest>) -> Result<Response<ListMediaResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let owner = if request.everybody && caller.admin() { None } else { Some(caller.id) };
        let scope = owner.map_or_else(|| "ListMedia".to_owned(), |owner| format!("ListMedia/{owner}"));
        let size = page::size(request.page_size, 20, 100);
        let before = self.pager.open::<i64>(&scope, &request.page_token)?;

        // One more than asked tells whether there is another page.
        let mut files = list_files(&self.db, owner, before, size + 1, request.skip.into()).await?;
        let total = count_files(&self.db, owner).await?;
        let next_page_token = self.pager.cut(&scope, &mut files, size, |last| last.number)?;
        Ok(Response::new(ListMediaResponse {
            media: files.into_iter().map(|file| self.shown(file, Some(caller))).collect(),
            next_page_token,
            total_size: i32::try_from(total).unwrap_or(i32::MAX),
        }))
    }

    async fn update_media(
        &self,
        request: Request<Streaming<UpdateMediaRequest>>,
    ) -> Result<Response<v1::Media>, Status> {
        use update_media_request::Part;

        let caller = caller(&request)?;
        let mut parts = request.into_inner();
        let Some(UpdateMediaRequest { part: Some(Part::Header(header)) }) = parts.message().await? else {
            return Err(invalid("header", "must be the first message").into());
        };
        let chunks = chunks(parts, |message| match message.part {
            Some(Part::Chunk(chunk)) => Some(chunk),
            _ => None,
        });
        let file = self.update(caller, header, chunks).await?;
        Ok(Response::new(self.shown(file, Some(caller))))
    }

    async fn delete_media(
        &self,
        request: Request<DeleteMediaRequest>,
    ) -> Result<Response<DeleteMediaResponse>, Status> {
        // A service that held the last reference deletes on behalf of nobody.
        let owner = match peer(&request) {
            Some(Peer(name)) if matches!(&*name, "users" | "auth" | "forum") => None,
            _ => Some(caller(&request)?),
        };
        self.delete(parse_id("id", &request.get_ref().id)?, owner).await?;
        Ok(Response::new(DeleteMediaResponse {}))
    }

    async fn claim_media(&self, request: Request<ClaimMediaRequest>) -> Result<Response<ClaimMediaResponse>, Status> {
        let caller = caller(&request)?;
        let ClaimMediaRequest { numbers, ids, owner_id } = request.get_ref();
        if ids.len() + numbers.len() > 100 {
            return Err(invalid("numbers", "must have at most 100 items together with ids").into());
        }
        let ids = ids.iter().map(|id| parse_id("ids", id)).collect::<kit::Result<Vec<_>>>()?;
        let owner = if owner_id.is_empty() { caller.id } else { parse_id("owner_id", owner_id)? };
        caller.may_act_for(owner)?;
        let files = self.claim(owner, &ids, numbers).await?;
        Ok(Response::new(ClaimMediaResponse { media: files.into_iter().map(Into::into).collect() }))
    }

    async fn assign_media(&self, request: Request<AssignMediaRequest>) -> Result<Response<v1::Media>, Status> {
        let AssignMediaRequest { id, owner_id } = request.get_ref();
        let file = self.assign(parse_id("id", id)?, parse_id("owner_id", owner_id)?).await?;
        Ok(Response::new(file.into()))
    }

    type ReadFileStream = FileStream;

    async fn read_file(&self, request: Request<ReadFileRequest>) -> Result<Response<FileStream>, Status> {
        let caller = try_caller(&request);
        Ok(Response::new(self.read(caller, request.get_ref()).await?))
    }

    async fn sign_file(&self, request: Request<SignFileRequest>) -> Result<Response<SignFileResponse>, Status> {
        let caller = caller(&request)?;
        let SignFileRequest { id, seconds } = request.get_ref();
        let file = fetch_file(&self.db, parse_id("id", id)?).await?.ok_or_else(absent)?;
        file.check_owner(caller)?;
        let key = file.object_key.ok_or_else(|| refused("NO_FILE", "a description without a file"))?;
        let seconds = if *seconds == 0 { 300 } else { *seconds };
        let expires_at = self.clock.now() + TimeDelta::seconds(seconds.into());
        let signature = self.signer.sign(&key, expires_at);
        Ok(Response::new(SignFileResponse {
            path: format!("{}?signature={signature}", names::path(&key)),
            expires_at: Some(timestamp(expires_at)),
        }))
    }
}

impl Media {
    async fn upload(
        &self,
        owner: Option<Uuid>,
        header: UploadHeader,
        chunks: impl Stream<Item = kit::Result<Bytes>>,
    ) -> kit::Result<FileRow> {
        let folder = header.folder();
        let uploader = owner.is_none().then(uploader);
        if let Some(uploader) = &uploader {
            // Again beside the insert, where it counts; here it saves receiving what would be refused.
            self.check_anonymous_limit(&mut *self.db.acquire().await?, uploader).await?;
        }
        let anything = owner.is_some() && header.accept() != Accept::Image;
        let terms = Terms {
            limits: self.limits,
            audio: anything,
            documents: anything && names::private(folder),
            opaque: owner.is_some() && self.takes_opaque(folder),
            max_size: u64::try_from(header.max_size).ok().filter(|&size| size > 0).unwrap_or(u64::MAX),
        };
        let stored = match receive(chunks, &terms, &self.spool).await? {
            Some(spooled) => Some(self.store(owner, folder, &header.file_name, spooled).await?),
            // Anonymous rows are pictures or nothing.
            None if header.file_required || owner.is_none() => {
                return Err(invalid_because("data", "FILE_REQUIRED", "no bytes followed the header"));
            }
            None => None,
        };

        let now = self.clock.now();
        let mut tx = kit::db::begin(&self.db).await?;
        if let Some(uploader) = &uploader {
            lock_uploader(&mut tx, uploader).await?;
            self.check_anonymous_limit(&mut tx, uploader).await?;
        }
        let blob_id = match &stored {
            Some(stored) => Some(blobs::keep(&mut tx, stored, now).await?),
            None => None,
        };
        let description = header.description.unwrap_or_default();
        let file = insert_file(&mut tx, NewFile { owner, uploader, folder, description, blob_id, now }).await?;
        events::created(&mut tx, &file).await?;
        tx.commit().await?;
        Ok(file)
    }

    async fn update(
        &self,
        caller: Caller,
        header: UpdateHeader,
        chunks: impl Stream<Item = kit::Result<Bytes>>,
    ) -> kit::Result<FileRow> {
        let id = parse_id("id", &header.id)?;
        let file = fetch_file(&self.db, id).await?.ok_or_else(absent)?;
        file.check_owner(caller)?;
        let (documents, opaque) = (names::private(file.folder()), self.takes_opaque(file.folder()));
        let terms = Terms { limits: self.limits, audio: true, documents, opaque, max_size: u64::MAX };
        let stored = match receive(chunks, &terms, &self.spool).await? {
            Some(spooled) => {
                file.check_replacement(spooled.content.kind())?;
                Some(self.store(file.owner_id, file.folder(), &header.file_name, spooled).await?)
            }
            None => None,
        };

        let now = self.clock.now();
        let mut tx = kit::db::begin(&self.db).await?;
        // Time has passed: it may be gone, or somebody else's.
        let old = lock_file(&mut tx, id).await?.ok_or_else(absent)?;
        old.check_owner(caller)?;
        let blob_id = match &stored {
            Some(stored) => {
                // Again: two may have given a description its first bytes at once.
                old.check_replacement(stored.kind())?;
                blobs::lock_swapped(&mut tx, old.blob_id, stored).await?;
                Some(blobs::keep(&mut tx, stored, now).await?)
            }
            None => None,
        };
        let file = update_file(&mut tx, id, &header.description.unwrap_or_default(), blob_id, now).await?;
        if let Some(blob) = old.blob_id
            && file.blob_id != old.blob_id
        {
            blobs::drop_unused(&mut tx, &[blob], now).await?;
        }
        events::updated(&mut tx, &file).await?;
        tx.commit().await?;
        Ok(file)
    }

    async fn delete(&self, id: Uuid, owner: Option<Caller>) -> kit::Result<()> {
        let mut tx = kit::db::begin(&self.db).await?;
        let file = lock_file(&mut tx, id).await?.ok_or_else(absent)?;
        if let Some(caller) = owner {
            file.check_owner(caller)?;
        }
        delete_files(&mut tx, &[id], self.clock.now()).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn claim(&self, owner: Uuid, ids: &[Uuid], numbers: &[i64]) -> kit::Result<Vec<FileRow>> {
        let mut tx = kit::db::begin(&self.db).await?;
        let files = lock_files_named(&mut tx, ids, numbers).await?;
        if files.iter().any(|(_, of)| of.is_some_and(|of| of != owner)) {
            return Err(not_yours());
        }
        let ids: Vec<Uuid> = files.into_iter().map(|(id, _)| id).collect();
        set_owner(&mut tx, &ids, owner).await?;
        let files = list_files_named(&mut *tx, &ids, &[]).await?;
        tx.commit().await?;
        Ok(files)
    }

    async fn assign(&self, id: Uuid, owner: Uuid) -> kit::Result<FileRow> {
        let mut tx = kit::db::begin(&self.db).await?;
        let file = lock_file(&mut tx, id).await?.ok_or_else(absent)?;
        if file.owner_id.is_some_and(|of| of != owner) {
            return Err(not_yours());
        }
        set_owner(&mut tx, &[id], owner).await?;
        tx.commit().await?;
        Ok(FileRow { owner_id: Some(owner), ..file })
    }

    /// A private file comes with what opens it, for those who may see it: a page can show it without a further call.
    fn shown(&self, file: FileRow, caller: Option<Caller>) -> v1::Media {
        let sign = file.visible_to(caller);
        let signature = self.signature(&file.folder, file.object_key.as_deref().filter(|_| sign));
        v1::Media { signature, ..file.into() }
    }

    /// What a list shows of a file that the caller may see.
    fn basics(&self, file: Basics) -> v1::Media {
        v1::Media {
            id: file.id.to_string(),
            number: file.number,
            name: file.name,
            description: file.description,
            price_hundredths: file.price_hundredths,
            path: file.object_key.as_deref().map(names::path),
            created_at: Some(timestamp(file.created_at)),
            signature: self.signature(&file.folder, file.object_key.as_deref()),
            ..v1::Media::default()
        }
    }

    /// What opens a private file for a while to whoever may see it.
    fn signature(&self, folder: &str, object_key: Option<&str>) -> Option<String> {
        let key = object_key.filter(|_| names::private(names::folder(folder)))?;
        Some(self.signer.sign(key, self.clock.now() + SIGNED_FOR))
    }

    async fn check_anonymous_limit(&self, db: &mut PgConnection, uploader: &str) -> kit::Result<()> {
        let now = self.clock.now();
        let (count, oldest) = count_anonymous(db, uploader, now - ANONYMOUS_WINDOW).await?;
        if self.anonymous_limit == 0 || count < self.anonymous_limit {
            return Ok(());
        }
        let wait = oldest.map_or(ANONYMOUS_WINDOW, |oldest| oldest + ANONYMOUS_WINDOW - now);
        let message = format!("{count} uploads from this address in an hour; sign in, or wait");
        Err(exhausted("ANONYMOUS_LIMIT", message, wait.to_std().unwrap_or_default()))
    }
}

impl FileRow {
    fn folder(&self) -> v1::Folder {
        names::folder(&self.folder)
    }

    fn owned_by(&self, caller: Caller) -> bool {
        owned_by(self.owner_id, caller)
    }

    fn visible_to(&self, caller: Option<Caller>) -> bool {
        visible(&self.folder, self.owner_id, caller)
    }

    /// To others a private file does not exist.
    fn check_owner(&self, caller: Caller) -> kit::Result<()> {
        match self.owned_by(caller) {
            true => Ok(()),
            false if names::private(self.folder()) => Err(absent()),
            false => Err(not_yours()),
        }
    }

    /// Whoever refers to a file looked at it once: an ad shows an image, and a review approved exactly these bytes.
    fn check_replacement(&self, kind: v1::Kind) -> kit::Result<()> {
        if names::private(self.folder()) {
            return Err(refused("FILE_FIXED", "another document is another file"));
        }
        match &self.content_type {
            Some(present) if content::kind(present) != kind => {
                Err(invalid_because("data", "MEDIA_TYPE_REFUSED", "the file is of another kind"))
            }
            _ => Ok(()),
        }
    }
}

impl From<FileRow> for v1::Media {
    fn from(file: FileRow) -> Self {
        Self {
            id: file.id.to_string(),
            number: file.number,
            owner_id: file.owner_id.map(|id| id.to_string()).unwrap_or_default(),
            folder: file.folder().into(),
            name: file.name,
            description: file.description,
            price_hundredths: file.price_hundredths,
            kind: file.content_type.as_deref().map_or(v1::Kind::Unspecified, content::kind).into(),
            content_type: file.content_type.unwrap_or_default(),
            size: file.size.unwrap_or_default(),
            width: file.width.unwrap_or_default(),
            height: file.height.unwrap_or_default(),
            sha256: hex(&file.sha256.unwrap_or_default()),
            path: file.object_key.as_deref().map(names::path),
            thumbnail_path: file.thumbnail_key.as_deref().map(names::path),
            preview_path: file.preview_key.as_deref().map(names::path),
            created_at: Some(timestamp(file.created_at)),
            updated_at: Some(timestamp(file.updated_at)),
            signature: None,
        }
    }
}

fn owned_by(owner: Option<Uuid>, caller: Caller) -> bool {
    owner == Some(caller.id) || caller.admin()
}

/// Who may see a file in this folder: what is private, its owner and administrators.
fn visible(folder: &str, owner: Option<Uuid>, caller: Option<Caller>) -> bool {
    !names::private(names::folder(folder)) || caller.is_some_and(|caller| owned_by(owner, caller))
}

fn absent() -> kit::Error {
    not_found("MEDIA_NOT_FOUND", "no such file")
}

fn not_yours() -> kit::Error {
    denied("NOT_YOURS", "the file is somebody else's")
}

/// What follows the header: chunks and nothing else.
fn chunks<M>(parts: Streaming<M>, chunk: fn(M) -> Option<Bytes>) -> impl Stream<Item = kit::Result<Bytes>> {
    parts.map_err(kit::Error::from).and_then(move |message| {
        ready(chunk(message).ok_or_else(|| invalid("part", "only chunks may follow the header")))
    })
}

/// Who uploads without signing in, as far as the network tells.
fn uploader() -> String {
    let address = kit::context::current().client_ip.and_then(|address| address.parse().ok());
    address.map_or_else(|| "unknown".to_owned(), |address| network(address).to_string())
}
