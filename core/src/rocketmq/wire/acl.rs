//! Signatures of requests, as RocketMQ's ACL wants them, versions 1.0 and 2.0.
//!
//! The module decides what is signed: the values of all fields in the order of their names, then
//! the body. Who may do what is left to brokers. Neither the code nor any time is signed, so a
//! signature protects nothing against being sent again: use TLS where that matters.
//!
//! ```
//! use turbopump_core::rocketmq::wire::acl::Credentials;
//! use turbopump_core::rocketmq::wire::frame::{Frame, encode};
//! use turbopump_core::rocketmq::wire::header::{Header, Serialization};
//!
//! let credentials = Credentials::new("rocketmq", "12345678");
//! let fields = [("topic", "OrdersA"), ("queueId", "1")];
//! let signed = credentials.sign(&fields, b"hello")?;
//!
//! let mut memory = [0; 512];
//! let header = Header::request(10, 1);
//! let len = encode(&header, Serialization::Json, &signed, b"hello", &mut memory)?;
//! let frame = Frame::decode(&memory[..len])?;
//! assert_eq!(frame.ext.get("Signature")?, Some("A1McF781gCftwtlXkVQOB4Ar2T8=".into()));
//! assert!(credentials.verify(&frame)?);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use core::fmt::{self, Write};

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::frame::Frame;
use super::header::{EncodeError, ExtSource, FieldVisitor, HeaderError};
use super::json::Text;

/// The most fields that a request may have to be signed.
pub const FIELDS_MAX: usize = 64;

const ACCESS_KEY: &str = "AccessKey";
const SECURITY_TOKEN: &str = "SecurityToken";
const SIGNATURE: &str = "Signature";
/// Left out of signatures up to release 4.9.3.
const UNIQUE_KEY_QUERY: &str = "_UNIQUE_KEY_QUERY";
const VERSION_4_9_3: i32 = 399;
const SIGNATURE_BYTES: usize = 28;

/// Who signs. For ACL 2.0 these are the user's name and password.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// Says who it is.
    pub access_key: &'a str,
    /// Proves it; never sent.
    pub secret_key: &'a str,
    /// For credentials that somebody has issued for some time.
    pub security_token: Option<&'a str>,
}

impl fmt::Debug for Credentials<'_> {
    /// Without what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// A request's fields with those that sign them.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a, S> {
    ext: S,
    credentials: Credentials<'a>,
    signature: Signature,
}

/// A signature, as it stands in the field `Signature`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature([u8; SIGNATURE_BYTES]);

impl Signature {
    /// Its text, Base64.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl<'a> Credentials<'a> {
    /// Without a token.
    #[must_use]
    pub const fn new(access_key: &'a str, secret_key: &'a str) -> Self {
        Self { access_key, secret_key, security_token: None }
    }

    /// Signs a request with those fields and that body.
    ///
    /// # Errors
    ///
    /// [`EncodeError::TooLong`] for more than [`FIELDS_MAX`] fields, those of the signature
    /// included.
    pub fn sign<S: ExtSource>(&self, ext: S, body: &[u8]) -> Result<Signed<'a, S>, EncodeError> {
        let key = [(ACCESS_KEY, self.access_key)];
        let token = self.security_token.map(|token| [(SECURITY_TOKEN, token)]);
        let signature = self.signature(&(&ext, (key, token)), body, &[SIGNATURE])?;
        Ok(Signed { ext, credentials: *self, signature })
    }

    /// Whether a request carries the signature that these credentials make; which ones to take, the
    /// field `AccessKey` says. Takes the same time wherever the signature is wrong.
    ///
    /// # Errors
    ///
    /// [`HeaderError`] for a signature that is no UTF-8. More than [`FIELDS_MAX`] fields are never
    /// signed.
    pub fn verify(&self, frame: &Frame<'_>) -> Result<bool, HeaderError> {
        let (Some(key), Some(theirs)) = (frame.ext.get(ACCESS_KEY)?, frame.ext.get(SIGNATURE)?)
        else {
            return Ok(false);
        };
        let without: &[&str] = match frame.header.version {
            ..=VERSION_4_9_3 => &[SIGNATURE, UNIQUE_KEY_QUERY],
            _ => &[SIGNATURE],
        };
        let Ok(ours) = self.signature(&frame.ext, frame.body, without) else {
            return Ok(false);
        };
        let mut memory = [0; SIGNATURE_BYTES];
        let theirs = theirs.copy_to(&mut memory).unwrap_or_default().as_bytes();
        let pairs = theirs.iter().zip(&ours.0);
        let differ = pairs.fold(0, |differ, (one, other)| differ | (one ^ other));
        Ok(differ == 0 && theirs.len() == ours.0.len() && key == self.access_key)
    }

    fn signature(
        &self,
        ext: &impl ExtSource,
        body: &[u8],
        without: &[&str],
    ) -> Result<Signature, EncodeError> {
        let order = Order::of(ext, without)?;
        let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(self.secret_key.as_bytes()) else {
            // HMAC takes keys of any length.
            return Ok(Signature([b'='; SIGNATURE_BYTES]));
        };
        for rank in 0..FIELDS_MAX {
            let Some(wanted) = order.ranks.iter().position(|other| usize::from(*other) == rank)
            else {
                continue;
            };
            each(ext, |index, _, value| {
                if index == wanted {
                    // Writing into a hash can't fail.
                    let _ = value.write(&mut MacText(&mut mac));
                }
                Ok(())
            })?;
        }
        mac.update(body);
        let mut signature = [b'='; SIGNATURE_BYTES];
        let hash = mac.finalize().into_bytes();
        // Twenty bytes are 28 digits, padding included.
        let _ = Base64::encode(&hash, &mut signature);
        Ok(Signature(signature))
    }
}

