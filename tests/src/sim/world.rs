//! One run: senders of every kind, brokers, and somebody who breaks what can be broken.

use alloc::sync::Arc;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use turbopump_core::rocketmq::wire::command::PullMessageRequestHeader;
use turbopump_core::rocketmq::wire::header::{request_code, response_code};
use turbopump_core::rocketmq::wire::message::Messages;
use turbopump_std::backend::{Backend, SocketOptions};
use turbopump_std::broker::name_server::NameServerConfig;
use turbopump_std::broker::{BrokerConfig, EmbeddedBroker, EmbeddedNameServer, Fault, FaultAction};
use turbopump_std::client::{
    Acknowledgement, Batching, Client, ClientConfig, Message, MessageQueue, PlantedBug, Producer,
    ProducerConfig, SendError, SendReceipt, TopicConfig,
};
use turbopump_std::memory::BufferPool;
use turbopump_std::net::RequestLinkConfig;
use turbopump_std::rocketmq::{BodyCodec, RemotingLink};

use super::backend::Sim;
use super::check::{
    End, Record, Stored, Violation, check_left, check_order, check_outcomes, check_stored,
};
use super::faults::{FaultCounts, FaultKind};

/// What a run has shown.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What must not be, if something was.
    pub violation: Option<Violation>,
    /// Messages that were acknowledged, and all.
    pub messages: (usize, usize),
    /// How often each kind of fault has hit somebody.
    pub faults: FaultCounts,
    /// The last steps.
    pub trace: Vec<String>,
    /// How long it was, in microseconds of its own time.
    pub took_us: u64,
}

pub(super) const TIMEOUT_US: u64 = 3_000_000;
/// The whole run has to be over by then.
const RUN_US: u64 = 120_000_000;
pub(super) const TOPIC: &str = "Orders";

pub(super) type Records = Arc<Mutex<Vec<Record>>>;

/// Runs a world with a seed, and with a bug.
#[must_use]
pub fn run(seed: u64, bug: Option<PlantedBug>) -> Outcome {
    let sim = Sim::new(seed);
    let records = Records::default();
    let ended = sim.run(RUN_US, act(sim.clone(), Arc::clone(&records), bug));
    let mut violation = match ended {
        Err(stuck) => Some(Violation::Stuck(stuck)),
        Ok(done) => done.err(),
    };
    if violation.is_none() {
        // What was told to end does so now.
        sim.settle(90_000_000);
        violation = check_left(sim.left()).err();
    }
    let faults = sim.state().net.counts;
    if violation.is_none() {
        let missed = FaultKind::ALL.iter().find(|kind| faults.get(**kind) == 0);
        violation = missed.map(|kind| Violation::FaultMissed(format!("{kind:?}")));
    }
    let records = records.lock().unwrap_or_else(PoisonError::into_inner);
    let is_taken = |record: &&Record| matches!(record.end, End::Taken(_));
    let messages = (records.iter().filter(is_taken).count(), records.len());
    Outcome { violation, messages, faults, trace: sim.trace(), took_us: sim.now_us() }
}

async fn act(sim: Sim, records: Records, bug: Option<PlantedBug>) -> Result<(), Violation> {
    let (apart, brokers) = brokers(&sim).await;
    let name_server = apart.address();
    let halves = sim.left().halves;
    let mut config = ClientConfig::new(&name_server.to_string());
    config.send.timeout_us = TIMEOUT_US;
    config.route_age_max = Duration::from_secs(2);
    config.in_flight_messages_max = 64;
    config.planted_bug = bug;
    let client = Client::start(sim.clone(), config).await;
    let client = client.map_err(|error| Violation::NotHealed(error.to_string()))?;
    // Ordered, so that a key's queue stays the same when a broker is away.
    let mut topic = TopicConfig::new(TOPIC);
    topic.order = true;
    let made = client.admin().create_topic(&topic).await;
    made.map_err(|error| Violation::NotHealed(error.to_string()))?;
    // The name server hears of it from each broker.
    sim.sleep_us(200_000).await;
    let known = client.producer("together").queues(TOPIC).await;
    known.map_err(|error| Violation::NotHealed(error.to_string()))?;
    let mut batching = Batching { linger_us: sim.below(5_000), ..Batching::default() };
    (batching.messages_max, batching.bytes_max) = (1 + sim.below(12) as u32, 3_000);
    let mut together = ProducerConfig::default();
    together.batching = Some(batching);
    let together = client.producer_with("together", together);
    let together = together.map_err(|error| Violation::NotHealed(error.to_string()))?;
    let alone = client.producer("alone");
    let crew = Arc::new(Crew {
        sim: sim.clone(),
        records,
        alone,
        together,
        is_over: AtomicBool::new(false),
    });
    let actors = 11;
    let left = Arc::new(Mutex::new(actors));
    for actor in 0..actors {
        let (crew, left) = (Arc::clone(&crew), Arc::clone(&left));
        sim.spawn(async move {
            match actor {
                9 | 10 => super::sensor::play(&crew, name_server, actor).await,
                _ => Arc::clone(&crew).play(actor).await,
            }
            *left.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        });
    }
    // Where the topic is, everybody has heard by then.
    sim.sleep_us(100_000).await;
    strike_all(&sim, &brokers).await;
    crew.is_over.store(true, Ordering::SeqCst);
    while *left.lock().unwrap_or_else(PoisonError::into_inner) > 0 {
        sim.sleep_us(10_000).await;
    }
    // Half of what the longest avoidance takes, and a route's age.
    sim.sleep_us(5_000_000).await;
    let probe = Message::new(TOPIC, crew.begin("probe", None).1);
    let probed = crew.alone.send(probe).await;
    if let Err(error) = &probed {
        return Err(Violation::NotHealed(error.to_string()));
    }
    crew.end(crew.len() - 1, probed);
    crew.together.flush().await;
    finish(&crew, &client, brokers, halves).await?;
    apart.shutdown().await;
    Ok(())
}

