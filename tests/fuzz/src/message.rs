//! Messages of RocketMQ: whatever is read can be written and read again.
//!
//! An input is the body of a pull; it is read as the body of a batch as well.

use turbopump_core::rocketmq::wire::message::{BatchEntries, Message, Messages};

/// Runs the target.
pub fn run(data: &[u8]) {
    let mut messages = Messages::new(data);
    while let Some(message) = messages.next() {
        match message {
            Ok(message) => {
                check(&message);
                assert!(messages.position() <= data.len());
            }
            Err(error) => assert!(error.position <= data.len(), "{error}"),
        }
    }
    let mut position = 0;
    for entry in BatchEntries::new(data) {
        match entry {
            Ok(entry) => {
                let mut again = vec![0; entry.encoded_len()];
                let len = entry.encode(&mut again).expect("what was read has lengths that fit");
                let (_, head) = again.split_at(12);
                // Total size, magic and CRC are not read.
                assert_eq!(head, &data[position + 12..position + len]);
                position += len;
            }
            Err(error) => assert!((position..=data.len()).contains(&error.position), "{error}"),
        }
    }
}

fn check(message: &Message<'_>) {
    let mut again = vec![0; message.encoded_len()];
    let len = message.encode(&mut again).expect("what was read has lengths that fit");
    assert_eq!(Message::decode(&again[..len]), Ok((*message, len)));
    let id = message.offset_message_id();
    assert_eq!(id.to_string().parse(), Ok(id));
    if let Some(inner) = message.inner(message.body) {
        for (index, inner) in inner.enumerate() {
            let Ok(inner) = inner else { break };
            assert_eq!(inner.queue_offset, message.queue_offset.wrapping_add(index as i64));
        }
    }
}
