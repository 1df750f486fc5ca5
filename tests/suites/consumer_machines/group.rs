//! Several members of a group under a virtual clock, and what must be true of them.

use alloc::collections::BTreeMap;

use turbopump_core::random::SplitMix64;
use turbopump_core::rocketmq::wire::rebalance::Queue as Name;
use turbopump_core::time::Instant;

use crate::member::{Ask, Member, Tell};
use crate::model::Broker;

const QUEUES: usize = 5;
const MESSAGES: usize = 240;
const TICK_MS: u64 = 40;
/// Things go wrong for so long; then all has to settle.
const TROUBLE_MS: u64 = 60_000;
const END_MS: u64 = 400_000;

/// What happened in a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) joins: u64,
    pub(crate) leaves: u64,
    pub(crate) crashes: u64,
    pub(crate) lost_answers: u64,
    pub(crate) failures: u64,
    pub(crate) send_backs: u64,
    pub(crate) stale_results: u64,
    pub(crate) handled: u64,
    pub(crate) repeats: u64,
    pub(crate) waits: u64,
    pub(crate) cuts: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.joins += other.joins;
        self.leaves += other.leaves;
        self.crashes += other.crashes;
        self.lost_answers += other.lost_answers;
        self.failures += other.failures;
        self.send_backs += other.send_backs;
        self.stale_results += other.stale_results;
        self.handled += other.handled;
        self.repeats += other.repeats;
        self.waits += other.waits;
        self.cuts += other.cuts;
    }
}

pub(crate) struct Group {
    is_ordered: bool,
    now_ms: u64,
    random: SplitMix64,
    broker: Broker,
    members: Vec<Member>,
    joined: u64,
    /// What is on its way, by the time of its arrival and a number.
    events: BTreeMap<(u64, u64), (u64, Tell)>,
    event: u64,
    /// How often each message was done.
    done: Vec<u64>,
    /// Handlers that run: member, and queue.
    running: Vec<(u64, usize)>,
    /// The end of what anybody has pulled, by queue.
    pulled_to: Vec<i64>,
    /// A member that reaches nobody, and until when.
    cut_off: Option<(u64, u64)>,
    /// Repeats that rebalances, crashes and lost answers excuse.
    excused: u64,
    counts: Counts,
}

impl Group {
    pub(crate) fn new(seed: u64, is_ordered: bool) -> Self {
        Self {
            is_ordered,
            now_ms: 0,
            random: SplitMix64::new(seed),
            broker: Broker::new(QUEUES),
            members: Vec::new(),
            joined: 0,
            events: BTreeMap::new(),
            event: 0,
            done: vec![0; MESSAGES],
            running: Vec::new(),
            pulled_to: vec![0; QUEUES + 1],
            cut_off: None,
            excused: 0,
            counts: Counts::default(),
        }
    }

    fn is_trouble(&self) -> bool {
        self.now_ms < TROUBLE_MS
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.is_trouble() && self.random.below(100) < percent
    }

    pub(crate) fn run(mut self) -> Counts {
        (0..2).for_each(|_| self.join());
        let mut sent = 0;
        while self.now_ms < END_MS {
            self.now_ms += TICK_MS;
            if sent < MESSAGES && self.random.below(2) == 0 {
                let queue = self.random.below(QUEUES as u64) as usize;
                self.broker.append(queue, sent, 0);
                sent += 1;
            }
            self.change_members();
            self.heal();
            let due = self.events.split_off(&(self.now_ms + 1, 0));
            for (_, (member, tell)) in core::mem::replace(&mut self.events, due) {
                self.arrive(member, tell);
            }
            for at in 0..self.members.len() {
                let asks = self.members[at].poll(Instant::from_ms(self.now_ms));
                let id = self.members[at].id;
                asks.into_iter().for_each(|ask| self.ask(id, ask));
            }
            let gone = |member: &Member| member.is_leaving && member.is_empty();
            if let Some(at) = self.members.iter().position(gone) {
                let member = self.members.remove(at);
                self.remove(&member);
            }
            if sent == MESSAGES && !self.is_trouble() && self.done.iter().all(|count| *count > 0) {
                break;
            }
        }
        for (key, count) in self.done.iter().enumerate() {
            assert!(*count > 0, "message {key} was never done, {:?}", self.counts);
        }
        self.counts.repeats = self.done.iter().sum::<u64>() - MESSAGES as u64;
        let (repeats, excused) = (self.counts.repeats, self.excused);
        assert!(repeats <= excused, "{repeats} repeats, {excused} excused: {:?}", self.counts);
        self.counts
    }