/// What must be true in the end.
async fn finish(
    crew: &Crew,
    client: &Client<Sim>,
    brokers: Vec<EmbeddedBroker<Sim>>,
    halves_before: usize,
) -> Result<(), Violation> {
    let sim = &crew.sim;
    let records = crew.records.lock().unwrap_or_else(PoisonError::into_inner).clone();
    check_outcomes(&records, TIMEOUT_US)?;
    check_order(&records)?;
    let in_flight = crew.alone.stats().in_flight();
    if in_flight > 0 {
        return Err(Violation::Left(format!("{in_flight} permits")));
    }
    let report = client.shutdown(Duration::from_secs(10)).await;
    if !report.in_time || report.abandoned > 0 {
        return Err(Violation::Left(format!("{report:?}")));
    }
    // Both sides have seen it; brokers keep their connections to the name server.
    sim.sleep_us(100_000).await;
    let halves = sim.left().halves;
    if halves > halves_before {
        return Err(Violation::Left(format!("{halves} halves of connections of the client")));
    }
    let mut stored = Stored::new();
    for (broker, name) in brokers.iter().zip(NAMES) {
        read_back(sim, broker.address(), name, &mut stored).await;
    }
    check_stored(&records, &stored)?;
    let is_idle =
        |name: &&&str| !stored.iter().any(|((its, _), all)| its == **name && !all.is_empty());
    if let Some(name) = NAMES.iter().take(brokers.len()).find(is_idle) {
        return Err(Violation::Idle((*name).into()));
    }
    for broker in brokers {
        broker.shutdown().await;
    }
    let classes = client.memory().classes;
    let in_use: usize = classes.iter().map(|class| class.in_use).sum();
    if in_use > 0 {
        return Err(Violation::Left(format!("{in_use} buffers")));
    }
    Ok(())
}

pub(super) const NAMES: [&str; 2] = ["broker-a", "broker-b"];

async fn brokers(sim: &Sim) -> (EmbeddedNameServer<Sim>, Vec<EmbeddedBroker<Sim>>) {
    let apart = EmbeddedNameServer::start(sim.clone(), NameServerConfig::default()).await;
    let apart = apart.unwrap_or_else(|error| panic!("the simulated name server: {error}"));
    let mut brokers: Vec<EmbeddedBroker<Sim>> = Vec::new();
    let many = 1 + sim.below(2) as usize;
    for name in NAMES.iter().take(many) {
        let mut config = BrokerConfig::default();
        config.broker_name = (*name).into();
        config.default_topic_queues = 4;
        config.seed = sim.random_seed();
        config.name_server = None;
        config.register_at = vec![apart.address().into()];
        let broker = EmbeddedBroker::start(sim.clone(), config).await;
        brokers.push(broker.unwrap_or_else(|error| panic!("the simulated broker: {error}")));
    }
    // They are known by then.
    sim.sleep_us(100_000).await;
    (apart, brokers)
}

