//! Which request is handled where.

use turbopump_core::frame::FrameError;
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::{request_code, response_code};
use turbopump_core::time::Now;

use super::Broker;
use super::answer::{Outcome, Refusal};
use super::faults::Fate;
use super::sessions::{Request, SessionId};

const fn request_of(id: SessionId, frame: &Frame<'_>) -> Request {
    Request {
        session: id,
        code: frame.header.code,
        opaque: frame.header.opaque,
        serialization: frame.serialization,
        version: frame.header.version,
        is_oneway: frame.header.is_oneway(),
    }
}

impl Broker {
    /// One whole frame of a connection.
    pub(super) fn handle_frame(
        &mut self,
        now: Now,
        id: SessionId,
        bytes: &[u8],
    ) -> Result<(), FrameError> {
        let Ok(frame) = Frame::decode(bytes) else {
            let reason = "a RocketMQ header in JSON or binary form";
            return Err(FrameError::Malformed { at: 0, reason });
        };
        self.counts.frames += 1;
        let Some(session) = self.sessions.get_mut(id) else {
            return Ok(());
        };
        session.heard = now.at;
        session.version = frame.header.version;
        session.language = frame.header.language;
        if frame.header.is_response() {
            self.handle_response(id, &frame);
            return Ok(());
        }
        let request = request_of(id, &frame);
        if self.sessions.get(id).is_some_and(|session| session.is_mute) {
            return Ok(());
        }
        if let Err(refusal) = self.check_access(&frame) {
            self.refuse(request, &refusal);
            return Ok(());
        }
        self.write_journal(now, request, &frame);
        match self.fate_of(now, request, &frame, bytes) {
            Fate::Do => self.grant(now, request, &frame),
            Fate::DoWithoutAnswer => {
                self.grant(now, Request { is_oneway: true, ..request }, &frame);
            }
            Fate::Refuse(refusal) => self.refuse(request, &refusal),
            Fate::Nothing => {}
        }
        Ok(())
    }

    /// A request that was held back on purpose.
    pub(super) fn handle_held(&mut self, now: Now, id: SessionId, bytes: &[u8]) {
        if let Ok(frame) = Frame::decode(bytes)
            && self.sessions.get(id).is_some()
        {
            self.grant(now, request_of(id, &frame), &frame);
        }
    }

    fn grant(&mut self, now: Now, request: Request, frame: &Frame<'_>) {
        if let Err(refusal) = self.handle_request(now, request, frame) {
            self.refuse(request, &refusal);
        }
    }

    fn handle_request(&mut self, now: Now, request: Request, frame: &Frame<'_>) -> Outcome {
        match request.code {
            request_code::SEND_MESSAGE
            | request_code::SEND_MESSAGE_V2
            | request_code::SEND_BATCH_MESSAGE => self.handle_send(now, request, frame),
            request_code::PULL_MESSAGE | request_code::LITE_PULL_MESSAGE => {
                self.handle_pull(now, request, frame)
            }
            request_code::CONSUMER_SEND_MSG_BACK => self.handle_send_back(now, request, frame),
            request_code::END_TRANSACTION => self.handle_end_transaction(now, request, frame),
            request_code::VIEW_MESSAGE_BY_ID => self.handle_view(now, request, frame),
            request_code::QUERY_MESSAGE => self.handle_query(now, request, frame),
            request_code::HEART_BEAT => self.handle_heartbeat(request, frame),
            request_code::UNREGISTER_CLIENT => self.handle_unregister(request, frame),
            request_code::GET_CONSUMER_LIST_BY_GROUP => self.handle_consumer_list(request, frame),
            request_code::CHECK_CLIENT_CONFIG => self.handle_check_client(request, frame),
            request_code::GET_CONSUMER_CONNECTION_LIST => self.handle_consumers(request, frame),
            request_code::GET_PRODUCER_CONNECTION_LIST => self.handle_producers(request, frame),
            request_code::QUERY_CONSUMER_OFFSET => self.handle_query_offset(request, frame),
            request_code::UPDATE_CONSUMER_OFFSET => self.handle_commit(request, frame),
            request_code::SEARCH_OFFSET_BY_TIMESTAMP => self.handle_search_offset(request, frame),
            request_code::GET_MAX_OFFSET => self.handle_max_offset(request, frame),
            request_code::GET_MIN_OFFSET => self.handle_min_offset(request, frame),
            request_code::GET_EARLIEST_MSG_STORETIME => self.handle_earliest_time(request, frame),
            request_code::INVOKE_BROKER_TO_RESET_OFFSET => self.handle_reset(request, frame),
            request_code::LOCK_BATCH_MQ => self.handle_lock(now, request, frame),
            request_code::UNLOCK_BATCH_MQ => self.handle_unlock(request, frame),
            request_code::GET_CONSUMER_RUNNING_INFO => {
                self.handle_running_info(now, request, frame)
            }
            request_code::CONSUME_MESSAGE_DIRECTLY => {
                self.handle_consume_directly(now, request, frame)
            }
            code => {
                self.counts.requests_unknown += 1;
                let remark = alloc::format!(" request type {code} not supported");
                Err(Refusal::new(response_code::REQUEST_CODE_NOT_SUPPORTED, remark))
            }
        }
    }
}
