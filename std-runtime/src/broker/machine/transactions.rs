//! Messages that wait for the end of their transaction.
//!
//! A half message is stored in a topic of its own, where nobody sees it. Its producer commits it,
//! and a copy goes to where it belongs; or rolls it back; or is asked what became of it, until that
//! is given up. What has ended is written into the operation topic, so that a broker that is
//! started again knows it.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use turbopump_core::rocketmq::wire::command::{
    CheckTransactionStateRequestHeader, Command, EndTransactionRequestHeader,
};
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::{request_code, response_code};
use turbopump_core::rocketmq::wire::json::Text;
use turbopump_core::rocketmq::wire::message::{Message, SysFlag, Transaction};
use turbopump_core::rocketmq::wire::properties::{Properties, keys};
use turbopump_core::time::Now;

use super::Broker;
use super::answer::{Outcome, Refusal, plain};
use super::append::{Draft, Placed, unavailable};
use super::delays::join;
use super::fetch::After;
use super::log::Range;
use super::send::{put_property, without};
use super::sessions::Request;
use super::timers::Due;
use super::topics::{GIVEN_UP_TOPIC, HALF_TOPIC, OPERATION_TOPIC, QueueId};

/// Transactions that are open at one time.
const OPEN_MAX: usize = 1_000_000;
/// The tag of operations.
const ENDED_TAG: &str = "d";

/// A half message whose transaction has not ended.
#[derive(Clone, Copy, Debug)]
struct Open {
    range: Range,
    since_ms: u64,
    checks: u32,
    /// It is being read for its end or for a check.
    is_busy: bool,
}

/// Open transactions, by the offset of their half message in its queue.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    open: BTreeMap<u64, Open>,
    is_timed: bool,
}

impl Transactions {
    /// Forgets half messages that are gone.
    pub(super) fn forget_before(&mut self, position: u64) {
        // Their positions are in the order of their offsets.
        while let Some(entry) = self.open.first_entry()
            && entry.get().range.position < position
        {
            entry.remove();
        }
    }

    /// Forgets half messages that begin from this position on, before that one.
    pub(super) fn lose(&mut self, position: u64, end: u64) {
        self.open.retain(|_, open| !(position..end).contains(&open.range.position));
    }

    /// Forgets half messages that could not be stored.
    pub(super) fn forget_from(&mut self, position: u64) {
        while let Some(entry) = self.open.last_entry()
            && entry.get().range.position >= position
        {
            entry.remove();
        }
    }
}

/// What is to be done with a half message once it is read.
#[derive(Clone, Debug)]
pub(super) struct HalfRead {
    offset: u64,
    aim: Aim,
}

#[derive(Clone, Debug)]
enum Aim {
    Commit { request: Request, group: String },
    RollBack { request: Request, group: String },
    Check,
    GiveUp,
}

impl Broker {
    /// Where a half message is stored; its properties say where it really goes.
    pub(super) fn hold_half(
        &mut self,
        target: QueueId,
        properties: &mut Vec<u8>,
    ) -> Result<QueueId, Refusal> {
        if self.transactions.open.len() >= OPEN_MAX {
            let remark = alloc::format!("there are {OPEN_MAX} open transactions already");
            return Err(Refusal::new(response_code::SYSTEM_BUSY, remark));
        }
        self.name_target(target, properties);
        let text = Properties::from_bytes(properties).unwrap_or_default();
        let key = text.unique_key().map(String::from);
        // Transactions are not delayed.
        *properties = without(text, &[keys::DELAY]);
        if let Some(key) = key {
            put_property(properties, keys::TRANSACTION_ID, &key);
        }
        let topic = self.topics.find(HALF_TOPIC).ok_or_else(|| unavailable("no half topic"))?;
        Ok(QueueId { topic, queue: 0 })
    }

    pub(super) fn half_appended(&mut self, now: Now, placed: Placed) {
        let Placed { range, queue_offset } = placed;
        let open = Open { range, since_ms: now.unix_ms, checks: 0, is_busy: false };
        self.transactions.open.insert(queue_offset, open);
        self.time_transactions(now);
    }

    fn time_transactions(&mut self, now: Now) {
        if self.transactions.open.is_empty()
            || core::mem::replace(&mut self.transactions.is_timed, true)
        {
            return;
        }
        let interval = self.config.transactions.check_interval.as_micros();
        let interval_us = u64::try_from(interval).unwrap_or(u64::MAX).max(1);
        self.timers.add(now.at.plus_us(interval_us), Due::Transactions);
    }

