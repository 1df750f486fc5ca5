//! What the index of a segment keeps of each message: what a broker that is started needs of it.
//!
//! That is where the message is to be found: its queue and offset, its times, the hashes of its
//! tag and its keys. Messages of the broker's own topics, whose contents are needed, are kept
//! whole, and so is whatever makes no sense here.
//!
//! | bytes | note of a message |
//! | --- | --- |
//! | 1 | 1; 2 for messages of timers; 0 where the message follows as it is stored |
//! | 1 | length of the topic's name |
//! | | the topic's name |
//! | 4 | queue |
//! | 8 | offset in the queue |
//! | 8 | when it was stored |
//! | 4 | hash of its tag |
//! | 8 | with 2: when it is due |
//! | 8 | with 2: the offset of the message that it recalls; all ones for none |
//! | 4 each | hashes of its keys |

use alloc::vec::Vec;

use turbopump_core::rocketmq::wire::identity::{index_key_hash, java_hash};
use turbopump_core::rocketmq::wire::message::Message;

use super::timed::Timer;
use super::topics::{OPERATION_TOPIC, STATE_TOPIC};
use crate::broker::store::Notes;

/// What a store keeps of each message for [`Broker::recover_note`](super::Broker::recover_note).
pub const NOTES: Notes = Notes { version: 2, write };

const WHOLE: u8 = 0;
const DIGEST: u8 = 1;
const TIMER: u8 = 2;
/// No offset.
const NONE: u64 = u64::MAX;

/// Where a message is to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest<'a> {
    pub(super) topic: &'a str,
    pub(super) queue: u32,
    pub(super) offset: u64,
    pub(super) stored_ms: u64,
    pub(super) tags_code: i32,
    /// With a message that waits for a time of its own, or recalls one.
    pub(super) timer: Option<Timer>,
}

impl<'a> Digest<'a> {
    /// `None` where numbers are negative that can't be.
    pub(super) fn of(message: &Message<'a>) -> Option<Self> {
        let tags = message.properties().unwrap_or_default().tags();
        Some(Self {
            topic: message.topic,
            queue: u32::try_from(message.queue_id).ok()?,
            offset: u64::try_from(message.queue_offset).ok()?,
            stored_ms: u64::try_from(message.store_timestamp_ms).ok()?,
            tags_code: tags.map_or(0, java_hash),
            timer: Timer::of(message),
        })
    }
}

/// The hashes by which a message is found.
pub(super) fn key_hashes<'a>(message: &Message<'a>) -> impl Iterator<Item = i32> + use<'a> {
    let (properties, topic) = (message.properties().unwrap_or_default(), message.topic);
    let keys = properties.index_keys().chain(properties.unique_key());
    keys.map(move |key| index_key_hash(topic, key))
}

/// What a note says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Note<'a> {
    Whole(&'a [u8]),
    /// With the hashes of its keys.
    Digest(Digest<'a>, &'a [[u8; 4]]),
}

impl<'a> Note<'a> {
    pub(super) fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        match *kind {
            WHOLE => return Some(Self::Whole(rest)),
            DIGEST | TIMER => {}
            _ => return None,
        }
        let (len, rest) = rest.split_first()?;
        let (topic, rest) = rest.split_at_checked(usize::from(*len))?;
        let (queue, rest) = rest.split_first_chunk()?;
        let (offset, rest) = rest.split_first_chunk()?;
        let (stored_ms, rest) = rest.split_first_chunk()?;
        let (tags_code, mut rest) = rest.split_first_chunk()?;
        let mut timer = None;
        if *kind == TIMER {
            let (due_ms, behind) = rest.split_first_chunk()?;
            let (recalled, behind) = behind.split_first_chunk()?;
            let recalled = Some(u64::from_be_bytes(*recalled)).filter(|offset| *offset != NONE);
            timer = Some(Timer { due_ms: u64::from_be_bytes(*due_ms), recalled });
            rest = behind;
        }
        let (hashes, behind) = rest.as_chunks();
        let digest = Digest {
            topic: core::str::from_utf8(topic).ok()?,
            queue: u32::from_be_bytes(*queue),
            offset: u64::from_be_bytes(*offset),
            stored_ms: u64::from_be_bytes(*stored_ms),
            tags_code: i32::from_be_bytes(*tags_code),
            timer,
        };
        behind.is_empty().then_some(Self::Digest(digest, hashes))
    }
}

fn write(record: &[u8], note: &mut Vec<u8>) {
    let start = note.len();
    if write_digest(record, note).is_none() || note.len() - start > record.len() {
        note.truncate(start);
        note.push(WHOLE);
        note.extend_from_slice(record);
    }
}

/// `None` where the message itself is needed.
fn write_digest(record: &[u8], note: &mut Vec<u8>) -> Option<()> {
    let (message, len) = Message::decode(record).ok()?;
    if len != record.len() || matches!(message.topic, STATE_TOPIC | OPERATION_TOPIC) {
        return None;
    }
    let digest = Digest::of(&message)?;
    note.push(if digest.timer.is_some() { TIMER } else { DIGEST });
    note.push(u8::try_from(digest.topic.len()).ok()?);
    note.extend_from_slice(digest.topic.as_bytes());
    note.extend_from_slice(&digest.queue.to_be_bytes());
    note.extend_from_slice(&digest.offset.to_be_bytes());
    note.extend_from_slice(&digest.stored_ms.to_be_bytes());
    note.extend_from_slice(&digest.tags_code.to_be_bytes());
    if let Some(Timer { due_ms, recalled }) = digest.timer {
        note.extend_from_slice(&due_ms.to_be_bytes());
        note.extend_from_slice(&recalled.unwrap_or(NONE).to_be_bytes());
    }
    key_hashes(&message).for_each(|hash| note.extend_from_slice(&hash.to_be_bytes()));
    Some(())
}
