//! What becomes of pictures, good and hostile.

use image::codecs::gif::GifDecoder;
use image::{AnimationDecoder as _, DynamicImage};
use proto::media::v1::Kind;
use tonic::Code;

use crate::bytes::{
    BLUE, RED, SECRET, chatty_gif, chatty_png, chatty_webp, jpeg_claim, many_scans, phone_photo, photo, png, png_claim,
    png_with_holes,
};
use crate::world::{World, reason};

fn decode(bytes: &[u8]) -> DynamicImage {
    image::load_from_memory(bytes).expect("a picture")
}

fn tells(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|window| window == SECRET)
}

/// Whether the pixel has about this colour; JPEG does not keep it exactly.
fn close(image: &DynamicImage, x: u32, y: u32, color: [u8; 3]) -> bool {
    image.to_rgb8().get_pixel(x, y).0.iter().zip(color).all(|(a, b)| a.abs_diff(b) < 40)
}

#[tokio::test]
async fn a_phones_photo_stands_upright_and_tells_nothing() {
    let world = World::start().await;
    let file = world.user().upload("IMG_0001.JPG", &phone_photo(64, 32)).await.unwrap();
    assert_eq!((file.width, file.height), (32, 64));
    for path in [file.path(), file.thumbnail_path(), file.preview_path()] {
        let (_, bytes) = world.nobody.read(path).await.unwrap();
        assert!(!tells(&bytes) && !bytes.windows(4).any(|window| window == b"Exif"), "{path}");
        let image = decode(&bytes);
        assert_eq!((image.width(), image.height()), (32, 64), "{path}");
        assert!(close(&image, 16, 8, RED) && close(&image, 16, 56, BLUE), "{path}");
    }
}

#[tokio::test]
async fn png_gif_and_webp_tell_nothing_either() {
    let world = World::start().await;
    let user = world.user();
    for (bytes, content_type) in
        [(chatty_png(60, 40), "image/png"), (chatty_gif(60, 40), "image/gif"), (chatty_webp(60, 40, 1), "image/webp")]
    {
        assert!(tells(&bytes));
        let file = user.upload("x", &bytes).await.unwrap();
        let (header, stored) = world.nobody.read(file.path()).await.unwrap();
        assert_eq!((header.content_type.as_str(), file.content_type.as_str()), (content_type, content_type));
        assert!(!tells(&stored), "{content_type}");
        assert_eq!((file.size, file.width, file.height), (stored.len() as i64, 60, 40));
        let image = decode(&stored);
        assert_eq!((image.width(), image.height()), (60, 40));
    }
}

#[tokio::test]
async fn a_gif_keeps_its_animation() {
    let world = World::start().await;
    let file = world.user().upload("x.gif", &chatty_gif(20, 20)).await.unwrap();
    let (_, stored) = world.nobody.read(file.path()).await.unwrap();
    let frames = GifDecoder::new(std::io::Cursor::new(&stored)).unwrap().into_frames().collect_frames().unwrap();
    assert_eq!(frames.len(), 2);
    assert!(stored.windows(11).any(|window| window == b"NETSCAPE2.0"));
}

#[tokio::test]
async fn a_webp_that_lies_on_its_side_is_turned() {
    let world = World::start().await;
    let file = world.user().upload("x.webp", &chatty_webp(60, 40, 6)).await.unwrap();
    let (_, stored) = world.nobody.read(file.path()).await.unwrap();
    assert_eq!((file.width, file.height, file.content_type.as_str()), (40, 60, "image/webp"));
    assert!(!tells(&stored));
    assert!(close(&decode(&stored), 20, 5, RED));
}

#[tokio::test]
async fn the_smaller_pictures_fit_and_never_grow() {
    let world = World::start().await;
    let user = world.user();
    let large = user.upload("x.jpg", &photo(1600, 800)).await.unwrap();
    let small = user.upload("x.jpg", &photo(200, 100)).await.unwrap();
    let narrow = user.upload("x.png", &png(2000, 2)).await.unwrap();
    for (file, thumbnail, preview) in
        [(large, (320, 160), (1280, 640)), (small, (200, 100), (200, 100)), (narrow, (320, 1), (1280, 1))]
    {
        for (path, size) in [(file.thumbnail_path(), thumbnail), (file.preview_path(), preview)] {
            let (header, bytes) = world.nobody.read(path).await.unwrap();
            let image = decode(&bytes);
            assert_eq!((image.width(), image.height()), size, "{path}");
            assert_eq!((header.content_type.as_str(), header.size), ("image/jpeg", bytes.len() as i64));
        }
    }
}

#[tokio::test]
async fn what_shows_through_still_does_when_small() {
    let world = World::start().await;
    let file = world.user().upload("logo.png", &png_with_holes(400, 400)).await.unwrap();
    let (header, bytes) = world.nobody.read(file.thumbnail_path()).await.unwrap();
    assert_eq!(header.content_type, "image/png");
    assert!(decode(&bytes).to_rgba8().pixels().any(|pixel| pixel.0[3] < 255));
}

#[tokio::test]
async fn bombs_are_refused_by_their_header() {
    let world = World::start().await;
    let user = world.user();
    for bomb in [
        png_claim(30_000, 30_000, 8, 2),
        png_claim(11_000, 11_000, 1, 0),
        // Few enough pixels, but of 16-bit colour and alpha: 400 MB.
        png_claim(7_000, 7_000, 16, 6),
        png_claim(u32::MAX >> 1, 1, 8, 2),
        jpeg_claim(),
    ] {
        let refused = user.upload("x.png", &bomb).await.expect_err("a refusal");
        assert!(matches!(refused.code(), Code::OutOfRange | Code::InvalidArgument), "{refused:?}");
    }
    assert_eq!(reason(user.upload("x.png", &png_claim(11_000, 11_000, 1, 0)).await), "MEDIA_TOO_LARGE");
    assert_eq!(reason(user.upload("x.jpg", &many_scans()).await), "IMAGE_BROKEN");
    assert!(world.storage.keys().await.is_empty());
}

#[tokio::test]
async fn a_picture_that_breaks_off_is_refused_wherever_it_does() {
    let world = World::start().await;
    let user = world.user();
    for whole in [photo(300, 200), png(300, 200), chatty_gif(30, 20), chatty_webp(300, 200, 1)] {
        // The tails of the last two are no part of the picture.
        let length = if whole.ends_with(SECRET) { whole.len() - SECRET.len() } else { whole.len() };
        for end in [length / 4, length / 2, length * 3 / 4, length - 20] {
            let result = user.upload("x", &whole[..end]).await;
            assert_eq!(reason(result), "IMAGE_BROKEN", "{:?}… up to {end} of {length}", &whole[..4]);
        }
    }
    assert_eq!(world.files().await, 0);
}

#[tokio::test]
async fn changed_bytes_are_stored_or_refused_but_harm_nobody() {
    let world = World::start().await;
    let user = world.user();
    for whole in [phone_photo(40, 30), chatty_png(40, 30), chatty_gif(40, 30), chatty_webp(40, 30, 1)] {
        for at in (4..whole.len()).step_by(whole.len() / 25) {
            let mut hostile = whole.clone();
            hostile[at] ^= 0xff;
            match user.upload("x", &hostile).await {
                Ok(file) => assert_eq!(file.kind(), Kind::Image),
                Err(refused) => {
                    assert!(matches!(refused.code(), Code::InvalidArgument | Code::OutOfRange), "{at}: {refused:?}");
                }
            }
        }
    }
}