/// Every kind of fault, in any order, until each has hit somebody.
async fn strike_all(sim: &Sim, brokers: &[EmbeddedBroker<Sim>]) {
    let mut kinds = FaultKind::STRIKES.to_vec();
    while !kinds.is_empty() {
        sim.sleep_us(10_000 + sim.below(150_000)).await;
        let kind = kinds.swap_remove(sim.below(kinds.len() as u64) as usize);
        sim.note(|| format!("{kind:?}"));
        match kind {
            FaultKind::Busy | FaultKind::LostAnswer => inject(sim, brokers, kind).await,
            _ => {
                let before = sim.state().net.counts.get(kind);
                for _ in 0..2_000 {
                    let now_us = sim.now_us();
                    sim.state().strike(kind, now_us);
                    if sim.state().net.counts.get(kind) > before {
                        break;
                    }
                    sim.sleep_us(5_000).await;
                }
                sim.sleep_us(sim.below(500_000)).await;
            }
        }
        sim.note(|| String::from("heals"));
        sim.state().heal(kinds.is_empty());
    }
}

/// A fault of the brokers' own, until it has hit somebody.
async fn inject(sim: &Sim, brokers: &[EmbeddedBroker<Sim>], kind: FaultKind) {
    let action = match kind {
        FaultKind::Busy => {
            FaultAction::Refuse { code: 2, remark: "[PCBUSY_CLEAN_QUEUE]broker busy".into() }
        }
        _ => FaultAction::LoseAnswer,
    };
    let faults = || brokers.iter().map(|broker| broker.stats().counts.faults).sum::<u64>();
    let before = faults();
    for broker in brokers {
        // Any request that holds messages.
        for code in [310, 320] {
            broker.inject(Fault::new(action.clone()).of_code(code).times(2));
        }
    }
    for _ in 0..2_000 {
        if faults() > before {
            sim.state().net.counts.add(kind);
            break;
        }
        sim.sleep_us(5_000).await;
    }
    sim.sleep_us(sim.below(300_000)).await;
    brokers.iter().for_each(EmbeddedBroker::clear_faults);
}

/// Whoever sends.
pub(super) struct Crew {
    pub(super) sim: Sim,
    pub(super) records: Records,
    alone: Producer<Sim>,
    together: Producer<Sim>,
    /// Nothing goes wrong any more.
    pub(super) is_over: AtomicBool,
}

