//! Messages that are needed for something: from memory at once, from disk a little later.

use std::collections::HashMap;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;

use turbopump_core::time::Now;

use super::Broker;
use super::SessionId;
use super::delays::Delayed;
use super::log::Range;
use super::pull::Found;
use super::query::Query;
use super::recall::Recall;
use super::relay::Direct;
use super::retries::SentBack;
use super::sessions::Request;
use super::timed::Timely;
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
    Timed(Timely),
    Recall(Recall),
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
    after: HashMap<u64, Waiting>,
}

/// What waits for a read.
#[derive(Debug)]
struct Waiting {
    after: After,
    /// Who gets an answer of so many bytes, more or less.
    owed: Option<(SessionId, usize)>,
}

impl After {
    /// Whose request waits for it.
    const fn session(&self) -> Option<SessionId> {
        match self {
            Self::Pull(found) => Some(found.request.session),
            Self::View(request) => Some(request.session),
            Self::Query(query) => Some(query.request.session),
            Self::Recall(recall) => Some(recall.request.session),
            Self::Delayed(_)
            | Self::Timed(_)
            | Self::Direct(_)
            | Self::SendBack(_)
            | Self::Half(_) => None,
        }
    }
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
            let bytes = ranges.iter().map(|range| range.size_bytes as usize).sum();
            let owed = after.session().map(|session| (session, bytes));
            if let Some(session) = owed.and_then(|(id, _)| self.sessions.get_mut(id)) {
                session.owed_bytes += bytes;
            }
            self.reads.after.insert(id, Waiting { after, owed });
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
        if let Some(Waiting { after, owed }) = self.reads.after.remove(&id) {
            if let Some((id, bytes)) = owed
                && let Some(session) = self.sessions.get_mut(id)
            {
                session.owed_bytes -= bytes;
            }
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
            After::Timed(timely) => self.release_timed(now, timely, slices),
            After::Recall(recall) => self.recall_read(now, &recall, slices),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use turbopump_core::rocketmq::wire::frame::encode;
    use turbopump_core::rocketmq::wire::header::{Header, Serialization, request_code};

    use crate::broker::BrokerConfig;
    use crate::broker::machine::kit::Kit;

    /// Pulls of a whole queue, one behind the other.
    fn pulls(count: i32) -> Vec<u8> {
        let fields = [
            ("consumerGroup", "g"),
            ("topic", "Orders"),
            ("queueId", "0"),
            ("queueOffset", "0"),
            ("maxMsgNums", "32"),
            ("sysFlag", "4"),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", "0"),
            ("subVersion", "0"),
            ("subscription", "*"),
        ];
        let mut frames = vec![0; 64 * 1024];
        let mut end = 0;
        for opaque in 0..count {
            let header = Header::request(request_code::PULL_MESSAGE, opaque);
            let room = &mut frames[end..];
            end += encode(&header, Serialization::Json, &fields, &[], room).unwrap();
        }
        frames.truncate(end);
        frames
    }

    /// Somebody asks for everything a hundred times at once, and reads what comes piece by piece.
    #[test]
    fn nobody_is_owed_more_than_may_be_unread() {
        for is_cold in [false, true] {
            let mut config = BrokerConfig::default();
            config.limits.unread_bytes_max = 50_000;
            let mut kit = Kit::with(config, true);
            let client = kit.connect();
            for _ in 0..30 {
                kit.produce(client, "Orders", 0, &"x".repeat(1_000), &[]);
            }
            if is_cold {
                kit.restart();
            }
            let client = kit.connect();
            let (frames, mut start) = (pulls(100), 0);
            let (mut turns, mut answers) = (0, 0);
            while start < frames.len() {
                start += kit.broker.handle_bytes(kit.now, client, &frames[start..]).unwrap();
                assert!(!kit.broker.takes_bytes(client), "two answers are more than may be");
                let session = kit.broker.sessions.get(client).unwrap();
                // One answer has 30 messages of some more than 1,000 bytes.
                assert!(session.unread_bytes() < 50_000 + 40_000);
                assert_eq!(session.owed_bytes > 0, is_cold);
                kit.serve_store();
                assert_eq!(kit.broker.sessions.get(client).unwrap().owed_bytes, 0);
                let got = kit.take(client);
                assert!(got.iter().all(|got| got.bodies().len() == 30));
                answers += got.len();
                turns += 1;
            }
            assert_eq!((turns, answers), (50, 100));
        }
    }
    #[test]
    fn what_goes_away_while_it_is_read_is_said_to_be_gone() {
        let mut kit = Kit::with(BrokerConfig::default(), true);
        let client = kit.connect();
        for _ in 0..10 {
            kit.produce(client, "Orders", 0, "x", &[]);
        }
        kit.restart();
        let client = kit.connect();
        kit.broker.handle_bytes(kit.now, client, &pulls(2)).unwrap();
        let reads = [(); 2].map(|()| kit.broker.poll_read().unwrap());
        kit.broker.handle_read(kit.now, reads[0].id, None);
        assert_eq!(kit.take(client)[0].code, 1, "nobody knows why");
        let topic = kit.broker.topics.by_name("Orders").unwrap();
        let fourth = topic.queues[0].get(4).unwrap().position;
        kit.broker.handle_trimmed(fourth);
        kit.broker.handle_read(kit.now, reads[1].id, None);
        let got = kit.take(client).remove(0);
        assert_eq!((got.code, got.number("nextBeginOffset")), (21, 4));
    }
}