    fn join(&mut self) {
        self.joined += 1;
        self.counts.joins += 1;
        let member = Member::new(self.joined, self.is_ordered, Instant::from_ms(self.now_ms));
        self.broker.members.insert(member.name.clone());
        self.members.push(member);
        self.notify();
    }

    fn change_members(&mut self) {
        if !self.is_trouble() || self.random.below(120) > 0 {
            return;
        }
        let at = self.random.below(self.members.len().max(1) as u64) as usize;
        match self.random.below(4) {
            0 if self.members.len() < 4 => self.join(),
            1 if self.members.len() > 1 => {
                self.counts.leaves += u64::from(!self.members[at].is_leaving);
                self.members[at].leave(Instant::from_ms(self.now_ms));
            }
            2 if self.members.iter().filter(|member| !member.is_leaving).count() > 1 => {
                self.counts.crashes += 1;
                let member = self.members.remove(at);
                self.running.retain(|(runs, _)| *runs != member.id);
                self.remove(&member);
            }
            3 if self.members.len() > 1 && self.cut_off.is_none() => self.cut(at),
            _ => {}
        }
        if self.members.iter().all(|member| member.is_leaving) {
            self.join();
        }
    }

    /// The broker drops who is cut off, and keeps its locks until their time is over.
    fn cut(&mut self, at: usize) {
        self.counts.cuts += 1;
        let member = &self.members[at];
        self.cut_off = Some((member.id, self.now_ms + 75_000));
        self.broker.members.remove(&member.name);
        self.notify();
    }

    fn heal(&mut self) {
        let Some((id, _)) = self.cut_off.filter(|(_, until)| *until <= self.now_ms) else { return };
        self.cut_off = None;
        if let Some(member) = self.members.iter().find(|member| member.id == id) {
            self.broker.members.insert(member.name.clone());
            self.notify();
        }
    }

    fn is_cut_off(&self, member: u64) -> bool {
        self.cut_off.is_some_and(|(id, _)| id == member)
    }

    fn remove(&mut self, member: &Member) {
        self.broker.members.remove(&member.name);
        self.notify();
    }

    /// Notices that members have changed; some are lost.
    fn notify(&mut self) {
        for at in 0..self.members.len() {
            if !self.chance(20) {
                self.members[at].rebalancing.request(Instant::from_ms(self.now_ms));
            }
        }
    }

    fn tell(&mut self, after_ms: u64, member: u64, tell: Tell) {
        self.event += 1;
        self.events.insert((self.now_ms + after_ms, self.event), (member, tell));
    }

