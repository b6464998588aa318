//! What a multipart body says. Files are held nowhere for it: the body is hashed while it is read, without its boundary,
//! as clients choose a new one each time they build a form.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body::Frame;
use http_body_util::BodyExt;
use kit::seal::sha256;

use crate::dialect::Problem;
use crate::upload::unread;

/// How much is hashed at once.
const BLOCK: usize = 64 << 10;
const HASH: usize = 32;

/// Sees the body of a request go by.
pub(super) struct Watch(Option<Arc<Mutex<Content>>>);

impl Watch {
    /// The request to go on with, and what watches it.
    pub(super) fn over(request: Request) -> (Request, Self) {
        let content = Content::of(request.headers()).map(|content| Arc::new(Mutex::new(content)));
        let Some(content) = content else { return (request, Self(None)) };
        let (seen, broken) = (content.clone(), content.clone());
        let look = move |frame: Frame<Bytes>| {
            if let Some(bytes) = frame.data_ref() {
                lock(&seen).take(bytes);
            }
            frame
        };
        let note = move |error| {
            lock(&broken).broke = true;
            error
        };
        (request.map(|body| Body::new(body.map_frame(look).map_err(note))), Self(Some(content)))
    }

    /// The hash of a form that was read to its end; whoever answered before that did not look at what it says.
    pub(super) fn hash(&self) -> Option<String> {
        self.0.as_ref().and_then(|content| lock(content).hash())
    }

    /// Whether the form broke off while it was read.
    pub(super) fn broke(&self) -> bool {
        self.0.as_ref().is_some_and(|content| lock(content).broke)
    }
}

fn lock(content: &Mutex<Content>) -> MutexGuard<'_, Content> {
    content.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The hash of a form that nobody will need any more; none if it does not end as it should.
pub(super) async fn hash(request: Request) -> Result<Option<String>, Problem> {
    let Some(mut content) = Content::of(request.headers()) else { return Ok(None) };
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| unread(&error, Problem::BrokenForm))?;
        if let Some(bytes) = frame.data_ref() {
            content.take(bytes);
        }
        if content.ended {
            break;
        }
    }
    Ok(content.hash())
}

/// A form as far as it has come.
struct Content {
    /// What stands before each part, and with two dashes behind it at the end.
    delimiter: Vec<u8>,
    /// The last bytes, in which a delimiter may have begun.
    tail: Vec<u8>,
    /// A hash of all blocks before, and the present one.
    block: Vec<u8>,
    ended: bool,
    broke: bool,
}

impl Content {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let boundary = boundary(headers.get(CONTENT_TYPE)?.to_str().ok()?)?;
        let delimiter = format!("--{boundary}").into_bytes();
        Some(Self { delimiter, tail: Vec::new(), block: vec![0; HASH], ended: false, broke: false })
    }

    fn take(&mut self, bytes: &[u8]) {
        if self.ended {
            return;
        }
        self.tail.extend_from_slice(bytes);
        let bytes = std::mem::take(&mut self.tail);
        // A delimiter is looked at together with the two bytes that follow it.
        let whole = self.delimiter.len() + 2;
        let mut rest = bytes.as_slice();
        while rest.len() >= whole {
            let within = &rest[..rest.len() - 2];
            let Some(at) = within.windows(self.delimiter.len()).position(|here| here == self.delimiter) else {
                let (sure, tail) = rest.split_at(rest.len() - whole + 1);
                self.add(sure);
                rest = tail;
                break;
            };
            self.add(&rest[..at]);
            // Or the end of one part could as well be the beginning of the next.
            self.add(b"\0");
            rest = &rest[at + self.delimiter.len()..];
            if rest.starts_with(b"--") {
                self.ended = true;
                return;
            }
        }
        self.tail = rest.to_vec();
    }

    fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(HASH + BLOCK - self.block.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == HASH + BLOCK {
                let hash = sha256(&self.block);
                self.block.clear();
                self.block.extend_from_slice(&hash);
            }
        }
    }

    fn hash(&self) -> Option<String> {
        self.ended.then(|| STANDARD_NO_PAD.encode(sha256(&self.block)))
    }
}

/// The boundary of a multipart type. A longer one than RFC 2046 has is none: comparing at every byte would take long.
fn boundary(kind: &str) -> Option<&str> {
    let mut parts = kind.split(';');
    parts.next()?.trim().get(..10).filter(|kind| kind.eq_ignore_ascii_case("multipart/"))?;
    let value = parts.find_map(|part| {
        let (name, value) = part.trim().split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then_some(value)
    })?;
    Some(value.trim_matches('"')).filter(|boundary| (1..=70).contains(&boundary.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn form(boundary: &str, file: &[u8]) -> Vec<u8> {
        let head = format!("--{boundary}\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n");
        [head.as_bytes(), file, format!("\r\n--{boundary}--\r\n").as_bytes()].concat()
    }

    fn hash(boundary: &str, body: &[u8], chunk: usize) -> Option<String> {
        let kind = format!("multipart/form-data; boundary={boundary}").parse().unwrap();
        let mut content = Content::of(&HeaderMap::from_iter([(CONTENT_TYPE, kind)])).unwrap();
        body.chunks(chunk).for_each(|bytes| content.take(bytes));
        content.hash()
    }

    #[test]
    fn a_form_that_does_not_end_has_no_hash() {
        let whole = form("x", b"toro");
        assert_eq!(hash("x", &whole[..whole.len() - 4], 7), None);
        assert_eq!(hash("y", &whole, 7), None);
        assert!(hash("x", &whole, 7).is_some());
    }

    #[test]
    fn boundaries_are_found_in_every_spelling() {
        assert_eq!(boundary("multipart/form-data; boundary=abc"), Some("abc"));
        assert_eq!(boundary("Multipart/Form-Data;charset=utf-8; Boundary=\"a b\""), Some("a b"));
        for kind in ["multipart/form-data", "multipart/form-data; boundary=", "text/plain; boundary=x", ""] {
            assert_eq!(boundary(kind), None, "{kind}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn neither_boundary_nor_chunks_matter_and_each_byte_does(
            seed in 0..=255u8, length in 1..200_000usize, chunk in 1..100_000usize, at in any::<prop::sample::Index>(),
        ) {
            let mut file: Vec<u8> = (0..length).map(|i| (i % 251) as u8 ^ seed).collect();
            let whole = hash("----WebKit7MA4", &form("----WebKit7MA4", &file), length + 1000);
            prop_assert!(whole.is_some());
            prop_assert_eq!(&whole, &hash("other", &form("other", &file), chunk));
            *at.get_mut(&mut file) ^= 1;
            prop_assert_ne!(&whole, &hash("other", &form("other", &file), chunk));
        }
    }
}
