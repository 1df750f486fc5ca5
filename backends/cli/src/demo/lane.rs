//! What the batch senders do with batches: make RocketMQ's batches of them and send those.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use turbopump::core::batch::{Batch, Outcome};
use turbopump::core::rocketmq::wire::command::SendMessageRequestHeaderV2;
use turbopump::core::rocketmq::wire::header::request_code;
use turbopump::core::rocketmq::wire::message::{BatchEntry, Compression, SysFlag};
use turbopump::runtime::backend::Backend;
use turbopump::runtime::batch::BatchHandler;
use turbopump::runtime::memory::Lease;
use turbopump::runtime::rocketmq::BodyCodec;

use super::uplink::{TIMEOUT, Uplink, UplinkError, succeeded};

/// Bodies from this length on are compressed, as other clients do it by default; they are sent one
/// by one, because a batch has one flag for all of its messages.
pub(crate) const COMPRESS_FROM_BYTES: usize = 4_096;
pub(crate) const GROUP: &str = "turbopump-demo";

/// Sends the batches of one lane, one after the other, to the queue of its number.
pub(crate) struct Lane<B: Backend> {
    uplink: Arc<Uplink<B>>,
    topic: Arc<str>,
    number: u16,
    codec: Mutex<BodyCodec>,
}

/// One request: the next messages of a batch.
struct Run {
    messages: usize,
    /// Of a body that was long enough to be compressed.
    plain_bytes: u64,
    code: i32,
    flag: SysFlag,
    body: Lease,
}

impl<B: Backend> Lane<B> {
    pub(crate) fn new(uplink: &Arc<Uplink<B>>, topic: &Arc<str>, number: u16) -> Self {
        let (uplink, topic) = (Arc::clone(uplink), Arc::clone(topic));
        Self { uplink, topic, number, codec: Mutex::new(BodyCodec::new()) }
    }

    /// What is sent next of a batch whose first `done` messages are sent.
    fn next_run(&self, batch: &Batch<'static, Lease>, done: usize) -> Result<Run, UplinkError> {
        let rest = || batch.iter().skip(done);
        if let Some(large) = rest().next().filter(|message| is_large(message)) {
            return self.single(large);
        }
        let entry =
            |message: &Lease| BatchEntry { flag: 0, body: message, properties: b"" }.encoded_len();
        let run = || rest().take_while(|message| !is_large(message));
        let mut body = self.uplink.buffers.acquire(run().map(entry).sum())?;
        let (mut messages, mut end) = (0, 0);
        for message in run() {
            let entry = BatchEntry { flag: 0, body: message, properties: b"" };
            end += entry.encode(body.dirty_mut().get_mut(end..).unwrap_or_default())?;
            messages += 1;
        }
        // There is room: all of it was written.
        let _ = body.commit(end);
        let (code, flag) = (request_code::SEND_BATCH_MESSAGE, SysFlag::default());
        Ok(Run { messages, plain_bytes: 0, code, flag, body })
    }

    /// A message of its own, compressed where that makes it shorter.
    fn single(&self, message: &Lease) -> Result<Run, UplinkError> {
        let mut body = self.uplink.buffers.acquire(message.len())?;
        let mut codec = self.codec.lock().unwrap_or_else(PoisonError::into_inner);
        let room = body.dirty_mut().get_mut(..message.len()).unwrap_or_default();
        let compressed = codec.compress(Compression::Zlib, message, room);
        drop(codec);
        let flag = match compressed {
            Ok(len) => {
                let _ = body.commit(len);
                SysFlag::default().with_compression(Some(Compression::Zlib))
            }
            Err(_) => {
                let _ = body.extend_from_slice(message);
                SysFlag::default()
            }
        };
        let (code, plain_bytes) = (request_code::SEND_MESSAGE_V2, message.len() as u64);
        Ok(Run { messages: 1, plain_bytes, code, flag, body })
    }

