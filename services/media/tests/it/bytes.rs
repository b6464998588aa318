//! Files made by hand: good ones of every type, and ones that somebody hostile would send.

use std::io::Cursor;

use image::codecs::gif::GifEncoder;
use image::{DynamicImage, Frame, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

/// Stands in every piece of metadata that must not survive.
pub(crate) const SECRET: &[u8] = b"-34.6037,-58.3816";

pub(crate) const RED: [u8; 3] = [220, 20, 20];
pub(crate) const BLUE: [u8; 3] = [20, 20, 220];

/// Left half red, right half blue.
fn halves(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, _| Rgb(if x < width / 2 { RED } else { BLUE })).into()
}

pub(crate) fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, format).expect("it encodes");
    out.into_inner()
}

pub(crate) fn photo(width: u32, height: u32) -> Vec<u8> {
    encoded(&halves(width, height), ImageFormat::Jpeg)
}

pub(crate) fn png(width: u32, height: u32) -> Vec<u8> {
    encoded(&halves(width, height), ImageFormat::Png)
}

pub(crate) fn png_with_holes(width: u32, height: u32) -> Vec<u8> {
    let image = RgbaImage::from_fn(width, height, |x, y| Rgba([200, 100, 0, if x == y { 0 } else { 255 }]));
    encoded(&image.into(), ImageFormat::Png)
}

/// A photo with EXIF that says "turn me a quarter clockwise" and where it was taken, XMP, a comment, and a tail.
pub(crate) fn phone_photo(width: u32, height: u32) -> Vec<u8> {
    let plain = photo(width, height);
    let mut out = plain[..2].to_vec();
    out.extend(segment(0xe1, &[b"Exif\0\0", &exif(6)[..]].concat()));
    out.extend(segment(0xe1, &[b"http://ns.adobe.com/xap/1.0/\0", SECRET].concat()));
    out.extend(segment(0xed, SECRET));
    out.extend(segment(0xfe, SECRET));
    out.extend(&plain[2..]);
    out.extend(SECRET);
    out
}

fn segment(marker: u8, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len() + 2).expect("a small segment").to_be_bytes();
    [&[0xff, marker], &length[..], data].concat()
}

/// TIFF with an orientation and an image description.
fn exif(orientation: u8) -> Vec<u8> {
    let mut out = b"II*\0\x08\0\0\0\x02\0".to_vec();
    out.extend([0x0e, 0x01, 2, 0, SECRET.len() as u8, 0, 0, 0, 38, 0, 0, 0]);
    out.extend([0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0]);
    out.extend([0; 4]);
    out.extend(SECRET);
    out
}

/// A PNG with text, EXIF and bytes after its end.
pub(crate) fn chatty_png(width: u32, height: u32) -> Vec<u8> {
    let plain = png(width, height);
    let (header, rest) = plain.split_at(33);
    let text = chunk(b"tEXt", &[b"Comment\0", SECRET].concat());
    [header, &text, &chunk(b"eXIf", &exif(1)), rest, SECRET].concat()
}

/// An animated GIF with a comment, XMP and a tail.
pub(crate) fn chatty_gif(width: u32, height: u32) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut encoder = GifEncoder::new(&mut plain);
    encoder.set_repeat(image::codecs::gif::Repeat::Infinite).expect("it repeats");
    for shade in [10, 200] {
        let frame = RgbaImage::from_pixel(width, height, Rgba([shade, 0, 0, 255]));
        encoder.encode_frame(Frame::new(frame)).expect("it encodes");
    }
    drop(encoder);
    let blocks = [&[SECRET.len() as u8], SECRET, &[0]].concat();
    let comment = [&[0x21, 0xfe], &blocks[..]].concat();
    let xmp = [&[0x21, 0xff, 11], &b"XMP DataXMP"[..], &blocks].concat();
    let end = plain.len() - 1;
    [&plain[..end], &comment, &xmp, &plain[end..], SECRET].concat()
}

/// A WebP in the extended format with EXIF, XMP, an unknown chunk and a tail.
pub(crate) fn chatty_webp(width: u32, height: u32, orientation: u8) -> Vec<u8> {
    let plain = encoded(&halves(width, height), ImageFormat::WebP);
    let side = |length: u32| (length - 1).to_le_bytes()[..3].to_vec();
    let extended = [&[0x08 | 0x04, 0, 0, 0][..], &side(width), &side(height)].concat();
    let body = [
        b"WEBP".to_vec(),
        riff(b"VP8X", &extended),
        plain[12..].to_vec(),
        riff(b"EXIF", &exif(orientation)),
        riff(b"XMP ", SECRET),
        riff(b"JUNK", SECRET),
    ]
    .concat();
    [riff(b"RIFF", &body), SECRET.to_vec()].concat()
}

fn riff(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).expect("small").to_le_bytes();
    [&name[..], &length, data, &[0][..data.len() % 2]].concat()
}

/// The beginning of a PNG that claims to be this large.
pub(crate) fn png_claim(width: u32, height: u32, depth: u8, color: u8) -> Vec<u8> {
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([depth, color, 0, 0, 0]);
    let nothing = [0x78, 0x9c, 0x03, 0, 0, 0, 0, 1];
    [&b"\x89PNG\r\n\x1a\n"[..], &chunk(b"IHDR", &header), &chunk(b"IDAT", &nothing), &chunk(b"IEND", &[])].concat()
}

fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).expect("small").to_be_bytes();
    let body = [&name[..], data].concat();
    [&length[..], &body, &crc32(&body).to_be_bytes()].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

/// A photo whose header is changed to claim 65000 × 65000 pixels.
pub(crate) fn jpeg_claim() -> Vec<u8> {
    let mut bytes = photo(16, 16);
    let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame");
    bytes[frame + 5..frame + 9].copy_from_slice(&[0xfd, 0xe8, 0xfd, 0xe8]);
    bytes
}

/// A small progressive-looking file whose scan is repeated a thousand times.
pub(crate) fn many_scans() -> Vec<u8> {
    let bytes = photo(16, 16);
    let scan = bytes.windows(2).position(|pair| pair == [0xff, 0xda]).expect("a scan");
    let end = bytes.len() - 2;
    [&bytes[..scan], &bytes[scan..end].repeat(1000), &bytes[end..]].concat()
}

/// Starts like the type and goes on with anything.
fn begins(head: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = head.to_vec();
    bytes.extend((head.len()..size).map(|i| (i * 31 % 251) as u8));
    bytes
}

pub(crate) fn ogg(size: usize) -> Vec<u8> {
    begins(b"OggS\0\x02", size)
}

pub(crate) fn mp3(size: usize) -> Vec<u8> {
    begins(b"ID3\x04\0\0\0\0\0\0", size)
}

pub(crate) fn m4a(size: usize) -> Vec<u8> {
    begins(b"\0\0\0\x20ftypM4A \0\0\0\0", size)
}

pub(crate) fn wav(size: usize) -> Vec<u8> {
    begins(b"RIFF\x24\0\0\0WAVEfmt ", size)
}

pub(crate) fn webm(size: usize) -> Vec<u8> {
    begins(
        b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2\x81\x04\x42\xf3\x81\x08\x42\x82\x84webm",
        size,
    )
}

pub(crate) fn pdf(size: usize) -> Vec<u8> {
    begins(b"%PDF-1.7\n", size)
}
