//! What a file may be. Only its first bytes say so: a client's content type and file name are never looked at.

use proto::media::v1::Kind;

/// How many first bytes are enough to tell every type in the list.
pub(crate) const HEAD: usize = 4096;

/// The types that are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Jpeg,
    Png,
    Webp,
    Gif,
    Webm,
    Ogg,
    Mp3,
    M4a,
    Wav,
    Pdf,
    /// Anything else, where signatures are not checked. Nobody is ever told that it were something.
    Opaque,
}

impl Content {
    pub(crate) fn sniff(head: &[u8]) -> Option<Self> {
        match infer::get(head)?.mime_type() {
            "image/jpeg" => Some(Self::Jpeg),
            "image/png" => Some(Self::Png),
            "image/webp" => Some(Self::Webp),
            "image/gif" => Some(Self::Gif),
            // Browsers record voice notes as WebM; what else such a file holds is of no use to an audio player.
            "video/webm" => Some(Self::Webm),
            "audio/ogg" | "audio/opus" => Some(Self::Ogg),
            "audio/mpeg" => Some(Self::Mp3),
            "audio/m4a" => Some(Self::M4a),
            "audio/x-wav" => Some(Self::Wav),
            "application/pdf" => Some(Self::Pdf),
            _ => None,
        }
    }

    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Jpeg | Self::Png | Self::Webp | Self::Gif => Kind::Image,
            Self::Webm | Self::Ogg | Self::Mp3 | Self::M4a | Self::Wav => Kind::Audio,
            Self::Pdf => Kind::Document,
            Self::Opaque => Kind::Opaque,
        }
    }

    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Webp => "image/webp",
            Self::Gif => "image/gif",
            Self::Webm => "audio/webm",
            Self::Ogg => "audio/ogg",
            Self::Mp3 => "audio/mpeg",
            Self::M4a => "audio/mp4",
            Self::Wav => "audio/wav",
            Self::Pdf => "application/pdf",
            Self::Opaque => "application/octet-stream",
        }
    }

    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Webp => "webp",
            Self::Gif => "gif",
            Self::Webm => "webm",
            Self::Ogg => "ogg",
            Self::Mp3 => "mp3",
            Self::M4a => "m4a",
            Self::Wav => "wav",
            Self::Pdf => "pdf",
            Self::Opaque => "bin",
        }
    }
}

/// The kind of a stored [`Content::media_type`].
pub(crate) fn kind(media_type: &str) -> Kind {
    match media_type.split_once('/') {
        Some(("image", _)) => Kind::Image,
        Some(("audio", _)) => Kind::Audio,
        _ if media_type == Content::Opaque.media_type() => Kind::Opaque,
        _ => Kind::Document,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_decide() {
        assert_eq!(Content::sniff(b"\xff\xd8\xff\xe0...."), Some(Content::Jpeg));
        assert_eq!(Content::sniff(b"\x89PNG\r\n\x1a\n"), Some(Content::Png));
        assert_eq!(Content::sniff(b"GIF89a"), Some(Content::Gif));
        assert_eq!(Content::sniff(b"RIFF\0\0\0\0WEBPVP8 "), Some(Content::Webp));
        assert_eq!(Content::sniff(b"RIFF\0\0\0\0WAVEfmt "), Some(Content::Wav));
        assert_eq!(Content::sniff(b"OggS\0\x02"), Some(Content::Ogg));
        assert_eq!(Content::sniff(b"ID3\x04\0"), Some(Content::Mp3));
        assert_eq!(Content::sniff(b"\0\0\0\x20ftypM4A \0\0\0\0"), Some(Content::M4a));
        assert_eq!(Content::sniff(b"%PDF-1.7"), Some(Content::Pdf));
    }

    #[test]
    fn whatever_is_not_in_the_list_is_refused() {
        let others: [&[u8]; 6] = [
            b"",
            b"plain text",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"<!DOCTYPE html><script>",
            b"\0\0\0\x20ftypisom\0\0\x02\0",
            b"PK\x03\x04",
        ];
        assert!(others.iter().all(|head| Content::sniff(head).is_none()));
    }

    #[test]
    fn a_stored_type_has_the_kind_it_was_stored_with() {
        for content in [Content::Jpeg, Content::Gif, Content::Webm, Content::M4a, Content::Pdf, Content::Opaque] {
            assert_eq!(kind(content.media_type()), content.kind());
        }
    }
}
