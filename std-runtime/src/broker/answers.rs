//! How answers are written, and why requests are not granted: for the broker and for the name
//! server.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use turbopump_core::rocketmq::wire::body::Body;
use turbopump_core::rocketmq::wire::command::CommandError;
use turbopump_core::rocketmq::wire::frame::encode_head;
use turbopump_core::rocketmq::wire::header::{
    EncodeError, ExtSource, Header, HeaderError, Serialization, response_code,
};
use turbopump_core::rocketmq::wire::json::{Dialect, JsonError, Text};

use super::sessions::{Request, SessionId, Sessions};

/// Why a request is not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: i32,
    pub(super) remark: Cow<'static, str>,
}

impl Refusal {
    pub(super) fn new(code: i32, remark: impl Into<Cow<'static, str>>) -> Self {
        Self { code, remark: remark.into() }
    }
}

impl From<CommandError> for Refusal {
    fn from(error: CommandError) -> Self {
        Self::new(response_code::SYSTEM_ERROR, alloc::format!("{error}"))
    }
}

impl From<HeaderError> for Refusal {
    fn from(error: HeaderError) -> Self {
        Self::new(response_code::SYSTEM_ERROR, alloc::format!("{error}"))
    }
}

impl From<JsonError> for Refusal {
    fn from(error: JsonError) -> Self {
        Self::new(response_code::SYSTEM_ERROR, alloc::format!("the body: {error}"))
    }
}

/// What became of a request: answered, or to be answered later, or refused.
pub(super) type Outcome = Result<(), Refusal>;

/// The text without its escapes; borrowed where it has none.
pub(super) fn plain(text: Text<'_>) -> Cow<'_, str> {
    match text.as_str() {
        Some(text) => Cow::Borrowed(text),
        None => Cow::Owned(text.chars().collect::<String>()),
    }
}

/// Appends a frame's head to `out`, and returns its length.
pub(super) fn write_head(
    out: &mut BytesMut,
    header: &Header<'_>,
    serialization: Serialization,
    ext: &impl ExtSource,
    body_bytes: usize,
) -> Result<usize, EncodeError> {
    let start = out.len();
    let mut room_bytes = 512;
    loop {
        out.resize(start + room_bytes, 0);
        let room = out.get_mut(start..).unwrap_or_default();
        match encode_head(header, serialization, ext, body_bytes, room) {
            Ok(bytes) => {
                out.truncate(start + bytes);
                return Ok(bytes);
            }
            Err(EncodeError::NoRoom { needed_bytes, .. }) if needed_bytes > room_bytes => {
                room_bytes = needed_bytes;
            }
            Err(error) => {
                out.truncate(start);
                return Err(error);
            }
        }
    }
}

/// What became of a frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrote {
    /// It is in the outbox; its body comes next.
    Head,
    /// There is nobody to write to.
    Nobody,
    /// Longer than a frame can be: nothing that the peer could make sense of.
    TooLong,
}

impl Sessions {
    /// Puts a frame's head into the outbox of a connection.
    pub(super) fn write_head(
        &mut self,
        id: SessionId,
        header: &Header<'_>,
        serialization: Serialization,
        ext: &impl ExtSource,
        body_bytes: usize,
    ) -> Wrote {
        let Some(session) = self.get_mut(id).filter(|session| !session.is_mute) else {
            return Wrote::Nobody;
        };
        let written = write_head(session.outbox.open(), header, serialization, ext, body_bytes);
        let Ok(bytes) = written else {
            return Wrote::TooLong;
        };
        session.outbox.wrote(bytes);
        self.wake(id);
        Wrote::Head
    }

    /// Answers a request, unless no answer is wanted.
    pub(super) fn answer(
        &mut self,
        request: Request,
        code: i32,
        remark: Option<&str>,
        ext: &impl ExtSource,
        body: &[u8],
    ) -> Wrote {
        if request.is_oneway {
            return Wrote::Nobody;
        }
        let header = Header::response(code, request.opaque, remark.map(Text::plain));
        let wrote =
            self.write_head(request.session, &header, request.serialization, ext, body.len());
        if wrote == Wrote::Head
            && let Some(session) = self.get_mut(request.session)
        {
            session.outbox.push(Bytes::copy_from_slice(body));
        }
        wrote
    }
}

/// An answer that is known at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) remark: Option<String>,
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// With this body, in JSON.
    pub(super) fn json<'a>(body: &impl Body<'a>, dialect: Dialect) -> Self {
        Self { body: json(body, dialect), ..Self::default() }
    }

    pub(super) fn field(name: &'static str, value: impl Into<String>) -> Self {
        Self { fields: alloc::vec![(name, value.into())], ..Self::default() }
    }

    /// Its fields, to be written.
    pub(super) fn ext(&self) -> Vec<(&str, &str)> {
        self.fields.iter().map(|(name, value)| (*name, &**value)).collect()
    }
}

/// A body as its bytes.
pub(super) fn json<'a>(body: &impl Body<'a>, dialect: Dialect) -> Vec<u8> {
    let mut text = String::new();
    // Writing to a string can't fail, and lists are slices that were not read.
    let _ = body.write(dialect, &mut text);
    text.into_bytes()
}