impl<S> Signed<'_, S> {
    /// The signature.
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }
}

impl<S: ExtSource> ExtSource for Signed<'_, S> {
    fn visit(&self, visitor: &mut impl FieldVisitor) -> Result<(), EncodeError> {
        if visitor.keeps_empty() {
            self.ext.visit(visitor)?;
        } else {
            self.ext.visit(&mut WithoutEmpty(visitor))?;
        }
        visitor.text(ACCESS_KEY.into(), self.credentials.access_key.into())?;
        if let Some(token) = self.credentials.security_token {
            visitor.text(SECURITY_TOKEN.into(), token.into())?;
        }
        visitor.text(SIGNATURE.into(), self.signature.as_str().into())
    }
}

/// Leaves out what would arrive as `null`: Java's brokers sign that as the four letters, and refuse
/// the request.
struct WithoutEmpty<'v, V>(&'v mut V);

impl<V: FieldVisitor> FieldVisitor for WithoutEmpty<'_, V> {
    fn text(&mut self, name: Text<'_>, value: Text<'_>) -> Result<(), EncodeError> {
        if value.is_empty() { Ok(()) } else { self.0.text(name, value) }
    }

    fn integer(&mut self, name: &str, value: i64) -> Result<(), EncodeError> {
        self.0.integer(name, value)
    }
}

/// Which place each field has in the order of names; [`NOWHERE`] for those that are not signed.
struct Order {
    ranks: [u8; FIELDS_MAX],
}

const NOWHERE: u8 = u8::MAX;

impl Order {
    /// Fields can only be walked, so each is compared with all others: quadratic, but bounded.
    fn of(ext: &impl ExtSource, without: &[&str]) -> Result<Self, EncodeError> {
        let mut ranks = [NOWHERE; FIELDS_MAX];
        each(ext, |index, name, _| {
            let Some(place) = ranks.get_mut(index) else {
                let (len_bytes, len_bytes_max) = (index.saturating_add(1), FIELDS_MAX);
                let part = "the list of fields to be signed";
                return Err(EncodeError::TooLong { part, len_bytes, len_bytes_max });
            };
            if without.iter().any(|without| name == *without) {
                return Ok(());
            }
            let (mut rank, mut is_last) = (0_u8, true);
            each(ext, |other_index, other, _| {
                match units(other).cmp(units(name)) {
                    core::cmp::Ordering::Less => rank = rank.saturating_add(1),
                    core::cmp::Ordering::Equal if other_index > index => is_last = false,
                    _ => {}
                }
                Ok(())
            })?;
            // Of a name that is there twice, the last value counts.
            *place = if is_last { rank } else { NOWHERE };
            Ok(())
        })?;
        Ok(Self { ranks })
    }
}

/// Java compares texts by their UTF-16 units.
fn units(text: Text<'_>) -> impl Iterator<Item = u16> {
    text.chars().flat_map(|character| {
        let mut units = [0; 2];
        let len = character.encode_utf16(&mut units).len();
        units.into_iter().take(len)
    })
}

enum Value<'v> {
    Text(Text<'v>),
    Integer(i64),
}