impl Crew {
    fn len(&self) -> usize {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// A message that nobody has sent yet: its number, and its body.
    pub(super) fn begin(&self, who: &str, key: Option<&str>) -> (usize, String) {
        let long = match self.sim.below(10) {
            0 => 4_000 + self.sim.below(4_000),
            _ => self.sim.below(300),
        };
        self.begin_long(who, key, long)
    }

    pub(super) fn begin_short(&self, who: &str, key: Option<&str>) -> (usize, String) {
        self.begin_long(who, key, self.sim.below(300))
    }

    fn begin_long(&self, who: &str, key: Option<&str>, long: u64) -> (usize, String) {
        let mut body = format!("{who} {} ", self.len());
        body.extend(core::iter::repeat_n('x', long as usize));
        let begun_us = self.sim.now_us();
        let (key, ended_us, told, end) = (key.map(str::to_owned), 0, 0, End::Open);
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let record = Record { body: body.clone(), key, begun_us, ended_us, told, end };
        records.push(record);
        (records.len() - 1, body)
    }

    fn end(&self, number: usize, outcome: Result<SendReceipt, SendError>) {
        note_end(&self.sim, &self.records, number, End::of(outcome));
    }

    async fn play(self: Arc<Self>, actor: u64) {
        let who = format!("sender {actor}");
        while !self.is_over.load(Ordering::SeqCst) {
            self.sim.sleep_us(self.sim.below(800_000)).await;
            match actor {
                0 => self.send(&self.alone, &who, None).await,
                1 => self.send(&self.together, &who, None).await,
                2 => self.send(&self.alone, &who, Some(&who)).await,
                3 => self.send(&self.together, &who, Some(&who)).await,
                4 => self.send_batch(&who).await,
                5 => self.send_oneway(&who).await,
                6 => self.send_with(&who).await,
                7 => self.submit_in_order(&who).await,
                _ => self.submit(&who).await,
            }
        }
    }

    async fn send(&self, producer: &Producer<Sim>, who: &str, key: Option<&str>) {
        let (number, body) = self.begin(who, key);
        let message = Message::new(TOPIC, body);
        let outcome = match key {
            Some(key) => producer.send_ordered(message, key).await,
            None => producer.send(message).await,
        };
        self.end(number, outcome);
    }

    async fn send_batch(&self, who: &str) {
        let many = 1 + self.sim.below(6);
        let begun: Vec<_> = (0..many).map(|_| self.begin(who, None)).collect();
        let messages = begun.iter().map(|(_, body)| Message::new(TOPIC, body.clone()));
        match self.alone.send_batch(&messages.collect::<Vec<_>>()).await {
            Ok(sent) => {
                for ((number, _), receipt) in begun.iter().zip(sent.to_vec()) {
                    self.end(*number, Ok(receipt));
                }
            }
            Err(error) => {
                begun.iter().for_each(|(number, _)| self.end(*number, Err(error.clone())))
            }
        }
    }

    async fn send_oneway(&self, who: &str) {
        let (number, body) = self.begin(who, None);
        match self.alone.send_oneway(Message::new(TOPIC, body)).await {
            Ok(()) => note_end(&self.sim, &self.records, number, End::Handed),
            Err(error) => self.end(number, Err(error)),
        }
    }

    async fn send_with(&self, who: &str) {
        let producer = if self.sim.below(2) == 0 { &self.alone } else { &self.together };
        let (number, body) = self.begin(who, None);
        let (sim, records) = (self.sim.clone(), Arc::clone(&self.records));
        let done = move |outcome| note_end(&sim, &records, number, End::of(outcome));
        if let Err(error) = producer.send_with(Message::new(TOPIC, body), done).await {
            self.end(number, Err(error));
        }
    }

    /// Several under way at once, to one queue.
    async fn submit_in_order(&self, who: &str) {
        let Ok(queues) = self.together.queues(TOPIC).await else { return };
        // The same one each time, although routes change.
        let queue = MessageQueue::new(NAMES[0], 1);
        if !queues.contains(&queue) {
            return;
        }
        for _ in 0..1 + self.sim.below(10) {
            // Short, so that none goes by itself.
            let (number, body) = self.begin_short(who, Some(who));
            match self.together.submit_to(Message::new(TOPIC, body), &queue).await {
                Ok(acknowledgement) => self.wait_for(number, acknowledgement),
                Err(error) => self.end(number, Err(error)),
            }
        }
    }

    fn wait_for(&self, number: usize, acknowledgement: Acknowledgement) {
        let (sim, records) = (self.sim.clone(), Arc::clone(&self.records));
        self.sim.spawn(async move {
            let end = End::of(acknowledgement.await);
            note_end(&sim, &records, number, end);
        });
    }

    /// Several under way at once.
    async fn submit(&self, who: &str) {
        for _ in 0..1 + self.sim.below(10) {
            let (number, body) = self.begin(who, None);
            match self.together.submit(Message::new(TOPIC, body)).await {
                Ok(acknowledgement) => self.wait_for(number, acknowledgement),
                Err(error) => self.end(number, Err(error)),
            }
        }
    }
}

pub(super) fn note_end(sim: &Sim, records: &Records, number: usize, end: End) {
    let mut records = records.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(record) = records.get_mut(number) else { return };
    (record.told, record.ended_us) = (record.told + 1, sim.now_us());
    record.end = end;
    if let End::Failed { why, .. } = &record.end {
        let (who, why) = (record.body.chars().take(16).collect::<String>(), why.clone());
        drop(records);
        sim.note(|| format!("{who}: {why}"));
    }
}

/// Everything that a broker has.
async fn read_back(sim: &Sim, at: SocketAddr, name: &str, stored: &mut Stored) {
    let halves = sim.dial(at, &SocketOptions::default()).await;
    let halves = halves.unwrap_or_else(|error| panic!("nothing goes wrong any more: {error}"));
    let (buffers, settings) = (BufferPool::standard(), RequestLinkConfig::default());
    let link = RemotingLink::over(sim, halves, buffers, &settings);
    let link = link.unwrap_or_else(|error| panic!("the defaults: {error}"));
    let (mut codec, mut output) = (BodyCodec::new(), vec![0; 1 << 16]);
    for queue in 0..8 {
        let found = stored.entry((name.into(), queue)).or_default();
        loop {
            let header = PullMessageRequestHeader {
                consumer_group: "readers".into(),
                topic: TOPIC.into(),
                queue_id: queue,
                queue_offset: found.len() as i64,
                max_msg_nums: 32,
                sys_flag: 4,
                subscription: Some("*".into()),
                ..PullMessageRequestHeader::default()
            };
            let (code, within) = (request_code::PULL_MESSAGE, Duration::from_secs(10));
            let Ok(answer) = link.ask(code, &header, b"", within).await else { break };
            let Ok(frame) = answer.frame() else { break };
            if frame.header.code != response_code::SUCCESS {
                break;
            }
            for message in Messages::new(frame.body) {
                let Ok(message) = message else { continue };
                let restored = codec.restore(message.sys_flag, message.body, &mut output);
                let body = output.get(..restored.unwrap_or(0)).unwrap_or_default();
                let body = String::from_utf8_lossy(body).into_owned();
                let id = message.properties().ok().and_then(|all| all.unique_key());
                found.push((body, id.unwrap_or_default().to_owned()));
            }
        }
    }
    link.close().await;
}
