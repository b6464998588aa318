//! Pictures made harmless and small. A JPEG or PNG is decoded, turned upright and encoded anew, so nothing of the
//! uploaded file remains but its pixels. GIF and WebP keep their blocks that draw (see [`container`] for the why),
//! after their first frame has proven to decode. Both smaller pictures are made here too.
//!
//! Everything is synchronous and belongs on a blocking thread; [`measure`] says first what [`process`] will cost.

mod container;

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};

use fast_image_resize::Resizer;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::codecs::webp::WebPEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use kit::error::{internal, invalid_because, out_of_range};

use crate::content::Content;

/// Longest side of the two smaller pictures.
pub(crate) const THUMBNAIL: u32 = 320;
pub(crate) const PREVIEW: u32 = 1280;

/// A picture's largest side and size. Beyond them it is a bomb, or of no use on any screen.
const SIDE: u32 = 12_000;
const PIXELS: u64 = 50_000_000;
/// Most memory the decoded pixels may take: 50 megapixels of four bytes, or 25 of 16-bit colour and alpha.
const MEMORY: u64 = 4 * PIXELS;

const QUALITY: u8 = 88;
const SMALL_QUALITY: u8 = 82;

/// A picture ready to be stored.
pub(crate) struct Picture {
    pub width: u32,
    pub height: u32,
    /// The clean original, at its first byte.
    pub original: File,
    pub preview: Vec<u8>,
    pub thumbnail: Vec<u8>,
    /// What the two smaller ones are: PNG when something shows through, else JPEG.
    pub small: Content,
}

/// Bytes of memory that the decoded picture takes, from its header alone. Refuses bombs.
pub(crate) fn measure(file: &File, content: Content) -> kit::Result<u64> {
    Ok(decoder(file, content)?.total_bytes())
}

/// Makes the picture of an uploaded file; `clean` is an empty file for the original.
pub(crate) fn process(file: &File, content: Content, clean: File) -> kit::Result<Picture> {
    // First, because a decoder that is led through a million scans does not come back.
    if content == Content::Jpeg && !container::jpeg_is_complete(&bytes(file)?) {
        return Err(broken("the JPEG breaks off, or has far too many scans"));
    }
    let mut decoder = decoder(file, content)?;
    // Damaged metadata is no reason to refuse a picture: it goes anyway.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut pixels = DynamicImage::from_decoder(decoder).map_err(refusal)?;
    pixels.apply_orientation(orientation);

    let mut out = BufWriter::new(clean);
    match content {
        Content::Jpeg => encode(&pixels, JpegEncoder::new_with_quality(&mut out, QUALITY))?,
        Content::Png => encode(&pixels, png(&mut out))?,
        Content::Gif => copy(container::gif(&bytes(file)?), &mut out)?,
        // A WebP that says it lies on its side is rare enough to grow.
        Content::Webp if orientation != Orientation::NoTransforms => {
            encode(&pixels, WebPEncoder::new_lossless(&mut out))?;
        }
        Content::Webp => copy(container::webp(&bytes(file)?), &mut out)?,
        _ => return Err(broken("not a picture")),
    }
    let mut original = out.into_inner().map_err(|e| internal(e.into_error()))?;
    original.rewind().map_err(internal)?;

    let preview = fit(&pixels, PREVIEW)?;
    let (width, height) = (pixels.width(), pixels.height());
    // The large one goes before the next pixels come.
    drop(pixels);
    let thumbnail = fit(&preview, THUMBNAIL)?;
    let small = if see_through(&preview) { Content::Png } else { Content::Jpeg };
    Ok(Picture {
        width,
        height,
        original,
        preview: encode_small(&preview, small)?,
        thumbnail: encode_small(&thumbnail, small)?,
        small,
    })
}

fn decoder(mut file: &File, content: Content) -> kit::Result<impl ImageDecoder> {
    let format = match content {
        Content::Jpeg => ImageFormat::Jpeg,
        Content::Png => ImageFormat::Png,
        Content::Webp => ImageFormat::WebP,
        Content::Gif => ImageFormat::Gif,
        _ => return Err(broken("not a picture")),
    };
    file.rewind().map_err(internal)?;
    let mut reader = ImageReader::with_format(BufReader::new(file), format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE);
    limits.max_image_height = Some(SIDE);
    // Some decoders need about as much again beside the pixels.
    limits.max_alloc = Some(2 * MEMORY);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(refusal)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > PIXELS || decoder.total_bytes() > MEMORY {
        return Err(out_of_range(
            "MEDIA_TOO_LARGE",
            format!("{width} × {height} pixels; at most 50 megapixels are taken"),
        ));
    }
    Ok(decoder)
}

/// The picture with no side longer than `side`; a smaller one stays as it is.
fn fit(image: &DynamicImage, side: u32) -> kit::Result<DynamicImage> {
    let longest = image.width().max(image.height());
    if longest <= side {
        return Ok(image.clone());
    }
    let scaled = |length: u32| (u64::from(length) * u64::from(side) / u64::from(longest)).max(1) as u32;
    let mut small = DynamicImage::new(scaled(image.width()), scaled(image.height()), image.color());
    Resizer::new().resize(image, &mut small, None).map_err(internal)?;
    Ok(small)
}

fn see_through(image: &DynamicImage) -> bool {
    image.color().has_alpha() && image.to_rgba8().pixels().any(|pixel| pixel.0[3] < u8::MAX)
}

fn encode_small(image: &DynamicImage, content: Content) -> kit::Result<Vec<u8>> {
    let mut out = Vec::new();
    match content {
        Content::Png => encode(&image.to_rgba8().into(), png(&mut out))?,
        _ => encode(image, JpegEncoder::new_with_quality(&mut out, SMALL_QUALITY))?,
    }
    Ok(out)
}

fn encode(image: &DynamicImage, encoder: impl image::ImageEncoder) -> kit::Result<()> {
    image.write_with_encoder(encoder).map_err(internal)
}

fn png<W: Write>(out: W) -> PngEncoder<W> {
    PngEncoder::new_with_quality(out, CompressionType::Default, FilterType::Adaptive)
}

fn copy(clean: Option<Vec<u8>>, out: &mut impl Write) -> kit::Result<()> {
    let clean = clean.ok_or_else(|| broken("the file breaks off"))?;
    out.write_all(&clean).map_err(internal)
}

/// The compressed file, which the size limit keeps small.
fn bytes(mut file: &File) -> kit::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(internal)?;
    Ok(bytes)
}

fn refusal(error: ImageError) -> kit::Error {
    match error {
        ImageError::Limits(limit) => out_of_range("MEDIA_TOO_LARGE", limit.to_string()),
        other => broken(other.to_string()),
    }
}

pub(crate) fn broken(why: impl Into<String>) -> kit::Error {
    invalid_because("data", "IMAGE_BROKEN", why.into())
}
