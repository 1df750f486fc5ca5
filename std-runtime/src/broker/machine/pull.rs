//! Pulling: which messages a consumer gets, and how long it waits where there are none.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use turbopump_core::rocketmq::wire::body::Expression;
use turbopump_core::rocketmq::wire::command::{
    Command, PullMessageRequestHeader, PullMessageResponseHeader,
};
use turbopump_core::rocketmq::wire::frame::Frame;
use turbopump_core::rocketmq::wire::header::response_code;
use turbopump_core::rocketmq::wire::pull::PullFlags;
use turbopump_core::time::{Instant, Now};

use super::Broker;
use super::answer::{Outcome, Refusal, plain};
use super::fetch::After;
use super::groups::Filter;
use super::log::Range;
use super::queue::Queue;
use super::send::no_topic;
use super::sessions::{Request, SessionId};
use super::timers::Due;
use super::topics::QueueId;

/// Messages in one answer at most, whatever is asked for.
const MESSAGES_MAX: usize = 1_024;
/// Bytes in one answer, unless the client says something else; the last message may go beyond.
const BYTES_DEFAULT: u64 = 256 * 1024;
/// Bytes in one answer at most, whatever is asked for.
const BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Entries that one look passes over, if the filter takes none of them.
const SCAN_MAX: usize = 16_384;
/// Reads from disk at one time; pulls beyond are refused, and tried again by their clients.
const READS_MAX: usize = 4_096;
/// The longest wait, in milliseconds.
const SUSPEND_MS_MAX: i64 = 60_000;

/// A pull, as it is tried again and again.
#[derive(Clone, Debug)]
pub(super) struct Pull {
    request: Request,
    queue: QueueId,
    offset: u64,
    filter: Filter,
    messages_max: usize,
    bytes_max: u64,
}

/// What a look into the queue has found; the messages are read next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) request: Request,
    queue: QueueId,
    /// Of the first message.
    position: u64,
    messages: u64,
    header: PullMessageResponseHeader,
}

#[derive(Debug)]
struct Waiting {
    pull: Pull,
    until: Instant,
}

/// Pulls that wait for messages.
#[derive(Debug, Default)]
pub(super) struct WaitingPulls {
    places: Vec<Option<Waiting>>,
    free: Vec<u32>,
}

impl WaitingPulls {
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    fn put(&mut self, waiting: Waiting) -> u32 {
        if let Some(number) = self.free.pop()
            && let Some(place) = self.places.get_mut(number as usize)
        {
            *place = Some(waiting);
            return number;
        }
        self.places.push(Some(waiting));
        (self.places.len() - 1) as u32
    }

    /// Those of one connection.
    fn of(&self, id: SessionId) -> Vec<u32> {
        let numbers = (0..).zip(&self.places);
        let of_id = numbers.filter(|(_, place)| {
            place.as_ref().is_some_and(|waiting| waiting.pull.request.session == id)
        });
        of_id.map(|(number, _)| number).collect()
    }

    fn session(&self, number: u32) -> Option<SessionId> {
        let waiting = self.places.get(number as usize)?.as_ref()?;
        Some(waiting.pull.request.session)
    }

    fn take(&mut self, number: u32) -> Option<Waiting> {
        let waiting = self.places.get_mut(number as usize)?.take()?;
        self.free.push(number);
        Some(waiting)
    }
}

/// The outcome of one look.
struct Look {
    code: i32,
    remark: &'static str,
    next: u64,
    messages: u64,
}