    async fn send(&self, run: Run) -> Result<(), UplinkError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let header = SendMessageRequestHeaderV2 {
            producer_group: GROUP.into(),
            topic: (*self.topic).into(),
            default_topic: "TBW102".into(),
            default_topic_queue_nums: 4,
            queue_id: self.number.into(),
            sys_flag: run.flag.0,
            born_timestamp: now.as_millis() as i64,
            batch: Some(run.code == request_code::SEND_BATCH_MESSAGE),
            ..SendMessageRequestHeaderV2::default()
        };
        let wire_bytes = run.body.len() as u64;
        let answer = self.uplink.ask(run.code, &header, run.body, TIMEOUT).await?;
        succeeded(&answer)?;
        if run.plain_bytes > 0 {
            self.uplink.counts.plain_bytes.fetch_add(run.plain_bytes, Ordering::Relaxed);
            self.uplink.counts.wire_bytes.fetch_add(wire_bytes, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn is_large(message: &Lease) -> bool {
    message.len() >= COMPRESS_FROM_BYTES
}

impl<B: Backend> BatchHandler<Lease> for Lane<B> {
    async fn handle(&self, batch: &mut Batch<'static, Lease>) {
        let mut done = 0;
        while done < batch.len() {
            let sent = match self.next_run(batch, done) {
                Ok(run) => {
                    let messages = run.messages;
                    self.send(run).await.map(|()| messages)
                }
                Err(error) => Err(error),
            };
            let was_down = self.uplink.is_down.swap(sent.is_err(), Ordering::Relaxed);
            match sent {
                Ok(messages) => done += messages,
                Err(error) => {
                    self.uplink.counts.failed_requests.fetch_add(1, Ordering::Relaxed);
                    batch.iter_mut().skip(done).for_each(|mut entry| entry.set(Outcome::Retry));
                    if !was_down {
                        eprintln!(
                            "turbopump: batches are sent again until they are taken: {error}"
                        );
                    }
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use turbopump::core::batch::{Accumulator, BatchConfig, BatchStorage};
    use turbopump::core::pool::{ClassLayout, Layout};
    use turbopump::core::rocketmq::wire::message::BatchEntries;
    use turbopump::core::time::Now;
    use turbopump::runtime::memory::BufferPool;
    use turbopump::runtime::net::{ConnectionPool, PoolSettings};

    use super::*;

    #[test]
    fn large_messages_are_compressed_and_sent_alone_in_their_turn() {
        let backend = turbopump::smol::Backend::new();
        let endpoint = "127.0.0.1:1".parse().unwrap();
        let pool = ConnectionPool::new(backend.clone(), endpoint, PoolSettings::default()).unwrap();
        let layout = [ClassLayout::new(8_192, 16)];
        let buffers = BufferPool::new(&Layout::new(&layout).unwrap());
        let uplink = Uplink::new(backend, pool, buffers.clone());
        let lane = Lane::new(&uplink, &Arc::from("topic"), 0);

        let config = BatchConfig { items_max: 5, ..BatchConfig::default() };
        let mut batcher = Accumulator::new(config, BatchStorage::on_heap(&config), 1).unwrap();
        let mut batch = Batch::on_heap(&config);
        for len in [10, 20, 5_000, 30, 40] {
            let mut message = buffers.acquire(len).unwrap();
            message.extend_from_slice(&vec![len as u8; len]).unwrap();
            batcher.push(Now::default(), message, len as u64).unwrap();
        }
        assert!(batcher.poll_batch(Now::default(), &mut batch).unwrap());
        let mut runs = Vec::new();
        let mut done = 0;
        while done < batch.len() {
            let run = lane.next_run(&batch, done).unwrap();
            done += run.messages;
            runs.push(run);
        }
        let shape: Vec<_> = runs.iter().map(|run| (run.code, run.messages)).collect();
        assert_eq!(shape, [(320, 2), (310, 1), (320, 2)]);
        let lens = |body: &[u8]| -> Vec<usize> {
            BatchEntries::new(body).map(|entry| entry.unwrap().body.len()).collect()
        };
        assert_eq!((lens(&runs[0].body), lens(&runs[2].body)), (vec![10, 20], vec![30, 40]));
        let (run, mut restored) = (&runs[1], vec![0; 8_192]);
        assert!(run.body.len() < 100 && run.plain_bytes == 5_000);
        let len = BodyCodec::new().restore(run.flag, &run.body, &mut restored).unwrap();
        assert_eq!(restored[..len], [5_000_u16 as u8; 5_000]);
    }
}
