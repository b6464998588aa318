//! Categories, ads and follows, in the words of the service.

use marketplace::bulk::import as market;
use media::bulk::Folder;

use super::Reader;
use crate::import::models::marketplace::{Ad, Category, Follow};
use crate::import::models::{Degrees, Record};

impl Reader<'_> {
    pub(super) fn category(&mut self, record: Record) -> Result<(), String> {
        let id = record.number()?;
        let category: Category = record.fields()?;
        self.batch.categories.push(market::Category {
            place: self.place,
            id,
            name: category.name.0,
            description: category.description.map(|text| text.0),
        });
        Ok(())
    }

    pub(super) fn ad(&mut self, record: Record) -> Result<(), String> {
        let id = record.number()?;
        let ad: Ad = record.fields()?;
        if let Some(publisher) = &ad.publisher {
            let pictures = ad.main_image.0.into_iter().chain(ad.secondary_images.0.iter().copied());
            self.shown(&publisher.0, Folder::Media, pictures);
        }
        let degrees = |degrees: Option<Degrees>| degrees.map(|degrees| degrees.0);
        self.batch.ads.push(market::Ad {
            place: self.place,
            id,
            publisher: ad.publisher.map(|who| who.0),
            title: ad.title.0,
            description: ad.description.0,
            price: ad.price.0,
            category: ad.category.map(|category| category.0),
            condition: ad.condition.0.to_uppercase(),
            location_name: ad.location_name.map(|text| text.0),
            latitude: degrees(ad.latitude),
            longitude: degrees(ad.longitude),
            main_image: ad.main_image.0,
            secondary_images: ad.secondary_images.0,
            state: ad.status.0.to_uppercase(),
            created_at: ad.created_at.0,
            updated_at: ad.updated_at.unwrap_or(ad.created_at).0,
        });
        Ok(())
    }

    pub(super) fn follow(&mut self, record: Record) -> Result<(), String> {
        let id = record.number()?;
        let follow: Follow = record.fields()?;
        self.batch.follows.push(market::Follow {
            place: self.place,
            id,
            follower: follow.follower.0,
            following: follow.following.0,
            created_at: follow.created_at.0,
        });
        Ok(())
    }
}