impl Value<'_> {
    fn write(&self, out: &mut impl Write) -> fmt::Result {
        match self {
            Self::Text(text) => write!(out, "{text}"),
            Self::Integer(value) => write!(out, "{value}"),
        }
    }
}

/// Calls `then` with number, name and value of each field.
fn each(
    ext: &impl ExtSource,
    then: impl FnMut(usize, Text<'_>, Value<'_>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    ext.visit(&mut Each { index: 0, then })
}

struct Each<F> {
    index: usize,
    then: F,
}

impl<F> FieldVisitor for Each<F>
where
    F: FnMut(usize, Text<'_>, Value<'_>) -> Result<(), EncodeError>,
{
    fn text(&mut self, name: Text<'_>, value: Text<'_>) -> Result<(), EncodeError> {
        let index = self.index;
        self.index = index.saturating_add(1);
        (self.then)(index, name, Value::Text(value))
    }

    fn integer(&mut self, name: &str, value: i64) -> Result<(), EncodeError> {
        let index = self.index;
        self.index = index.saturating_add(1);
        (self.then)(index, name.into(), Value::Integer(value))
    }
}

struct MacText<'m>(&'m mut Hmac<Sha1>);

impl Write for MacText<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use crate::rocketmq::wire::frame::encode;
    use crate::rocketmq::wire::header::{Header, Serialization};

    const SOMEBODY: Credentials<'_> = Credentials::new("somebody", "secret");

    #[test]
    fn whatever_was_changed_is_noticed() {
        let signed = SOMEBODY.sign([("topic", "T"), ("a", "")], b"body").unwrap();
        for serialization in [Serialization::Json, Serialization::Rocketmq] {
            let mut memory = [0; 512];
            let header = Header::request(10, 1);
            let len = encode(&header, serialization, &signed, b"body", &mut memory).unwrap();
            let verify = |memory: &[u8], who: Credentials<'_>| {
                who.verify(&Frame::decode(&memory[..len]).unwrap()).unwrap()
            };
            assert!(verify(&memory, SOMEBODY), "{serialization:?}");
            assert!(!verify(&memory, Credentials::new("somebody", "else")));
            assert!(!verify(&memory, Credentials::new("nobody", "secret")));
            let mut changed = memory;
            changed[len - 1] ^= 1;
            assert!(!verify(&changed, SOMEBODY));
        }
        let mut memory = [0; 512];
        let header = Header::request(10, 1);
        let len = encode(&header, Serialization::Json, &[("a", "b")], b"", &mut memory).unwrap();
        assert_eq!(SOMEBODY.verify(&Frame::decode(&memory[..len]).unwrap()), Ok(false));
    }

    /// Java's brokers take an empty value in a binary header for `null`, and sign those letters.
    #[test]
    fn what_is_empty_is_not_sent_in_a_binary_header() {
        let signed = SOMEBODY.sign([("topic", "T"), ("a", "")], b"").unwrap();
        for (serialization, expected) in [(Serialization::Json, 4), (Serialization::Rocketmq, 3)] {
            let mut memory = [0; 512];
            let header = Header::request(10, 1);
            let len = encode(&header, serialization, &signed, b"", &mut memory).unwrap();
            let frame = Frame::decode(&memory[..len]).unwrap();
            assert_eq!(frame.ext.iter().count(), expected);
            assert_eq!(SOMEBODY.verify(&frame), Ok(true));
        }
    }

    #[test]
    fn the_number_of_fields_is_bounded() {
        let fields = [("same", "value"); FIELDS_MAX];
        assert!(SOMEBODY.sign(&fields[..FIELDS_MAX - 1], b"").is_ok());
        let error = SOMEBODY.sign(&fields[..], b"").unwrap_err();
        assert!(matches!(error, EncodeError::TooLong { len_bytes: 65, len_bytes_max: 64, .. }));
    }

    #[test]
    fn old_releases_leave_a_field_out() {
        let fields = [("key", "k")];
        let old = SOMEBODY.sign(fields, b"").unwrap();
        let sent = (old, [("_UNIQUE_KEY_QUERY", "true")]);
        for (version, expected) in [(399, true), (401, false)] {
            let mut memory = [0; 512];
            let header = Header { version, ..Header::request(12, 1) };
            let len = encode(&header, Serialization::Json, &sent, b"", &mut memory).unwrap();
            let frame = Frame::decode(&memory[..len]).unwrap();
            assert_eq!(SOMEBODY.verify(&frame), Ok(expected), "{version}");
        }
    }
}
