//! Requests that are handed on to a client, and its answers that are handed back.
//!
//! Decides who gets an answer, and when it is given up. What is in it, is left to the client.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;

use turbopump_core::rocketmq::wire::command::{
    Command, ConsumeMessageDirectlyResultRequestHeader, GetConsumerRunningInfoRequestHeader,
};
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::{
    EncodeError, ExtFields, ExtSource, FieldVisitor, response_code,
};
use turbopump_core::rocketmq::wire::identity::OffsetMessageId;
use turbopump_core::rocketmq::wire::json::Text;
use turbopump_core::time::Now;

use super::Broker;
use super::answer::{Outcome, Refusal, plain};
use super::delays::join;
use super::fetch::After;
use super::sessions::{Relay, Request, Session, SessionId};
use super::timers::Due;

/// How long a client may take, in microseconds: less than `mqadmin` waits, so that it is told why.
const RELAY_US: u64 = 10_000_000;

/// The fields of a request that is handed on as it is.
#[derive(Clone, Debug)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    fn of(ext: ExtFields<'_>) -> Self {
        let fields = ext.into_iter().filter_map(|field| {
            let name = field.name().ok()?.to_string();
            // What was signed for us means nothing to others.
            let is_ours = matches!(&*name, "Signature" | "AccessKey" | "SecurityToken");
            let value = field.value().ok()??.to_string();
            (!is_ours).then_some((name, value))
        });
        Self(fields.collect())
    }
}

impl ExtSource for Fields {
    fn visit(&self, visitor: &mut impl FieldVisitor) -> Result<(), EncodeError> {
        let mut fields = self.0.iter();
        fields.try_for_each(|(name, value)| visitor.text(Text::plain(name), Text::plain(value)))
    }
}

/// A message that a client is to consume at once.
#[derive(Debug)]
pub(super) struct Direct {
    request: Request,
    client: SessionId,
    fields: Fields,
}

impl Broker {
    /// Request 307.
    pub(super) fn handle_running_info(
        &mut self,
        now: Now,
        request: Request,
        frame: &Frame<'_>,
    ) -> Outcome {
        let header = GetConsumerRunningInfoRequestHeader::decode(&frame.ext)?;
        let client = self.member(&plain(header.consumer_group), &plain(header.client_id))?;
        self.hand_on(now, request, client, &Fields::of(frame.ext), &mut Vec::new())
    }

    /// Request 309.
    pub(super) fn handle_consume_directly(
        &mut self,
        now: Now,
        request: Request,
        frame: &Frame<'_>,
    ) -> Outcome {
        let header = ConsumeMessageDirectlyResultRequestHeader::decode(&frame.ext)?;
        let client_id = header.client_id.map(plain).unwrap_or_default();
        let client = self.member(&plain(header.consumer_group), &client_id)?;
        let id = header.msg_id.map(plain).unwrap_or_default();
        let id: OffsetMessageId = id.parse().map_err(|error| {
            let remark = alloc::format!("the message id {id:?}: {error}");
            Refusal::new(response_code::SYSTEM_ERROR, remark)
        })?;
        let range = self.message_at(id.physical_offset)?;
        let direct = Direct { request, client, fields: Fields::of(frame.ext) };
        self.fetch(now, &[range], After::Direct(direct));
        Ok(())
    }

    /// The message was read: off to the client.
    pub(super) fn consume_directly(
        &mut self,
        now: Now,
        direct: Direct,
        slices: Option<&mut Vec<Bytes>>,
    ) {
        let Direct { request, client, fields } = direct;
        let handed = match slices {
            Some(slices) => {
                let mut body = alloc::vec![join(slices)];
                self.hand_on(now, request, client, &fields, &mut body)
            }
            None => Err(Refusal::new(response_code::SYSTEM_ERROR, "the message can't be read")),
        };
        if let Err(refusal) = handed {
            self.refuse(request, &refusal);
        }
    }

    fn member(&self, group: &str, client_id: &str) -> Result<SessionId, Refusal> {
        let members = self.groups.get(group).map_or(&[][..], |group| &group.members);
        let member = members.iter().find(|member| *member.client_id == *client_id);
        member.map(|member| member.session).ok_or_else(|| {
            let remark = alloc::format!("The Consumer <{group}> <{client_id}> not online");
            Refusal::new(response_code::SYSTEM_ERROR, remark)
        })
    }

    fn hand_on(
        &mut self,
        now: Now,
        request: Request,
        client: SessionId,
        fields: &Fields,
        body: &mut Vec<Bytes>,
    ) -> Outcome {
        let failed = |remark| Refusal::new(response_code::SYSTEM_ERROR, remark);
        if self.sessions.get(client).is_some_and(|session| !session.may_relay()) {
            return Err(failed("too many requests wait for this client"));
        }
        let opaque = self.ask(client, request.code, false, fields, body);
        let opaque = opaque.ok_or_else(|| failed("the client is gone, or does not read"))?;
        let until = now.at.plus_us(RELAY_US);
        if let Some(session) = self.sessions.get_mut(client) {
            session.relays.insert(opaque, Relay { request, until });
            self.timers.add(until, Due::Relay(client, opaque));
        }
        Ok(())
    }

    /// The answer to a request of ours: handed back to whoever has asked.
    pub(super) fn handle_response(&mut self, id: SessionId, frame: &Frame<'_>) {
        let session = self.sessions.get_mut(id);
        let relay = session.and_then(|session| session.relays.remove(&frame.header.opaque));
        // Others are answers to what needed none.
        if let Some(Relay { request, until }) = relay {
            self.timers.remove(until, Due::Relay(id, frame.header.opaque));
            let remark = frame.header.remark.map(plain);
            let ext = Fields::of(frame.ext);
            self.answer_with(request, frame.header.code, remark.as_deref(), &ext, frame.body);
        }
    }

    /// A client has not answered in time.
    pub(super) fn end_relay(&mut self, id: SessionId, opaque: i32) {
        let session = self.sessions.get_mut(id);
        if let Some(relay) = session.and_then(|session| session.relays.remove(&opaque)) {
            let remark = "the client did not answer in time";
            self.answer(relay.request, response_code::CONSUME_MSG_TIMEOUT, Some(remark));
        }
    }

    /// A client is gone, and will not answer.
    pub(super) fn end_relays(&mut self, id: SessionId, session: Session) {
        for (opaque, Relay { request, until }) in session.relays {
            self.timers.remove(until, Due::Relay(id, opaque));
            self.answer(request, response_code::SYSTEM_ERROR, Some("the client is gone"));
        }
    }
}
