//! Answers, and requests of the broker's own: how they come into the outbox of a connection.

use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use turbopump_core::rocketmq::wire::header::{
    Absent, ExtSource, FLAG_ONEWAY, Header, Serialization,
};
use turbopump_core::rocketmq::wire::json::Text;

use super::Broker;
use super::sessions::{Request, SessionId};
use crate::broker::answers::{Wrote, write_head};

pub(super) use crate::broker::answers::{Outcome, Refusal, plain};

impl Broker {
    /// Answers with a code, and a remark that says more.
    pub(super) fn answer(&mut self, request: Request, code: i32, remark: Option<&str>) {
        self.answer_with(request, code, remark, &Absent, &[]);
    }

    pub(super) fn refuse(&mut self, request: Request, refusal: &Refusal) {
        self.answer(request, refusal.code, Some(&refusal.remark));
    }

    /// Answers with fields and a body, which is copied.
    pub(super) fn answer_with(
        &mut self,
        request: Request,
        code: i32,
        remark: Option<&str>,
        ext: &impl ExtSource,
        body: &[u8],
    ) {
        if self.write_answer(request, code, remark, ext, body.len())
            && let Some(session) = self.sessions.get_mut(request.session)
        {
            session.outbox.push(Bytes::copy_from_slice(body));
        }
    }

    /// Answers with fields and a body of slices, which are not copied.
    pub(super) fn answer_slices(
        &mut self,
        request: Request,
        code: i32,
        remark: Option<&str>,
        ext: &impl ExtSource,
        body: &mut Vec<Bytes>,
    ) {
        let body_bytes = body.iter().map(Bytes::len).sum();
        if self.write_answer(request, code, remark, ext, body_bytes)
            && let Some(session) = self.sessions.get_mut(request.session)
        {
            body.drain(..).for_each(|slice| session.outbox.push(slice));
        }
        body.clear();
    }

    /// The head of an answer; false where there is nobody to write a body to.
    fn write_answer(
        &mut self,
        request: Request,
        code: i32,
        remark: Option<&str>,
        ext: &impl ExtSource,
        body_bytes: usize,
    ) -> bool {
        self.counts.answered(code);
        if request.is_oneway {
            return false;
        }
        let header = Header::response(code, request.opaque, remark.map(Text::plain));
        self.write_frame(request.session, &header, request.serialization, ext, body_bytes)
    }

    fn write_frame(
        &mut self,
        id: SessionId,
        header: &Header<'_>,
        serialization: Serialization,
        ext: &impl ExtSource,
        body_bytes: usize,
    ) -> bool {
        match self.sessions.write_head(id, header, serialization, ext, body_bytes) {
            Wrote::Head => true,
            Wrote::Nobody => false,
            Wrote::TooLong => {
                self.counts.unwritable += 1;
                false
            }
        }
    }

    /// An answer that is kept until what it confirms is stored; empty where none is wanted.
    pub(super) fn prepare_answer(
        &mut self,
        request: Request,
        code: i32,
        ext: &impl ExtSource,
    ) -> Bytes {
        if request.is_oneway {
            return Bytes::new();
        }
        let header = Header::response(code, request.opaque, None);
        let out = &mut self.prepared;
        if out.capacity() - out.len() < 512 {
            *out = BytesMut::with_capacity(16 * 1024);
        }
        match write_head(out, &header, request.serialization, ext, 0) {
            Ok(_) => out.split().freeze(),
            Err(_) => Bytes::new(),
        }
    }

    /// As [`prepare_answer`](Self::prepare_answer), with a body, which is copied.
    pub(super) fn prepare_answer_with(
        &mut self,
        request: Request,
        code: i32,
        ext: &impl ExtSource,
        body: &[u8],
    ) -> Bytes {
        if request.is_oneway {
            return Bytes::new();
        }
        let header = Header::response(code, request.opaque, None);
        let mut out = BytesMut::with_capacity(512 + body.len());
        match write_head(&mut out, &header, request.serialization, ext, body.len()) {
            Ok(_) => {
                out.extend_from_slice(body);
                out.freeze()
            }
            Err(_) => Bytes::new(),
        }
    }

    /// An answer that was [prepared](Self::prepare_answer).
    pub(super) fn send_prepared(&mut self, id: SessionId, code: i32, answer: Bytes) {
        self.counts.answered(code);
        if let Some(session) = self.sessions.get_mut(id)
            && !session.is_mute
            && !answer.is_empty()
        {
            session.outbox.push(answer);
            self.sessions.wake(id);
        }
    }

    /// A request of the broker's own; returns its number, `None` where the client is gone. One that
    /// does not read is not asked: what it does not take would grow without end.
    pub(super) fn ask(
        &mut self,
        id: SessionId,
        code: i32,
        is_oneway: bool,
        ext: &impl ExtSource,
        body: &mut Vec<Bytes>,
    ) -> Option<i32> {
        let unread_bytes_max = self.config.limits.unread_bytes_max;
        let session = self.sessions.get_mut(id)?;
        if session.outbox.bytes() > unread_bytes_max {
            body.clear();
            return None;
        }
        let opaque = session.take_opaque();
        let mut header = Header::request(code, opaque);
        if is_oneway {
            header.flag |= FLAG_ONEWAY;
        }
        let body_bytes = body.iter().map(Bytes::len).sum();
        // JSON, because nobody knows whether that client reads the other one.
        if !self.write_frame(id, &header, Serialization::Json, ext, body_bytes) {
            body.clear();
            return None;
        }
        let session = self.sessions.get_mut(id)?;
        body.drain(..).for_each(|slice| session.outbox.push(slice));
        Some(opaque)
    }
}
