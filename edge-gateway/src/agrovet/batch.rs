//! What a page of Agrovet's shows of people and files; see [`crate::batch`].

use std::collections::HashMap;

use proto::media::v1::{self, BatchGetMediaRequest, BatchGetMediaResponse, MediaView};
use tonic::{Response, Status};

use crate::Edge;
use crate::address::Base;
use crate::agrovet::media::Media;
use crate::batch::try_fetch;
pub use crate::batch::{People, fetch, people};

/// Files by id, as much of each as `MEDIA_VIEW_BASIC` tells.
#[derive(Default)]
pub struct Files(HashMap<String, v1::Media>);

impl Files {
    pub fn get(&self, id: &str, base: &Base) -> Option<Media> {
        Some(Media::of(self.0.get(id)?, base))
    }

    /// Those that exist, in the order of the ids.
    pub fn list(&self, ids: &[String], base: &Base) -> Vec<Media> {
        ids.iter().filter_map(|id| self.get(id, base)).collect()
    }
}

impl FromIterator<BatchGetMediaResponse> for Files {
    fn from_iter<I: IntoIterator<Item = BatchGetMediaResponse>>(answers: I) -> Self {
        Self(answers.into_iter().flat_map(|answer| answer.media).map(|media| (media.id.clone(), media)).collect())
    }
}

/// The files with these ids that the caller may see.
pub async fn files(edge: &Edge, ids: impl IntoIterator<Item = &str>) -> Files {
    fetch(ids, |ids| ask(edge, ids)).await.into_iter().collect()
}

/// The same, or an error while `media` is away: for those who may send back what they are shown, as the frontend does with
/// whole objects. A picture that cannot be had for a moment would be one that they have taken out.
pub async fn all_files(edge: &Edge, ids: impl IntoIterator<Item = &str>) -> Result<Files, Status> {
    Ok(try_fetch(ids, |ids| ask(edge, ids)).await?.into_iter().collect())
}

async fn ask(edge: &Edge, ids: Vec<String>) -> Result<Response<BatchGetMediaResponse>, Status> {
    let request = BatchGetMediaRequest { ids, view: MediaView::Basic.into(), ..Default::default() };
    edge.media().batch_get_media(request).await
}