    fn ask(&mut self, member: u64, ask: Ask) {
        let latency_ms = 1 + self.random.below(80);
        let is_cut_off = self.is_cut_off(member);
        let is_lost = self.chance(8) || is_cut_off;
        // A lost request is one that the broker has not seen; otherwise its answer is lost.
        let is_seen = !is_lost || !is_cut_off && self.random.below(2) == 0;
        self.counts.lost_answers += u64::from(is_lost);
        let now_ms = self.now_ms;
        let mut answer = match ask {
            Ask::Members => {
                let names = self.broker.members.iter().cloned().collect();
                let queues = (0..QUEUES as i32).map(|queue_id| Name { broker_name: "b", queue_id });
                Tell::Members(names, queues.collect())
            }
            Ask::Lock { number, queues } => {
                let locked = |queue: &usize| is_seen && self.broker.lock(now_ms, *queue, member);
                Tell::Locked { number, queues: queues.into_iter().filter(locked).collect() }
            }
            Ask::Unlock { number, queues } => {
                for queue in queues.into_iter().filter(|_| is_seen) {
                    self.broker.unlock(queue, member);
                }
                Tell::Locked { number, queues: Vec::new() }
            }
            Ask::Start { place, epoch, number, queue } => {
                let committed = self.broker.queues[queue].committed;
                Tell::Started { place, epoch, number, offset: committed.unwrap_or(0) }
            }
            Ask::Commit { place, epoch, queue, offset } => {
                if is_seen {
                    let committed = &mut self.broker.queues[queue].committed;
                    // Without locks two members may overlap for as long as one has not heard.
                    let is_back = self.is_ordered && committed.is_some_and(|old| old > offset);
                    assert!(!is_back, "the offset of {queue} went back to {offset}");
                    *committed = Some(offset);
                }
                Tell::Committed { place, epoch, offset }
            }
            Ask::Pull { place, epoch, pull, queue } => Tell::Pulled { place, epoch, pull, queue },
            Ask::SendBack { place, epoch, offset, key, reconsume_times } => {
                self.counts.send_backs += 1;
                if is_seen {
                    self.broker.append(QUEUES, key, reconsume_times + 1);
                    // The retry is there, and the message is handled again here.
                    self.excused += u64::from(is_lost);
                }
                Tell::SentBack { place, epoch, offset, is_stored: !is_lost }
            }
            Ask::Handle { place, epoch, offset, key, queue } => {
                self.begin(member, queue, key);
                let is_failed = self.chance(15) || is_cut_off;
                let slow_ms = if self.chance(3) { self.random.below(8_000) } else { 0 };
                let tell = Tell::Handled { place, epoch, offset, queue, key, is_failed };
                return self.tell(latency_ms + slow_ms, member, tell);
            }
        };
        if is_lost {
            match answer {
                // Handled as failed at once: the connection was closed.
                Tell::SentBack { .. } => {}
                _ => answer = Tell::Lost(Box::new(answer)),
            }
        }
        self.tell(latency_ms, member, answer);
    }

    fn begin(&mut self, member: u64, queue: usize, key: usize) {
        if self.is_ordered && queue < QUEUES {
            let other = self.running.iter().find(|(_, runs)| *runs == queue);
            assert_eq!(other, None, "two handlers of {queue}, one at {member}");
            let owner = self.broker.owner(self.now_ms, queue);
            assert!(owner.is_none_or(|owner| owner == member), "{queue} is {owner:?}'s");
            let log = self.broker.queues[queue].log.iter();
            let before = log.filter(|message| message.key != usize::MAX && message.key < key);
            for message in before {
                assert!(self.done[message.key] > 0, "{} was skipped by {key}", message.key);
            }
        }
        self.running.push((member, queue));
    }

    fn arrive(&mut self, id: u64, tell: Tell) {
        let now = Instant::from_ms(self.now_ms);
        let Some(at) = self.members.iter().position(|member| member.id == id) else { return };
        if let Tell::Handled { queue, key, is_failed, .. } = tell {
            let runs = self.running.iter().position(|runs| *runs == (id, queue));
            self.running.swap_remove(runs.expect("it was begun"));
            self.counts.failures += u64::from(is_failed);
            self.counts.handled += u64::from(!is_failed);
            self.done[key] += u64::from(!is_failed);
        }
        if let Tell::Started { place, epoch, offset, .. } = &tell
            && let Some(queue) = self.members[at].queue_of(*place, *epoch)
        {
            self.excused += (self.pulled_to[queue] - offset).max(0) as u64;
        }
        let tell = match tell {
            Tell::Pulled { place, epoch, pull, queue } => {
                let (answer, messages) = self.broker.pull(queue, pull.offset, pull.messages_max);
                if self.members[at].queue_of(place, epoch).is_some() {
                    let has = |member: &&Member| member.id != id && member.has(queue);
                    if self.members.iter().any(|member| has(&member)) {
                        self.excused += messages.len() as u64;
                    }
                    let end = self.pulled_to[queue].max(answer.next_offset);
                    self.pulled_to[queue] = end;
                }
                Tell::Answer { place, epoch, pull, answer, messages }
            }
            tell => tell,
        };
        self.members[at].tell(now, tell);
        self.counts.stale_results += core::mem::take(&mut self.members[at].stale_results);
        self.counts.waits += core::mem::take(&mut self.members[at].waits);
    }
}
