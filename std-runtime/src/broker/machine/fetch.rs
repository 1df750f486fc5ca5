//! Messages that are needed for something: from memory at once, from disk a little later.

use std::collections::HashMap;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;

use turbopump_core::time::Now;

use super::Broker;
use super::delays::Delayed;
use super::log::Range;
use super::pull::Found;
use super::query::Query;
use super::relay::Direct;
use super::retries::SentBack;
use super::sessions::Request;
use super::transactions::HalfRead;

/// Something that is to be read from disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// To be given back.
    pub id: u64,
    /// What is to be read, in this order.
    pub ranges: Vec<Range>,
}

/// What goes on once the messages are there.
#[derive(Debug)]
pub(super) enum After {
    Pull(Found),
    Delayed(Delayed),
    Direct(Direct),
    SendBack(SentBack),
    Half(HalfRead),
    View(Request),
    Query(Query),
}

#[derive(Debug, Default)]
pub(super) struct Reads {
    next: u64,
    queue: VecDeque<Read>,
    after: HashMap<u64, After>,
}

impl Reads {
    pub(super) fn poll(&mut self) -> Option<Read> {
        self.queue.pop_front()
    }

    pub(super) fn has_next(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Reads that are not answered.
    pub(super) fn len(&self) -> usize {
        self.after.len()
    }
}

impl Broker {
    /// Gets the messages in `ranges`, and goes on with them.
    pub(super) fn fetch(&mut self, now: Now, ranges: &[Range], after: After) {
        let mut slices = core::mem::take(&mut self.slices);
        slices.clear();
        if ranges.iter().all(|range| self.log.read(*range, &mut slices)) {
            self.go_on(now, after, Some(&mut slices));
        } else if self.log.has_disk() {
            let id = self.reads.next;
            self.reads.next += 1;
            self.reads.queue.push_back(Read { id, ranges: ranges.to_vec() });
            self.reads.after.insert(id, after);
        } else {
            self.go_on(now, after, None);
        }
        slices.clear();
        self.slices = slices;
    }

    /// What was read from disk, one slice or more for each range; `None` where that failed.
    pub fn handle_read(&mut self, now: Now, id: u64, slices: Option<Vec<Bytes>>) {
        if slices.is_none() {
            self.counts.read_failures += 1;
        }
        if let Some(after) = self.reads.after.remove(&id) {
            let mut slices = slices;
            self.go_on(now, after, slices.as_mut());
            self.settle(now);
        }
    }

    fn go_on(&mut self, now: Now, after: After, slices: Option<&mut Vec<Bytes>>) {
        match after {
            After::Pull(found) => self.deliver(found, slices),
            After::SendBack(sent_back) => self.send_back(now, sent_back, slices),
            After::Half(half) => self.half_read(now, half, slices),
            After::View(request) => self.answer_view(request, slices),
            After::Query(query) => self.answer_query(&query, slices),
            After::Direct(direct) => self.consume_directly(now, direct, slices),
            After::Delayed(delayed) => self.release_delayed(now, delayed, slices),
        }
    }
}
