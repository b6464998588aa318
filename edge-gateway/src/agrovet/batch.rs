//! What a page of Agrovet's shows of people and files; see [`crate::batch`].

use std::collections::HashMap;

use proto::media::v1::{self, BatchGetMediaRequest, MediaView};

use crate::Edge;
use crate::address::Base;
use crate::agrovet::media::Media;
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

/// The files with these ids that the caller may see.
pub async fn files(edge: &Edge, ids: impl IntoIterator<Item = &str>) -> Files {
    let media = fetch(ids, |ids| {
        let mut media = edge.media();
        let request = BatchGetMediaRequest { ids, view: MediaView::Basic.into(), ..Default::default() };
        async move { media.batch_get_media(request).await }
    });
    Files(media.await.into_iter().flat_map(|answer| answer.media).map(|media| (media.id.clone(), media)).collect())
}
