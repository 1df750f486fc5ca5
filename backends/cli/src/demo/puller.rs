//! What reads a queue of the broker, from its beginning to its end.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use core::time::Duration;

use turbopump::core::rocketmq::wire::command::{
    Command, PullMessageRequestHeader, PullMessageResponseHeader,
};
use turbopump::core::rocketmq::wire::frame::Frame;
use turbopump::core::rocketmq::wire::header::{request_code, response_code};
use turbopump::core::rocketmq::wire::message::Messages;
use turbopump::core::rocketmq::wire::pull::PullFlags;
use turbopump::runtime::backend::Backend;
use turbopump::runtime::memory::{BufferPool, Chunk};
use turbopump::runtime::rocketmq::BodyCodec;

use super::input::LINE_BYTES_MAX;
use super::lane::GROUP;
use super::message::{MESSAGE_HEAD_BYTES, Message};
use super::uplink::{TIMEOUT, Uplink, UplinkError, succeeded};

/// Bytes of messages that are pulled at once.
pub(crate) const PULL_BYTES: i32 = 200_000;
const PULL_MESSAGES: i32 = 1_024;

/// Reads one queue.
pub(crate) struct Puller<B: Backend> {
    uplink: Arc<Uplink<B>>,
    topic: Arc<str>,
    queue: u16,
    /// Of the next message.
    offset: i64,
    /// The newest that has come: what comes again after a retry is not newer.
    last: Option<u64>,
    /// For bodies that were compressed.
    buffers: BufferPool,
    codec: BodyCodec,
    /// Bodies of the last pull.
    pub(crate) bodies: Vec<Chunk>,
}

impl<B: Backend> Puller<B> {
    pub(crate) fn new(uplink: &Arc<Uplink<B>>, topic: &Arc<str>, queue: u16) -> Self {
        Self {
            uplink: Arc::clone(uplink),
            topic: Arc::clone(topic),
            queue,
            offset: 0,
            last: None,
            buffers: uplink.buffers.clone(),
            codec: BodyCodec::new(),
            bodies: Vec::new(),
        }
    }

    /// Puts the next messages into [`bodies`](Self::bodies), waiting for some for so long; false
    /// where there are none.
    ///
    /// Cancel-safe: what was not returned is pulled again.
    pub(crate) async fn pull(&mut self, wait: Duration) -> Result<bool, UplinkError> {
        let suspend = if wait.is_zero() { 0 } else { PullFlags::SUSPEND };
        let header = PullMessageRequestHeader {
            consumer_group: GROUP.into(),
            topic: (*self.topic).into(),
            queue_id: self.queue.into(),
            queue_offset: self.offset,
            max_msg_nums: PULL_MESSAGES,
            sys_flag: suspend | PullFlags::SUBSCRIPTION | PullFlags::COMMIT_OFFSET,
            // What was pulled before is in other hands.
            commit_offset: self.offset,
            suspend_timeout_millis: wait.as_millis() as i64,
            subscription: Some("*".into()),
            expression_type: Some("TAG".into()),
            max_msg_bytes: Some(PULL_BYTES),
            ..PullMessageRequestHeader::default()
        };
        let code = request_code::PULL_MESSAGE;
        let answer = self.uplink.ask(code, &header, b"", wait + TIMEOUT).await?;
        let nothing = [
            response_code::PULL_NOT_FOUND,
            response_code::PULL_RETRY_IMMEDIATELY,
            response_code::PULL_OFFSET_MOVED,
        ];
        let found = answer.frame()?;
        let next = PullMessageResponseHeader::decode(&found.ext)?.next_begin_offset;
        if nothing.contains(&found.header.code) {
            self.offset = next;
            return Ok(false);
        }
        succeeded(&answer)?;
        self.bodies.clear();
        let chunk = answer.into_lease().freeze();
        let last = self.take(&chunk)?;
        (self.last, self.offset) = (last, next);
        Ok(true)
    }

    /// Finds the bodies in an answer; the newest message's number.
    fn take(&mut self, answer: &Chunk) -> Result<Option<u64>, UplinkError> {
        let body = Frame::decode(answer)?.body;
        let mut last = self.last;
        for message in Messages::new(body) {
            let message = message?;
            let body = if message.sys_flag.compression().is_ok_and(|kind| kind.is_none()) {
                answer.slice_ref(message.body)?
            } else {
                let mut lease = self.buffers.acquire(MESSAGE_HEAD_BYTES + LINE_BYTES_MAX)?;
                let len = self.codec.restore(message.sys_flag, message.body, lease.dirty_mut())?;
                // There is room: it was written there.
                let _ = lease.commit(len);
                lease.freeze()
            };
            // What is no message of ours is for the checker to find.
            let number = Message::parse(&body).ok().map(|message| message.sequence);
            if number.is_some() && number <= last {
                self.uplink.counts.repeated.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            last = number.or(last);
            self.bodies.push(body);
        }
        Ok(last)
    }
}
