//! The bodies of registrations, plain and compressed: how they are read, and how ours is written.

use alloc::string::String;
use alloc::vec::Vec;

use turbopump_core::checksum::crc32;
use turbopump_core::compress::{Format, Inflate, InflateError, InflateState};
use turbopump_core::rocketmq::wire::body::{
    Body, CompressedRegistration, DataVersion, RegisterBrokerBody, TopicConfig,
};
use turbopump_core::rocketmq::wire::command::{Command, RegisterBrokerRequestHeader};
use turbopump_core::rocketmq::wire::frame::Frame;

use super::config::NameServerConfig;
use super::registry::{Registration, Who, failed};
use super::route::Queues;
use crate::broker::answers::{Refusal, plain};

/// Bits of the checksum that a header can hold.
const CRC_MASK: u32 = 0x7fff_ffff;
/// The longest name, address or topic, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 255;

/// A checksum as registrations have it.
pub(in crate::broker) fn body_crc(body: &[u8]) -> i32 {
    (crc32(body) & CRC_MASK) as i32
}

/// Reads request 103.
pub(super) fn read(frame: &Frame<'_>, config: &NameServerConfig) -> Result<Registration, Refusal> {
    let header = RegisterBrokerRequestHeader::decode(&frame.ext)?;
    let expected = header.body_crc32.filter(|crc| *crc != 0);
    if expected.is_some_and(|crc| crc != body_crc(frame.body)) {
        return Err(failed("crc32 not match"));
    }
    let who = Who {
        cluster: plain(header.cluster_name).into_owned(),
        name: plain(header.broker_name).into_owned(),
        address: plain(header.broker_addr).into_owned(),
        id: header.broker_id,
    };
    check_who(&who)?;
    let timeout_ms = header.heartbeat_timeout_millis.and_then(|ms| u64::try_from(ms).ok());
    let default_us = u64::try_from(config.heartbeat_timeout.as_micros()).unwrap_or(u64::MAX);
    let timeout_us =
        timeout_ms.filter(|ms| *ms > 0).map_or(default_us, |ms| ms.saturating_mul(1_000));
    let (version, topics) = if header.compressed {
        let body = inflate(frame.body, config.frame_bytes_max)?;
        let registration = CompressedRegistration::decode(&body)
            .map_err(|error| failed(&alloc::format!("the body: {error}")))?;
        let topics = registration.topics.map(|topic| match topic {
            Ok(topic) => queues_of(&topic),
            Err(error) => Err(failed(&alloc::format!("the body: {error}"))),
        });
        (registration.data_version, topics.collect::<Result<Vec<_>, _>>()?)
    } else if frame.body.is_empty() {
        // A broker that has nothing to say about its topics.
        (DataVersion { counter: 0, state_version: 0, timestamp: 0 }, Vec::new())
    } else {
        let body = RegisterBrokerBody::decode(frame.body)?.topic_config_serialize_wrapper;
        let none = DataVersion { counter: 0, state_version: 0, timestamp: 0 };
        let topics = body.topic_config_table.iter().map(|entry| queues_of(&entry?.1));
        (body.data_version.unwrap_or(none), topics.collect::<Result<Vec<_>, _>>()?)
    };
    Ok(Registration {
        who,
        ha_address: plain(header.ha_server_addr).into_owned(),
        timeout_us,
        acts: header.enable_acting_master,
        version,
        topics,
    })
}

/// Names that are none, or that cost too much to keep.
fn check_who(who: &Who) -> Result<(), Refusal> {
    for (field, text) in
        [("clusterName", &who.cluster), ("brokerName", &who.name), ("brokerAddr", &who.address)]
    {
        if text.is_empty() || text.len() > NAME_BYTES_MAX {
            let bytes = text.len();
            let remark = alloc::format!("{field} has {bytes} bytes, not 1 to {NAME_BYTES_MAX}");
            return Err(failed(&remark));
        }
    }
    if who.id < 0 {
        return Err(failed(&alloc::format!("brokerId is {}, below 0", who.id)));
    }
    Ok(())
}

fn queues_of(topic: &TopicConfig<'_>) -> Result<(String, Queues), Refusal> {
    let name = plain(topic.topic_name).into_owned();
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        let bytes = name.len();
        let remark = alloc::format!("a topic's name has {bytes} bytes, not 1 to {NAME_BYTES_MAX}");
        return Err(failed(&remark));
    }
    let queues = Queues {
        read: topic.read_queue_nums,
        write: topic.write_queue_nums,
        perm: topic.perm,
        sys_flag: topic.topic_sys_flag,
    };
    Ok((name, queues))
}

/// Inflates a body, in steps that double: what it says about itself can't be trusted.
fn inflate(body: &[u8], bytes_max: usize) -> Result<Vec<u8>, Refusal> {
    let wrong = |error: InflateError| failed(&alloc::format!("the body: {error}"));
    let mut room_bytes = body.len().saturating_mul(4).clamp(1_024, bytes_max.max(1_024));
    loop {
        let mut output = alloc::vec![0; room_bytes];
        let mut machine = Inflate::new(Format::Zlib, InflateState::new_boxed()).map_err(wrong)?;
        match machine.update(body, &mut output).and_then(|_| machine.finish()) {
            Ok(len) => {
                output.truncate(len);
                return Ok(output);
            }
            Err(InflateError::OutputLimit { .. }) if room_bytes < bytes_max => {
                room_bytes = room_bytes.saturating_mul(4).min(bytes_max);
            }
            Err(error) => return Err(wrong(error)),
        }
    }
}
