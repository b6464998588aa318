//! The codec of every generated client and server: protobuf, with the contract's field rules checked on arrival. It
//! stands here rather than in `kit` because the generated code names it.

use std::collections::HashMap;
use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic::{Code, Status};
use tonic_prost::{ProstDecoder, ProstEncoder};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::rules::{Validate, Violation};

/// Bytes that an encoder and a decoder begin with. They grow as messages need it; tonic's own 8 KiB twice would be most of
/// what a stream that waits costs.
const BUFFER: usize = 512;
/// Bytes of a stream's messages that are sent together; tonic's own.
const TOGETHER: usize = 32 << 10;

/// [`tonic_prost::ProstCodec`] that refuses a request which breaks its field rules with INVALID_ARGUMENT, reason
/// `INVALID_FIELDS` and a `google.rpc.BadRequest` that names each field and the rule (`string.max_len`) it breaks.
pub struct Checked<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Checked<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for Checked<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Validate + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = CheckedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::new(BUFFER, TOGETHER))
    }

    fn decoder(&mut self) -> Self::Decoder {
        CheckedDecoder(ProstDecoder::new(BufferSettings::new(BUFFER, TOGETHER)))
    }
}

/// Decodes, then checks what is a request.
pub struct CheckedDecoder<U>(ProstDecoder<U>);

impl<U: Message + Default + Validate> Decoder for CheckedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let Some(message) = self.0.decode(buffer)? else { return Ok(None) };
        if !U::INPUT {
            return Ok(Some(message));
        }
        match message.validate() {
            Ok(()) => Ok(Some(message)),
            Err(broken) => Err(refusal(broken)),
        }
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}

fn refusal(broken: Vec<Violation>) -> Status {
    let lines: Vec<_> = broken.iter().map(|v| format!("{} {}", v.field, v.message)).collect();
    let violations: Vec<_> = broken
        .into_iter()
        .map(|v| FieldViolation { reason: v.rule.to_owned(), ..FieldViolation::new(v.field, v.message) })
        .collect();
    let mut details = ErrorDetails::with_bad_request(violations);
    details.set_error_info("INVALID_FIELDS", "plaza", HashMap::new());
    Status::with_error_details(Code::InvalidArgument, lines.join("; "), details)
}
