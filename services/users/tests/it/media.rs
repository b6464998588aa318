//! `media` as far as this service knows it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use kit::error::{denied, not_found, unavailable};
use proto::media::v1::get_media_request::Key;
use proto::media::v1::media_service_server::MediaService;
use proto::media::v1::*;
use tonic::{Request, Response, Status, Streaming, codegen::BoxStream};
use uuid::Uuid;

#[derive(Clone, Default)]
pub(crate) struct Media(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: HashMap<String, proto::media::v1::Media>,
    away: bool,
}

impl Media {
    /// A stored file; without an owner it is anonymous.
    pub(crate) fn file(&self, owner: Option<Uuid>, kind: Kind) -> Uuid {
        let id = Uuid::now_v7();
        let file = proto::media::v1::Media {
            id: id.to_string(),
            owner_id: owner.map(|owner| owner.to_string()).unwrap_or_default(),
            kind: kind.into(),
            path: Some(path(id)),
            ..Default::default()
        };
        self.0.lock().unwrap().files.insert(id.to_string(), file);
        id
    }

    pub(crate) fn has(&self, id: Uuid) -> bool {
        self.0.lock().unwrap().files.contains_key(&id.to_string())
    }

    /// Gives it another path, as a replacement of its file does, and answers that.
    pub(crate) fn replace(&self, id: Uuid) -> String {
        let path = path(Uuid::now_v7());
        self.0.lock().unwrap().files.get_mut(&id.to_string()).unwrap().path = Some(path.clone());
        path
    }

    pub(crate) fn remove(&self, id: Uuid) {
        self.0.lock().unwrap().files.remove(&id.to_string());
    }

    pub(crate) fn owner(&self, id: Uuid) -> String {
        self.0.lock().unwrap().files[&id.to_string()].owner_id.clone()
    }

    /// Whether every call shall fail.
    pub(crate) fn set_away(&self, away: bool) {
        self.0.lock().unwrap().away = away;
    }

    fn answer<T>(&self, work: impl FnOnce(&mut State) -> kit::Result<T>) -> Result<Response<T>, Status> {
        let mut state = self.0.lock().unwrap();
        if state.away {
            return Err(unavailable("STORAGE_FAILED", "the storage is away").into());
        }
        Ok(Response::new(work(&mut state)?))
    }
}

pub(crate) fn path(id: Uuid) -> String {
    format!("/uploads/avatars/{id}.jpg")
}

fn no_such_file() -> kit::Error {
    not_found("MEDIA_NOT_FOUND", "no such file")
}

#[tonic::async_trait]
impl MediaService for Media {
    async fn get_media(&self, request: Request<GetMediaRequest>) -> Result<Response<proto::media::v1::Media>, Status> {
        let Some(Key::Id(id)) = request.into_inner().key else { panic!("asked by id") };
        self.answer(|state| state.files.get(&id).cloned().ok_or_else(no_such_file))
    }

    async fn assign_media(
        &self,
        request: Request<AssignMediaRequest>,
    ) -> Result<Response<proto::media::v1::Media>, Status> {
        let AssignMediaRequest { id, owner_id } = request.into_inner();
        self.answer(|state| {
            let file = state.files.get_mut(&id).ok_or_else(no_such_file)?;
            if !file.owner_id.is_empty() && file.owner_id != owner_id {
                return Err(denied("NOT_YOURS", "this belongs to somebody else"));
            }
            file.owner_id = owner_id;
            Ok(file.clone())
        })
    }

    async fn delete_media(
        &self,
        request: Request<DeleteMediaRequest>,
    ) -> Result<Response<DeleteMediaResponse>, Status> {
        let id = request.into_inner().id;
        self.answer(|state| state.files.remove(&id).map(|_| DeleteMediaResponse {}).ok_or_else(no_such_file))
    }

    type ReadFileStream = BoxStream<ReadFileResponse>;

    async fn upload_media(
        &self,
        _: Request<Streaming<UploadMediaRequest>>,
    ) -> Result<Response<proto::media::v1::Media>, Status> {
        panic!("never asked by users")
    }

    async fn batch_get_media(
        &self,
        _: Request<BatchGetMediaRequest>,
    ) -> Result<Response<BatchGetMediaResponse>, Status> {
        panic!("never asked by users")
    }

    async fn list_media(&self, _: Request<ListMediaRequest>) -> Result<Response<ListMediaResponse>, Status> {
        panic!("never asked by users")
    }

    async fn update_media(
        &self,
        _: Request<Streaming<UpdateMediaRequest>>,
    ) -> Result<Response<proto::media::v1::Media>, Status> {
        panic!("never asked by users")
    }

    async fn claim_media(&self, _: Request<ClaimMediaRequest>) -> Result<Response<ClaimMediaResponse>, Status> {
        panic!("never asked by users")
    }

    async fn read_file(&self, _: Request<ReadFileRequest>) -> Result<Response<Self::ReadFileStream>, Status> {
        panic!("never asked by users")
    }

    async fn sign_file(&self, _: Request<SignFileRequest>) -> Result<Response<SignFileResponse>, Status> {
        panic!("never asked by users")
    }
}