    /// Request 37.
    pub(super) fn handle_end_transaction(
        &mut self,
        now: Now,
        request: Request,
        frame: &Frame<'_>,
    ) -> Outcome {
        let header = EndTransactionRequestHeader::decode(&frame.ext)?;
        let group = plain(header.producer_group).into_owned();
        let aim = match SysFlag(header.commit_or_rollback).transaction() {
            Transaction::Commit => Aim::Commit { request, group },
            Transaction::Rollback => Aim::RollBack { request, group },
            // It does not know yet: it will be asked.
            _ => return Ok(()),
        };
        let mismatch = |what: &str| {
            let remark = alloc::format!("the transaction's {what} is not that of a half message");
            Refusal::new(response_code::SYSTEM_ERROR, remark)
        };
        let offset =
            u64::try_from(header.tran_state_table_offset).map_err(|_| mismatch("table offset"))?;
        let open = self.transactions.open.get_mut(&offset);
        let open = open.filter(|open| !open.is_busy).ok_or_else(|| mismatch("table offset"))?;
        if u64::try_from(header.commit_log_offset) != Ok(open.range.position) {
            return Err(mismatch("commit log offset"));
        }
        open.is_busy = true;
        let range = open.range;
        self.fetch(now, &[range], After::Half(HalfRead { offset, aim }));
        Ok(())
    }

    /// A half message was read, or could not be.
    pub(super) fn half_read(&mut self, now: Now, half: HalfRead, slices: Option<&mut Vec<Bytes>>) {
        let HalfRead { offset, aim } = half;
        if let Some(open) = self.transactions.open.get_mut(&offset) {
            open.is_busy = false;
        }
        let bytes = slices.map(join).unwrap_or_default();
        let Ok((message, _)) = Message::decode(&bytes) else {
            if let Aim::Commit { request, .. } | Aim::RollBack { request, .. } = aim {
                self.answer(request, response_code::SYSTEM_ERROR, Some("the half message is gone"));
            }
            return;
        };
        match aim {
            Aim::Commit { request, group } => {
                self.end_half(now, request, &group, offset, &message, true);
            }
            Aim::RollBack { request, group } => {
                self.end_half(now, request, &group, offset, &message, false);
            }
            Aim::Check => self.check(now, offset, &message),
            Aim::GiveUp => self.give_up(now, offset, &message),
        }
    }

    fn end_half(
        &mut self,
        now: Now,
        request: Request,
        group: &str,
        offset: u64,
        message: &Message<'_>,
        is_commit: bool,
    ) {
        let properties = message.properties().unwrap_or_default();
        if properties.get(keys::PRODUCER_GROUP) != Some(group) {
            let remark = "the producer group is not that of the half message";
            self.answer(request, response_code::SYSTEM_ERROR, Some(remark));
            return;
        }
        if is_commit && !self.deliver_half(now, message) {
            let remark = "the topic of the half message is gone";
            self.answer(request, response_code::TOPIC_NOT_EXIST, Some(remark));
            return;
        }
        match is_commit {
            true => self.counts.transactions_committed += 1,
            false => self.counts.transactions_rolled_back += 1,
        }
        self.write_operation(now, offset);
        self.answer(request, response_code::SUCCESS, None);
    }

    /// Puts a committed message where it belongs.
    fn deliver_half(&mut self, now: Now, message: &Message<'_>) -> bool {
        let Some(target) = self.real_target(message) else {
            return false;
        };
        let known = message.properties().unwrap_or_default();
        let names = [keys::TRAN_MSG, keys::REAL_TOPIC, keys::REAL_QUEUE_ID];
        let properties = without(known, &names);
        let draft = Draft {
            sys_flag: message.sys_flag.with_transaction(Transaction::Commit),
            prepared_transaction_offset: message.physical_offset,
            properties: &properties,
            ..Draft::of(message)
        };
        match self.append(now, target, &draft) {
            Some(placed) => {
                self.confirm(target, placed, None);
                true
            }
            None => false,
        }
    }

    /// Writes down that a transaction has ended.
    fn write_operation(&mut self, now: Now, offset: u64) {
        self.transactions.open.remove(&offset);
        let Some(topic) = self.topics.find(OPERATION_TOPIC) else {
            return;
        };
        let mut properties = Vec::new();
        put_property(&mut properties, keys::TAGS, ENDED_TAG);
        let body = alloc::format!("{offset},");
        let draft = Draft {
            flag: 0,
            sys_flag: SysFlag::default(),
            born_ms: now.unix_ms as i64,
            born_host: self.host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: body.as_bytes(),
            properties: &properties,
        };
        let queue = QueueId { topic, queue: 0 };
        if let Some(placed) = self.append(now, queue, &draft) {
            self.confirm(queue, placed, None);
        }
    }

