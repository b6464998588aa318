//! GIF and WebP without whatever does not draw: comments, EXIF, XMP, colour profiles, unknown blocks, bytes after the
//! end. The blocks that draw are copied as they are, because re-encoding would lose the animation and, as WebP is only
//! encoded lossless here, make photographs several times as large. Also here: whether a JPEG is all there.
//!
//! Everything is pure and works on slices; `None` means that the file breaks off or is not what it says.

/// A picture's progressive scans; each costs a pass over all pixels, and a small file can hold a million of them.
const SCANS: usize = 100;

/// Whether a JPEG has its end marker and a sane number of scans. The decoder itself paints what is missing grey.
pub(super) fn jpeg_is_complete(jpeg: &[u8]) -> bool {
    let mut rest = jpeg;
    let mut scans = 0;
    while let Some(marker) = next_marker(&mut rest) {
        match marker {
            0xd8 => {}
            0xd9 => return scans > 0,
            _ => {
                let Some(&[high, low]) = rest.first_chunk() else { return false };
                let Some(after) = rest.get(usize::from(u16::from_be_bytes([high, low]))..) else { return false };
                rest = after;
                scans += usize::from(marker == 0xda);
                if scans > SCANS {
                    return false;
                }
            }
        }
    }
    false
}

/// The next marker of a JPEG, past compressed data: there a 0xff is followed by zero or a restart marker.
fn next_marker(rest: &mut &[u8]) -> Option<u8> {
    loop {
        let at = rest.iter().position(|&byte| byte == 0xff)?;
        let &marker = rest.get(at + 1)?;
        match marker {
            0xff => *rest = &rest[at + 1..],
            0x00 | 0x01 | 0xd0..=0xd7 => *rest = &rest[at + 2..],
            _ => {
                *rest = &rest[at + 2..];
                return Some(marker);
            }
        }
    }
}

/// A GIF with its frames, their timing and its number of rounds, and nothing else.
pub(super) fn gif(gif: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(gif.len());
    let mut rest = gif;
    let header = take(&mut rest, 13)?;
    out.extend_from_slice(header);
    out.extend_from_slice(take(&mut rest, color_table(header[10]))?);
    loop {
        match take(&mut rest, 1)?[0] {
            0x21 => {
                let label = take(&mut rest, 1)?[0];
                let blocks = sub_blocks(&mut rest)?;
                // Timing and transparency, or how often to repeat.
                if label == 0xf9 || (label == 0xff && repeats(blocks)) {
                    out.extend_from_slice(&[0x21, label]);
                    out.extend_from_slice(blocks);
                }
            }
            0x2c => {
                let descriptor = take(&mut rest, 9)?;
                out.push(0x2c);
                out.extend_from_slice(descriptor);
                out.extend_from_slice(take(&mut rest, color_table(descriptor[8]))?);
                out.extend_from_slice(take(&mut rest, 1)?);
                out.extend_from_slice(sub_blocks(&mut rest)?);
            }
            0x3b => {
                out.push(0x3b);
                return Some(out);
            }
            _ => return None,
        }
    }
}

/// Bytes of the colour table that these flags announce.
fn color_table(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

/// Length-prefixed blocks up to and with the empty one that ends them.
fn sub_blocks<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let start = *rest;
    loop {
        let length = usize::from(take(rest, 1)?[0]);
        take(rest, length)?;
        if length == 0 {
            return start.get(..start.len() - rest.len());
        }
    }
}

/// Whether an application block is the one for repeating, and no larger than that needs.
fn repeats(blocks: &[u8]) -> bool {
    matches!(blocks.strip_prefix(&[11]), Some(b) if b.starts_with(b"NETSCAPE2.0") || b.starts_with(b"ANIMEXTS1.0"))
        && blocks.len() == 17
}

/// A WebP with its picture or frames, and nothing else.
pub(super) fn webp(webp: &[u8]) -> Option<Vec<u8>> {
    let mut rest = webp.strip_prefix(b"RIFF")?;
    let mut body = {
        let length = length(&mut rest)?;
        take(&mut rest, length)?.strip_prefix(b"WEBP")?
    };
    let mut out = b"RIFF\0\0\0\0WEBP".to_vec();
    copy_chunks(&mut body, &mut out)?;
    let size = u32::try_from(out.len() - 8).ok()?;
    out[4..8].copy_from_slice(&size.to_le_bytes());
    Some(out)
}

fn copy_chunks(rest: &mut &[u8], out: &mut Vec<u8>) -> Option<()> {
    while !rest.is_empty() {
        let name = take(rest, 4)?;
        let length = length(rest)?;
        let data = take(rest, length)?;
        // Odd chunks are padded; some writers forget it on the last one.
        take(rest, (length % 2).min(rest.len()))?;
        match name {
            b"VP8X" => {
                let mut features = data.to_vec();
                // No colour profile, no EXIF, no XMP any more.
                *features.first_mut()? &= !(0x20 | 0x08 | 0x04);
                write_chunk(name, &features, out)?;
            }
            b"ANMF" => {
                let (place, mut picture) = data.split_at_checked(16)?;
                let mut frame = place.to_vec();
                copy_picture(&mut picture, &mut frame)?;
                write_chunk(name, &frame, out)?;
            }
            b"VP8 " | b"VP8L" | b"ALPH" | b"ANIM" => write_chunk(name, data, out)?,
            _ => {}
        }
    }
    Some(())
}

/// The chunks inside a frame. Frames do not hold frames, so this does not call itself, however deep a file nests.
fn copy_picture(rest: &mut &[u8], out: &mut Vec<u8>) -> Option<()> {
    while !rest.is_empty() {
        let name = take(rest, 4)?;
        let length = length(rest)?;
        let data = take(rest, length)?;
        take(rest, (length % 2).min(rest.len()))?;
        if matches!(name, b"VP8 " | b"VP8L" | b"ALPH") {
            write_chunk(name, data, out)?;
        }
    }
    Some(())
}

fn write_chunk(name: &[u8], data: &[u8], out: &mut Vec<u8>) -> Option<()> {
    out.extend_from_slice(name);
    out.extend_from_slice(&u32::try_from(data.len()).ok()?.to_le_bytes());
    out.extend_from_slice(data);
    out.extend_from_slice(&[0][..data.len() % 2]);
    Some(())
}

fn length(rest: &mut &[u8]) -> Option<usize> {
    let bytes = take(rest, 4)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}
