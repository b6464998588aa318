//! Files that tests upload.

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, Rgb, RgbImage};
use reqwest::multipart::{Form, Part};

/// Where a phone says a photo was taken; nobody may read it from the platform.
pub(crate) const SECRET: &[u8] = b"GPS 12.136389 -86.251389";

/// A JPEG as a phone takes it, with EXIF. `shade` makes another picture of it.
pub(crate) fn photo(shade: u8) -> Vec<u8> {
    let image = RgbImage::from_fn(64, 48, |x, y| Rgb([shade, x as u8, y as u8]));
    let mut jpeg = Vec::new();
    DynamicImage::from(image).write_with_encoder(JpegEncoder::new(&mut jpeg)).expect("encoded");
    let exif = [b"Exif\0\0", SECRET].concat();
    let length = (exif.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
}

pub(crate) fn secret(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|window| window == SECRET)
}

/// A second of silence.
pub(crate) fn voice() -> Vec<u8> {
    let data = vec![128; 8000];
    let sizes = [(36 + data.len() as u32).to_le_bytes(), (data.len() as u32).to_le_bytes()];
    let format = [[1u8, 0, 1, 0].as_slice(), &8000u32.to_le_bytes(), &8000u32.to_le_bytes(), &[1, 0, 8, 0]].concat();
    [b"RIFF", &sizes[0][..], b"WAVEfmt ", &16u32.to_le_bytes(), &format, b"data", &sizes[1], &data].concat()
}

/// A form with one file.
pub(crate) fn form(field: &'static str, name: &'static str, bytes: Vec<u8>) -> Form {
    Form::new().part(field, Part::bytes(bytes).file_name(name))
}