    /// Asks for what has been open for too long.
    pub(super) fn check_transactions(&mut self, now: Now) {
        let timeout = self.config.transactions.timeout.as_millis();
        let timeout_ms = u64::try_from(timeout).unwrap_or(u64::MAX);
        let checks_max = self.config.transactions.checks_max;
        let mut due = Vec::new();
        for (offset, open) in &mut self.transactions.open {
            if open.is_busy || now.unix_ms.saturating_sub(open.since_ms) < timeout_ms {
                continue;
            }
            open.is_busy = true;
            let aim = if open.checks < checks_max { Aim::Check } else { Aim::GiveUp };
            due.push((open.range, HalfRead { offset: *offset, aim }));
        }
        for (range, half) in due {
            self.fetch(now, &[range], After::Half(half));
        }
        self.transactions.is_timed = false;
        self.time_transactions(now);
    }

    /// Asks a producer of the group what became of it.
    fn check(&mut self, now: Now, offset: u64, message: &Message<'_>) {
        let known = message.properties().unwrap_or_default();
        let Some(group) = known.get(keys::PRODUCER_GROUP) else {
            return;
        };
        if let Ok(Some(seconds)) = known.number(keys::CHECK_IMMUNITY_TIME_IN_SECONDS)
            && now.unix_ms < immune_until_ms(message, seconds)
        {
            return;
        }
        let Some(session) = self.producer_session(group) else {
            // Nobody is there to be asked: that is not its fault.
            return;
        };
        let Some(target) = self.real_target(message) else {
            return;
        };
        let Some(open) = self.transactions.open.get_mut(&offset) else {
            return;
        };
        open.checks += 1;
        self.counts.transactions_checked += 1;
        let name = self.topics.get(target.topic).map(|topic| topic.name.clone());
        let real = Message {
            topic: name.as_deref().unwrap_or(message.topic),
            queue_id: i32::try_from(target.queue).unwrap_or(0),
            ..*message
        };
        let mut body = alloc::vec![0; real.encoded_len()];
        let Ok(_) = real.encode(&mut body) else {
            return;
        };
        let offset_id = alloc::format!("{}", message.offset_message_id());
        let header = CheckTransactionStateRequestHeader {
            topic: Some(Text::plain(HALF_TOPIC)),
            tran_state_table_offset: offset as i64,
            commit_log_offset: message.physical_offset,
            msg_id: known.unique_key().map(Text::plain),
            transaction_id: known.get(keys::TRANSACTION_ID).map(Text::plain),
            offset_msg_id: Some(Text::plain(&offset_id)),
            ..Default::default()
        };
        let code = request_code::CHECK_TRANSACTION_STATE;
        self.ask(session, code, true, &header, &mut alloc::vec![Bytes::from(body)]);
    }

    /// Nobody knows what became of it: it is put aside.
    fn give_up(&mut self, now: Now, offset: u64, message: &Message<'_>) {
        if let Some(topic) = self.topics.find(GIVEN_UP_TOPIC) {
            let target = QueueId { topic, queue: 0 };
            if let Some(placed) = self.append(now, target, &Draft::of(message)) {
                self.confirm(target, placed, None);
            }
        }
        self.write_operation(now, offset);
    }

    /// Takes a half message that was found on disk.
    pub(super) fn recover_half(&mut self, offset: u64, since_ms: u64, range: Range) {
        let open = Open { range, since_ms, checks: 0, is_busy: false };
        self.transactions.open.insert(offset, open);
    }

    /// Takes a message of the operation topic that was found on disk.
    pub(super) fn recover_operation(&mut self, body: &[u8]) {
        let body = core::str::from_utf8(body).unwrap_or_default();
        for offset in body.split(',').filter_map(|offset| offset.parse().ok()) {
            self.transactions.open.remove(&offset);
        }
    }

    /// Looks after what was open before.
    pub(super) fn resume_transactions(&mut self, now: Now) {
        self.time_transactions(now);
    }
}

/// Until when nobody is to be asked for a message.
fn immune_until_ms(message: &Message<'_>, seconds: i64) -> u64 {
    let stored_ms = u64::try_from(message.store_timestamp_ms).unwrap_or(0);
    stored_ms.saturating_add(u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000))
}

#[cfg(test)]
mod tests;
