//! What is sent: a message of the caller's, until it is encoded.

use core::fmt;

use super::SendRefused;
use crate::pool::{BufferSource, Chunk};
use crate::rocketmq::client::topic_problem;
use crate::rocketmq::wire::identity::UniqueKey;
use crate::rocketmq::wire::message::BatchEntry;
use crate::rocketmq::wire::properties::{PROPERTIES_BYTES_MAX, keys, write_property};

/// A message that is to be sent. It is copied once, when it is accepted.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Outgoing<'m> {
    /// Where to.
    pub topic: &'m str,
    /// What.
    pub body: &'m [u8],
    /// Names and values, in order; see [`keys`] for those that mean something to brokers.
    pub properties: &'m [(&'m str, &'m str)],
    /// Messages with the same key go to the same queue.
    pub sharding_key: Option<&'m str>,
    /// A number that brokers pass on.
    pub flag: i32,
}

impl<'m> Outgoing<'m> {
    /// A message without properties, to any queue.
    #[must_use]
    pub const fn new(topic: &'m str, body: &'m [u8]) -> Self {
        Self { topic, body, properties: &[], sharding_key: None, flag: 0 }
    }

    /// With these properties.
    #[must_use]
    pub const fn with_properties(self, properties: &'m [(&'m str, &'m str)]) -> Self {
        Self { properties, ..self }
    }

    /// To the queue of this key.
    #[must_use]
    pub const fn with_sharding_key(self, key: &'m str) -> Self {
        Self { sharding_key: Some(key), ..self }
    }

    fn write_properties(
        &self,
        id: UniqueKey,
        out: &mut impl fmt::Write,
    ) -> Result<(), SendRefused> {
        let mut digits =
            heapless::String::<{ crate::rocketmq::client::MessageIds::TEXT_BYTES }>::new();
        let _ = fmt::Write::write_fmt(&mut digits, format_args!("{id}"));
        let own = [(keys::UNIQ_KEY, digits.as_str()), (keys::WAIT, "true")];
        for (name, value) in own.iter().chain(self.properties) {
            write_property(out, name, value).map_err(SendRefused::Property)?;
        }
        Ok(())
    }

    fn properties_bytes(&self, id: UniqueKey) -> Result<usize, SendRefused> {
        let mut count = Count(0);
        self.write_properties(id, &mut count)?;
        match count.0 {
            bytes if bytes > PROPERTIES_BYTES_MAX => {
                Err(SendRefused::Properties { bytes, bytes_max: PROPERTIES_BYTES_MAX })
            }
            bytes => Ok(bytes),
        }
    }
}

/// Counts bytes.
struct Count(usize);

impl fmt::Write for Count {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.saturating_add(text.len());
        Ok(())
    }
}

/// Whether a topic may be sent to, as far as its name says.
pub(super) fn check_topic(topic: &str) -> Result<(), SendRefused> {
    topic_problem(topic).map_or(Ok(()), |reason| Err(SendRefused::Topic { reason }))
}

/// A message or batch as it is kept: properties, then the body.
pub(super) struct Encoded<R: crate::pool::PoolRef> {
    pub(super) chunk: Chunk<R>,
    pub(super) properties_bytes: usize,
}

fn check_body(bytes: usize, bytes_max: usize) -> Result<(), SendRefused> {
    match bytes {
        0 => Err(SendRefused::Empty),
        bytes if bytes > bytes_max => Err(SendRefused::TooLarge { bytes, bytes_max }),
        _ => Ok(()),
    }
}

/// A message by itself.
pub(super) fn encode_one<B: BufferSource>(
    buffers: &B,
    message: &Outgoing<'_>,
    id: UniqueKey,
    bytes_max: usize,
) -> Result<Encoded<B::Ref>, SendRefused> {
    check_body(message.body.len(), bytes_max)?;
    let properties_bytes = message.properties_bytes(id)?;
    let bytes = properties_bytes.saturating_add(message.body.len());
    let mut lease = buffers.acquire(bytes).map_err(SendRefused::NoBuffer)?;
    let mut out = Fill { memory: lease.dirty_mut(), len: 0 };
    message.write_properties(id, &mut out)?;
    out.put(message.body);
    // It was acquired for this length.
    let _ = lease.commit(bytes);
    Ok(Encoded { chunk: lease.freeze(), properties_bytes })
}

/// Messages of one topic as one batch; `ids` makes an id for the batch, then one for each.
pub(super) fn encode_batch<B: BufferSource>(
    buffers: &B,
    messages: &[Outgoing<'_>],
    ids: impl Fn(u64) -> UniqueKey,
    bytes_max: usize,
) -> Result<Encoded<B::Ref>, SendRefused> {
    let mut body_bytes = 0_usize;
    for message in messages {
        check_body(message.body.len(), bytes_max)?;
        let entry = BatchEntry { flag: 0, body: b"", properties: b"" }.encoded_len();
        // All ids are of one length.
        let properties = message.properties_bytes(ids(0))?;
        let bytes = entry.saturating_add(message.body.len()).saturating_add(properties);
        body_bytes = body_bytes.saturating_add(bytes);
    }
    check_body(body_bytes, bytes_max)?;
    let whole = Outgoing::default();
    let properties_bytes = whole.properties_bytes(ids(0))?;
    let bytes = properties_bytes.saturating_add(body_bytes);
    let mut lease = buffers.acquire(bytes).map_err(SendRefused::NoBuffer)?;
    let mut out = Fill { memory: lease.dirty_mut(), len: 0 };
    whole.write_properties(ids(0), &mut out)?;
    for (number, message) in (1..).zip(messages) {
        let id = ids(number);
        let properties = message.properties_bytes(id)?;
        let mut text = buffers.acquire(properties.max(1)).map_err(SendRefused::NoBuffer)?;
        let mut written = Fill { memory: text.dirty_mut(), len: 0 };
        message.write_properties(id, &mut written)?;
        let _ = text.commit(properties);
        let entry = BatchEntry { flag: message.flag, body: message.body, properties: &text };
        let room = out.memory.get_mut(out.len..).unwrap_or_default();
        let len = entry.encode(room).map_err(|_| SendRefused::TooLarge { bytes, bytes_max })?;
        out.len = out.len.saturating_add(len);
    }
    let _ = lease.commit(bytes);
    Ok(Encoded { chunk: lease.freeze(), properties_bytes })
}

/// Writes into memory that is long enough.
struct Fill<'m> {
    memory: &'m mut [u8],
    len: usize,
}

impl Fill<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        if let Some(room) = self.memory.get_mut(self.len..end) {
            room.copy_from_slice(bytes);
            self.len = end;
        }
    }
}

impl fmt::Write for Fill<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes());
        Ok(())
    }
}
