//! Messages as they are written: lines, JSON, or with their length in front.

use core::fmt::Write as _;
use std::io::{self, Write};

use serde_json::{Map, Value, json};

use turbopump::runtime::client::ReceivedMessage;

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Lines,
    /// With what is known of each in front.
    Metadata,
    LengthPrefixed,
    Json,
}

/// Writes a message whole, so that it may be said to be done.
pub(crate) fn write(
    out: &mut impl Write,
    form: Form,
    message: &ReceivedMessage,
    body: &[u8],
) -> io::Result<()> {
    match form {
        Form::Lines => {
            out.write_all(body)?;
            out.write_all(b"\n")?;
        }
        Form::Metadata => {
            let keys = message.keys().collect::<Vec<_>>().join(" ");
            let (broker, id, tag) =
                (message.broker(), message.message_id(), message.tag().unwrap_or_default());
            let (queue, offset) = (message.queue(), message.offset());
            write!(out, "{broker}\t{queue}\t{offset}\t{id}\t{tag}\t{keys}\t")?;
            out.write_all(body)?;
            out.write_all(b"\n")?;
        }
        Form::LengthPrefixed => {
            let length = u32::try_from(body.len()).map_err(io::Error::other)?;
            out.write_all(&length.to_be_bytes())?;
            out.write_all(body)?;
        }
        Form::Json => {
            let object = object(message, body).to_string();
            writeln!(out, "{object}")?;
        }
    }
    out.flush()
}

/// A body that is no text comes as the digits of its bytes.
fn object(message: &ReceivedMessage, body: &[u8]) -> Value {
    let properties: Map<String, Value> =
        message.iter_properties().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    let mut object = json!({
        "topic": message.topic(),
        "broker": message.broker(),
        "queue": message.queue(),
        "offset": message.offset(),
        "message_id": message.message_id(),
        "tag": message.tag(),
        "keys": message.keys().collect::<Vec<_>>(),
        "properties": properties,
        "born_unix_ms": message.born_unix_ms(),
        "store_unix_ms": message.store_unix_ms(),
        "reconsume_times": message.reconsume_times(),
    });
    match core::str::from_utf8(body) {
        Ok(text) => object["body"] = json!(text),
        Err(_) => object["body_hex"] = json!(hex(body)),
    }
    object
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
