//! Finding messages: by where they are, and by their keys.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use turbopump_core::rocketmq::wire::command::{
    Command, QueryMessageRequestHeader, QueryMessageResponseHeader, ViewMessageRequestHeader,
};
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::{Absent, response_code};
use turbopump_core::rocketmq::wire::identity::index_key_hash;
use turbopump_core::rocketmq::wire::message::Message;
use turbopump_core::time::Now;

use super::Broker;
use super::answer::{Outcome, Refusal, plain};
use super::delays::join;
use super::fetch::After;
use super::log::Range;
use super::sessions::Request;

/// Messages that are looked at for one query.
const LOOKED_AT_MAX: usize = 256;
/// Messages in one answer.
const FOUND_MAX: usize = 64;

/// A query whose candidates are read.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) request: Request,
    topic: String,
    key: String,
    /// The key is the one that the producer gave the message.
    is_unique: bool,
    messages_max: usize,
    begin_ms: i64,
    end_ms: i64,
}

impl Broker {
    /// The message that begins at this position.
    pub(super) fn message_at(&self, physical_offset: i64) -> Result<Range, Refusal> {
        let position = u64::try_from(physical_offset).unwrap_or(u64::MAX);
        let queues = self.topics.iter().flat_map(|(_, topic)| &topic.queues);
        let range = queues.filter_map(|queue| queue.at_position(position)).next();
        range.ok_or_else(|| {
            let remark = alloc::format!("there is no message at offset {physical_offset}");
            Refusal::new(response_code::SYSTEM_ERROR, remark)
        })
    }

    /// Request 33.
    pub(super) fn handle_view(&mut self, now: Now, request: Request, frame: &Frame<'_>) -> Outcome {
        let header = ViewMessageRequestHeader::decode(&frame.ext)?;
        let range = self.message_at(header.offset)?;
        self.fetch(now, &[range], After::View(request));
        Ok(())
    }

    pub(super) fn answer_view(&mut self, request: Request, slices: Option<&mut Vec<Bytes>>) {
        match slices {
            Some(slices) => {
                self.answer_slices(request, response_code::SUCCESS, None, &Absent, slices);
            }
            None => {
                let remark = "the message can't be read";
                self.answer(request, response_code::SYSTEM_ERROR, Some(remark));
            }
        }
    }

    /// Request 12.
    pub(super) fn handle_query(
        &mut self,
        now: Now,
        request: Request,
        frame: &Frame<'_>,
    ) -> Outcome {
        let header = QueryMessageRequestHeader::decode(&frame.ext)?;
        let (topic, key) = (plain(header.topic), plain(header.key));
        let is_unique = frame.ext.get("_UNIQUE_KEY_QUERY")?.is_some_and(|value| value == "true");
        let hash = index_key_hash(&topic, &key);
        let mut ranges: Vec<Range> = self.keys.find(hash).take(LOOKED_AT_MAX).collect();
        // A message whose unique key is one of its keys is there twice.
        ranges.dedup();
        let asked = usize::try_from(header.max_num).unwrap_or(1);
        let query = Query {
            request,
            topic: topic.into_owned(),
            key: key.into_owned(),
            is_unique,
            messages_max: if is_unique { 32 } else { asked.clamp(1, FOUND_MAX) },
            begin_ms: header.begin_timestamp,
            end_ms: header.end_timestamp,
        };
        self.fetch(now, &ranges, After::Query(query));
        Ok(())
    }

    /// The candidates were read: those that have the key are the answer.
    pub(super) fn answer_query(&mut self, query: &Query, slices: Option<&mut Vec<Bytes>>) {
        let bytes = slices.map(join).unwrap_or_default();
        let mut found = Vec::new();
        let (mut rest, mut last) = (bytes.clone(), (0, 0));
        while let Ok((message, len)) = Message::decode(&rest) {
            if query.takes(&message) {
                last = last.max((message.store_timestamp_ms, message.physical_offset));
                found.push(rest.slice(..len));
            }
            if found.len() == query.messages_max {
                break;
            }
            rest = rest.slice(len..);
        }
        let request = query.request;
        if found.is_empty() {
            let remark = "can not find message, maybe time range not correct";
            self.answer(request, response_code::QUERY_NOT_FOUND, Some(remark));
            return;
        }
        let header = QueryMessageResponseHeader {
            index_last_update_timestamp: last.0,
            index_last_update_phyoffset: last.1,
        };
        self.answer_slices(request, response_code::SUCCESS, None, &header, &mut found);
    }
}

impl Query {
    fn takes(&self, message: &Message<'_>) -> bool {
        let Ok(properties) = message.properties() else {
            return false;
        };
        let has_key = match self.is_unique {
            true => properties.unique_key() == Some(&*self.key),
            false => {
                properties.index_keys().chain(properties.unique_key()).any(|key| key == self.key)
            }
        };
        let stored_ms = message.store_timestamp_ms;
        has_key && message.topic == self.topic && (self.begin_ms..=self.end_ms).contains(&stored_ms)
    }
}

#[cfg(test)]
mod tests;