/// Collects what is to be delivered from this queue into `ranges`.
fn look(queue: &Queue, pull: &Pull, ranges: &mut Vec<Range>) -> Look {
    let (min, max) = (queue.min(), queue.max());
    let moved =
        |next, remark| Look { code: response_code::PULL_OFFSET_MOVED, remark, next, messages: 0 };
    if pull.offset < min {
        return moved(min, "OFFSET_TOO_SMALL");
    }
    if pull.offset > max {
        return match max {
            0 => moved(0, "NO_MESSAGE_IN_QUEUE"),
            _ => moved(max, "OFFSET_OVERFLOW_BADLY"),
        };
    }
    let (mut next, mut messages, mut bytes) = (pull.offset, 0, 0);
    for (offset, entry) in queue.from(pull.offset).take(SCAN_MAX) {
        let size_bytes = u64::from(entry.size_bytes);
        let is_wanted = size_bytes > 0 && pull.filter.takes(entry.tags_code);
        if is_wanted {
            let is_full = messages >= pull.messages_max || bytes + size_bytes > pull.bytes_max;
            if is_full && messages > 0 {
                break;
            }
            messages += 1;
            bytes += size_bytes;
            add(ranges, Range { position: entry.position, size_bytes: entry.size_bytes });
        }
        next = offset + 1;
    }
    let (code, remark) = match messages {
        0 if pull.offset == max => (response_code::PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE"),
        0 => (response_code::PULL_RETRY_IMMEDIATELY, "NO_MATCHED_MESSAGE"),
        _ => (response_code::SUCCESS, "FOUND"),
    };
    Look { code, remark, next, messages: messages as u64 }
}

/// Messages that lie one behind the other are one range.
fn add(ranges: &mut Vec<Range>, range: Range) {
    if let Some(last) = ranges.last_mut()
        && last.end() == range.position
        && let Some(size_bytes) = last.size_bytes.checked_add(range.size_bytes)
    {
        last.size_bytes = size_bytes;
        return;
    }
    ranges.push(range);
}

impl Broker {
    /// Requests 11 and 361.
    pub(super) fn handle_pull(&mut self, now: Now, request: Request, frame: &Frame<'_>) -> Outcome {
        let header = PullMessageRequestHeader::decode(&frame.ext)?;
        let flags = PullFlags(header.sys_flag);
        let (group, topic) = (plain(header.consumer_group), plain(header.topic));
        self.check_group(&group)?;
        let id = self.topics.find(&topic).ok_or_else(|| no_topic(&topic))?;
        let queue = self.queue_for_pull(id, header.queue_id)?;
        let filter = if flags.has(PullFlags::SUBSCRIPTION) {
            filter_of(&header)?
        } else {
            self.filter_of_group(&group, &topic, header.sub_version)?
        };
        if flags.has(PullFlags::COMMIT_OFFSET)
            && let Ok(offset) = u64::try_from(header.commit_offset)
            && let Some(group) = self.groups.get_mut(&group)
        {
            group.commit_of_client(queue, offset);
        }
        let bytes_asked = header.max_msg_bytes.and_then(|bytes| u64::try_from(bytes).ok());
        let mut pull = Pull {
            request,
            queue,
            offset: u64::try_from(header.queue_offset).unwrap_or(0),
            filter,
            messages_max: usize::try_from(header.max_msg_nums).unwrap_or(1).clamp(1, MESSAGES_MAX),
            bytes_max: bytes_asked.map_or(BYTES_DEFAULT, |bytes| bytes.clamp(1, BYTES_MAX)),
        };
        if let Some(group) = self.groups.get_mut(&group)
            && let Some(offset) = group.take_reset(queue)
        {
            self.answer_moved(pull.request, pull.queue, offset, "OFFSET_RESET");
            return Ok(());
        }
        let may_wait = flags.has(PullFlags::SUSPEND) && header.suspend_timeout_millis > 0;
        if !self.try_pull(now, &mut pull, may_wait) {
            let wait_ms = header.suspend_timeout_millis.clamp(1, SUSPEND_MS_MAX) as u64;
            self.wait(now, pull, now.at.plus_us(wait_ms * 1_000));
        }
        Ok(())
    }

    fn check_group(&mut self, name: &str) -> Outcome {
        if self.groups.get(name).is_none() {
            self.create_group(name)?;
        }
        match self.groups.get(name) {
            Some(group) if !group.settings.is_enabled => {
                let remark = alloc::format!("subscription group no permission, {name}");
                Err(Refusal::new(response_code::NO_PERMISSION, remark))
            }
            _ => Ok(()),
        }
    }

    fn queue_for_pull(
        &self,
        id: super::topics::TopicId,
        queue_id: i32,
    ) -> Result<QueueId, Refusal> {
        let topic = self.topics.get(id).ok_or_else(|| no_topic("that was deleted"))?;
        if !topic.is_readable() || topic.is_internal {
            let remark = alloc::format!("the topic[{}] pulling message is forbidden", topic.name);
            return Err(Refusal::new(response_code::NO_PERMISSION, remark));
        }
        match u32::try_from(queue_id) {
            Ok(queue) if (queue as usize) < topic.queues.len() => Ok(QueueId { topic: id, queue }),
            _ => {
                let remark = alloc::format!(
                    "queueId[{queue_id}] is illegal, topic:[{}] topicConfig.readQueueNums:[{}]",
                    topic.name,
                    topic.settings.read_queues
                );
                Err(Refusal::new(response_code::INVALID_PARAMETER, remark))
            }
        }
    }

    /// The subscription that the group has told of in its heartbeats.
    fn filter_of_group(&self, name: &str, topic: &str, version: i64) -> Result<Filter, Refusal> {
        let group = self.groups.get(name).filter(|group| !group.members.is_empty());
        let Some(subscription) = group.and_then(|group| group.subscription(topic)) else {
            let remark = "the consumer's subscription not exist";
            return Err(Refusal::new(response_code::SUBSCRIPTION_NOT_EXIST, remark));
        };
        if subscription.version < version {
            let remark = "the consumer's subscription not latest";
            return Err(Refusal::new(response_code::SUBSCRIPTION_NOT_LATEST, remark));
        }
        check_expression_type(Some(&subscription.expression_type))?;
        Ok(subscription.filter.clone())
    }

    /// Answers a pull, unless there is nothing and it `may_wait`.
    fn try_pull(&mut self, now: Now, pull: &mut Pull, may_wait: bool) -> bool {
        let mut ranges = core::mem::take(&mut self.ranges);
        ranges.clear();
        let answered = self.answer_pull(now, pull, may_wait, &mut ranges);
        ranges.clear();
        self.ranges = ranges;
        answered
    }

    fn answer_pull(
        &mut self,
        now: Now,
        pull: &mut Pull,
        may_wait: bool,
        ranges: &mut Vec<Range>,
    ) -> bool {
        let Some(queue) = self.topics.queue(pull.queue) else {
            self.refuse(pull.request, &no_topic("that was deleted"));
            return true;
        };
        let Look { code, remark, next, messages } = look(queue, pull, ranges);
        let is_at_end = next == queue.max() && code != response_code::PULL_OFFSET_MOVED;
        if messages == 0 && is_at_end && may_wait {
            // What the filter did not take is not looked at again.
            pull.offset = next;
            return false;
        }
        let header = PullMessageResponseHeader {
            suggest_which_broker_id: 0,
            next_begin_offset: next as i64,
            min_offset: queue.min() as i64,
            max_offset: queue.max() as i64,
            topic_sys_flag: Some(0),
            group_sys_flag: Some(0),
            ..Default::default()
        };
        if code == response_code::SUCCESS && self.reads.len() >= READS_MAX {
            let remark = "too many messages are being read from disk";
            self.answer(pull.request, response_code::FLOW_CONTROL, Some(remark));
        } else if code == response_code::SUCCESS {
            let position = ranges.first().map_or(0, |range| range.position);
            let (request, queue) = (pull.request, pull.queue);
            let found = Found { request, queue, position, messages, header };
            self.fetch(now, ranges, After::Pull(found));
        } else {
            self.answer_with(pull.request, code, Some(remark), &header, &[]);
        }
        true
    }

    /// It has to go on at another offset.
    fn answer_moved(&mut self, request: Request, queue: QueueId, offset: u64, remark: &str) {
        let bounds = self.topics.queue(queue).map_or((0, 0), |q| (q.min(), q.max()));
        let header = PullMessageResponseHeader {
            next_begin_offset: offset as i64,
            min_offset: bounds.0 as i64,
            max_offset: bounds.1 as i64,
            ..Default::default()
        };
        let code = response_code::PULL_OFFSET_MOVED;
        self.answer_with(request, code, Some(remark), &header, &[]);
    }

    /// What was found has been read, or could not be.
    pub(super) fn deliver(&mut self, found: Found, slices: Option<&mut Vec<Bytes>>) {
        let Found { request, queue, position, messages, header } = found;
        let Some(slices) = slices else {
            if position < self.log.start() {
                // They went away while they were being read.
                let min = self.topics.queue(queue).map_or(0, Queue::min);
                return self.answer_moved(request, queue, min, "OFFSET_TOO_SMALL");
            }
            let remark = "the messages can't be read from disk; see the broker's log";
            self.answer(request, response_code::SYSTEM_ERROR, Some(remark));
            return;
        };
        self.counts.messages_pulled += messages;
        self.counts.bytes_pulled += slices.iter().map(|slice| slice.len() as u64).sum::<u64>();
        self.answer_slices(request, response_code::SUCCESS, Some("FOUND"), &header, slices);
    }

    fn wait(&mut self, now: Now, pull: Pull, until: Instant) {
        if self.pulls.len() >= self.config.limits.waiting_pulls_max {
            let mut pull = pull;
            self.try_pull(now, &mut pull, false);
            return;
        }
        let queue = pull.queue;
        let number = self.pulls.put(Waiting { pull, until });
        self.timers.add(until, Due::Pull(number));
        if let Some(queue) = self.topics.queue_mut(queue) {
            queue.waiting.push(number);
        }
    }

    /// Those who wait at queues with something new are answered, if it is for them.
    pub(super) fn tell_news(&mut self, now: Now) {
        while let Some(id) = self.news.pop() {
            let Some(queue) = self.topics.queue_mut(id) else {
                continue;
            };
            queue.has_news = false;
            let mut waiting = core::mem::take(&mut queue.waiting);
            waiting.retain(|number| !self.try_waiting(now, *number));
            if let Some(queue) = self.topics.queue_mut(id) {
                waiting.append(&mut queue.waiting);
                queue.waiting = waiting;
            }
            self.arrived(now, id);
        }
    }

    /// Tries a pull that waits; true where it is over.
    fn try_waiting(&mut self, now: Now, number: u32) -> bool {
        let Some(mut waiting) = self.pulls.take(number) else {
            return true;
        };
        let is_over = self.sessions.get(waiting.pull.request.session).is_none()
            || self.try_pull(now, &mut waiting.pull, true);
        if is_over {
            self.timers.remove(waiting.until, Due::Pull(number));
        } else {
            // The place that was just left.
            self.pulls.put(waiting);
        }
        is_over
    }

    /// A pull has waited long enough.
    pub(super) fn end_pull(&mut self, now: Now, number: u32) {
        if let Some(mut waiting) = self.pulls.take(number) {
            if let Some(queue) = self.topics.queue_mut(waiting.pull.queue) {
                queue.waiting.retain(|other| *other != number);
            }
            self.try_pull(now, &mut waiting.pull, false);
        }
    }

    /// The consumers of this group that wait at a queue are told where to go on.
    pub(super) fn end_pulls_for_reset(&mut self, id: QueueId, group: &str, offset: u64) {
        let Some(members) = self.groups.get(group).map(|group| &group.members) else {
            return;
        };
        let sessions: Vec<SessionId> = members.iter().map(|member| member.session).collect();
        let numbers = self.topics.queue(id).map_or_else(Vec::new, |queue| queue.waiting.clone());
        let mut told = false;
        for number in numbers {
            if self.pulls.session(number).is_some_and(|session| sessions.contains(&session))
                && let Some(waiting) = self.pulls.take(number)
            {
                self.timers.remove(waiting.until, Due::Pull(number));
                if let Some(queue) = self.topics.queue_mut(id) {
                    queue.waiting.retain(|other| *other != number);
                }
                let Pull { request, queue, .. } = waiting.pull;
                self.answer_moved(request, queue, offset, "OFFSET_RESET");
                told = true;
            }
        }
        if told && let Some(group) = self.groups.get_mut(group) {
            group.take_reset(id);
        }
    }

    /// A connection is gone, and what it waits for.
    pub(super) fn forget_pulls_of(&mut self, id: SessionId) {
        for number in self.pulls.of(id) {
            if let Some(waiting) = self.pulls.take(number) {
                self.timers.remove(waiting.until, Due::Pull(number));
                if let Some(queue) = self.topics.queue_mut(waiting.pull.queue) {
                    queue.waiting.retain(|other| *other != number);
                }
            }
        }
    }

    /// The topic is gone: those who wait for it are told so.
    pub(super) fn end_pulls_of(&mut self, now: Now, numbers: &[u32]) {
        for number in numbers {
            if let Some(mut waiting) = self.pulls.take(*number) {
                self.timers.remove(waiting.until, Due::Pull(*number));
                self.try_pull(now, &mut waiting.pull, false);
            }
        }
    }
}

/// The subscription that the request itself has.
fn filter_of(header: &PullMessageRequestHeader<'_>) -> Result<Filter, Refusal> {
    let expression_type = header.expression_type.map(plain);
    check_expression_type(expression_type.as_deref())?;
    let text: Option<String> = header.subscription.map(|text| plain(text).into_owned());
    let expression = Expression::parse(text.as_deref()).map_err(|error| {
        let remark = alloc::format!("parse the consumer's subscription failed: {error}");
        Refusal::new(response_code::SUBSCRIPTION_PARSE_FAILED, remark)
    })?;
    Ok(Filter::new(expression))
}

/// This broker filters by tags only.
pub(super) fn check_expression_type(expression_type: Option<&str>) -> Outcome {
    match expression_type {
        None | Some("" | "TAG") => Ok(()),
        Some(other) => {
            let remark =
                alloc::format!("The broker does not support consumer to filter message by {other}");
            Err(Refusal::new(response_code::SYSTEM_ERROR, remark))
        }
    }
}
