//! `media` as far as this service knows it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use kit::error::{denied, not_found, unavailable};
use proto::media::v1::get_media_request::Key;
use proto::media::v1::media_service_server::MediaService;
use proto::media::v1::*;
use tokio::sync::Barrier;
use tonic::{Request, Response, Status, Streaming, codegen::BoxStream};
use uuid::Uuid;

#[derive(Clone, Default)]
pub(crate) struct Media(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: HashMap<String, proto::media::v1::Media>,
    /// Who claims, since the stand-in reads no tokens.
    claimant: Option<Uuid>,
    away: bool,
    /// Where deletions stand still, and then go on.
    gate: Option<Arc<Barrier>>,
}

impl Media {
    /// A stored file; without an owner it is anonymous.
    pub(crate) fn file(&self, owner: Option<Uuid>, kind: Kind) -> Uuid {
        let id = Uuid::now_v7();
        let mut state = self.0.lock().unwrap();
        let file = proto::media::v1::Media {
            id: id.to_string(),
            number: state.files.len() as i64 + 1,
            owner_id: owner.map(|owner| owner.to_string()).unwrap_or_default(),
            kind: kind.into(),
            path: Some(path(id)),
            ..Default::default()
        };
        state.files.insert(id.to_string(), file);
        id
    }

    /// A picture of theirs that others do not see.
    pub(crate) fn document(&self, owner: Uuid) -> Uuid {
        self.picture_in(Folder::Verification, owner)
    }

    /// A picture that they uploaded for a community.
    pub(crate) fn upload(&self, owner: Uuid) -> Uuid {
        self.picture_in(Folder::Communities, owner)
    }

    fn picture_in(&self, folder: Folder, owner: Uuid) -> Uuid {
        let id = self.file(Some(owner), Kind::Image);
        let mut state = self.0.lock().unwrap();
        state.files.get_mut(&id.to_string()).unwrap().folder = folder.into();
        id
    }

    /// Another file takes its place, and so has another path.
    pub(crate) fn replace(&self, id: Uuid) -> String {
        let path = path(Uuid::now_v7());
        self.0.lock().unwrap().files.get_mut(&id.to_string()).unwrap().path = Some(path.clone());
        path
    }

    pub(crate) fn remove(&self, id: Uuid) {
        self.0.lock().unwrap().files.remove(&id.to_string());
    }

    pub(crate) fn has(&self, id: Uuid) -> bool {
        self.0.lock().unwrap().files.contains_key(&id.to_string())
    }

    pub(crate) fn owner(&self, id: Uuid) -> String {
        self.0.lock().unwrap().files[&id.to_string()].owner_id.clone()
    }

    pub(crate) fn set_claimant(&self, id: Uuid) {
        self.0.lock().unwrap().claimant = Some(id);
    }

    /// From now on a deletion meets somebody here before it begins, and once more to go on.
    pub(crate) fn hold_deletions(&self) -> Arc<Barrier> {
        let gate = Arc::new(Barrier::new(2));
        self.0.lock().unwrap().gate = Some(gate.clone());
        gate
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
    format!("/uploads/communities/{id}.jpg")
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

    async fn claim_media(&self, request: Request<ClaimMediaRequest>) -> Result<Response<ClaimMediaResponse>, Status> {
        let request = request.into_inner();
        self.answer(|state| {
            let claimant = state.claimant.map(|id| id.to_string()).unwrap_or_default();
            let mut media = Vec::new();
            for file in state.files.values_mut().filter(|file| request.ids.contains(&file.id)) {
                if !file.owner_id.is_empty() && file.owner_id != claimant {
                    return Err(denied("NOT_YOURS", "this belongs to somebody else"));
                }
                file.owner_id.clone_from(&claimant);
                media.push(file.clone());
            }
            Ok(ClaimMediaResponse { media })
        })
    }

    async fn delete_media(
        &self,
        request: Request<DeleteMediaRequest>,
    ) -> Result<Response<DeleteMediaResponse>, Status> {
        let id = request.into_inner().id;
        let gate = self.0.lock().unwrap().gate.clone();
        if let Some(gate) = gate {
            gate.wait().await;
            gate.wait().await;
        }
        self.answer(|state| state.files.remove(&id).map(|_| DeleteMediaResponse {}).ok_or_else(no_such_file))
    }

    type ReadFileStream = BoxStream<ReadFileResponse>;

    async fn assign_media(&self, _: Request<AssignMediaRequest>) -> Result<Response<proto::media::v1::Media>, Status> {
        panic!("never asked by the forum")
    }

    async fn upload_media(
        &self,
        _: Request<Streaming<UploadMediaRequest>>,
    ) -> Result<Response<proto::media::v1::Media>, Status> {
        panic!("never asked by the forum")
    }

    async fn batch_get_media(
        &self,
        _: Request<BatchGetMediaRequest>,
    ) -> Result<Response<BatchGetMediaResponse>, Status> {
        panic!("never asked by the forum")
    }

    async fn list_media(&self, _: Request<ListMediaRequest>) -> Result<Response<ListMediaResponse>, Status> {
        panic!("never asked by the forum")
    }

    async fn update_media(
        &self,
        _: Request<Streaming<UpdateMediaRequest>>,
    ) -> Result<Response<proto::media::v1::Media>, Status> {
        panic!("never asked by the forum")
    }

    async fn read_file(&self, _: Request<ReadFileRequest>) -> Result<Response<Self::ReadFileStream>, Status> {
        panic!("never asked by the forum")
    }

    async fn sign_file(&self, _: Request<SignFileRequest>) -> Result<Response<SignFileResponse>, Status> {
        panic!("never asked by the forum")
    }
}
