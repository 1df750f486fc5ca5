//! All parts of the demo, put together on one backend.

use alloc::sync::Arc;
use core::error::Error;
use core::hash::{BuildHasher, BuildHasherDefault};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::hash::DefaultHasher;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use turbopump::core::pool::{AcquireRefused, ClassLayout, Layout};
use turbopump::core::rocketmq::wire::message::BatchEntry;
use turbopump::runtime::backend::Backend;
use turbopump::runtime::batch::{BatchReceiver, BatchSender, BatchSettings, SendRefused};
use turbopump::runtime::memory::{BufferPool, Chunk, Lease};
use turbopump::runtime::net::{ConnectionPool, PoolSettings};
use turbopump::runtime::tasks::TaskKind;

use super::arrival::{Arrival, found};
use super::checker::{Checker, Found};
use super::input::Input;
use super::lane::Lane;
use super::message::{BATCH_BYTES_MAX, MESSAGE_HEAD_BYTES, Message};
use super::progress;
use super::puller::Puller;
use super::scratch::Scratch;
use super::server::Server;
use super::summary::{Checked, Summary, per};
use super::uplink::Uplink;
use super::watching::Watching;
use crate::allocations;
use crate::arguments::{DemoArguments, Outage};
use crate::switch::Switch;

static PULLER: TaskKind = TaskKind::new("demo_puller");

/// Everything that is under way.
pub(crate) struct Pipeline<B: Backend> {
    backend: B,
    pub(crate) buffers: BufferPool,
    pub(crate) lanes: Vec<BatchSender<Lease, B>>,
    pub(crate) uplink: Arc<Uplink<B>>,
    pub(crate) server: Arc<Server<B>>,
    pub(crate) receiver: BatchReceiver<Chunk, B>,
    pub(crate) checker: Arc<Mutex<Checker>>,
    pub(crate) sent: Arc<AtomicU64>,
    topic: Arc<str>,
    /// Off once nothing more is sent.
    sending: Arc<Switch>,
    /// Off once the puller has everything, one for each queue.
    pulling: Vec<Arc<Switch>>,
    epoch: Instant,
}

/// What sending amounted to.
struct Sent {
    messages: u64,
    bytes: u64,
    /// Allocations and messages between the first and the last tenth.
    allocations: u64,
    counted: u64,
}

pub(crate) async fn run<B: Backend>(
    backend: B,
    arguments: &DemoArguments,
    input: Arc<Input>,
    messages: u64,
    stop: Arc<Switch>,
) -> Result<Summary, Box<dyn Error>> {
    let scratch = Scratch::new(arguments.store.as_deref())?;
    let pipeline =
        Pipeline::start(backend.clone(), arguments, &input, messages, scratch.folder()).await?;
    let watching = Watching::start(backend.clone(), arguments, &pipeline).await?;
    if let Some(outage) = arguments.outage {
        pipeline.plan(outage);
    }
    let sent = pipeline.send(&input, messages, arguments.rate, &stop).await?;
    pipeline.drain().await;
    let time = pipeline.epoch.elapsed();

    let on_disk = pipeline.read_back(&input, messages).await?;
    let mut summary = pipeline.summary(arguments, &input, &sent);
    summary.is_interrupted = stop.is_off();
    summary.set_time(time, sent.bytes);
    let on_arrival = found(&pipeline.checker);
    summary.add_checks(&Checked { on_arrival: &on_arrival, on_disk: &on_disk });
    summary.monitor = watching.url();
    if arguments.hold > 0 && !stop.is_off() {
        eprintln!("turbopump: done; the monitor stays for {} s", arguments.hold);
        let until = Instant::now() + Duration::from_secs(arguments.hold);
        stop.unless_off(backend.sleep_until(until)).await;
    }
    watching.stop().await;
    pipeline.uplink.close().await;
    pipeline.server.stop().await;
    summary.store_bytes = scratch.bytes()?;
    Ok(summary)
}

impl<B: Backend> Pipeline<B> {
    async fn start(
        backend: B,
        arguments: &DemoArguments,
        input: &Arc<Input>,
        messages: u64,
        folder: &Path,
    ) -> Result<Self, Box<dyn Error>> {
        let epoch = Instant::now();
        let batch = arguments.batch;
        let checker = Arc::new(Mutex::new(Checker::new(messages)));
        let arrival = Arrival { input: Arc::clone(input), checker: Arc::clone(&checker), epoch };
        let receiver = BatchReceiver::new(backend.clone(), chunk_settings(batch), arrival)?;
        receiver.start()?;

        let server = Server::start(backend.clone(), folder, messages).await?;
        let buffers = BufferPool::new(&Layout::new(&classes(arguments))?);
        let endpoint = server.address().into();
        let pool = ConnectionPool::new(backend.clone(), endpoint, pool_settings())?;
        let uplink = Uplink::new(backend.clone(), pool, buffers.clone());
        // Its own, because the folder may have messages of an earlier run.
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let topic: Arc<str> = format!("demo-{}", unix.as_millis()).into();
        uplink.make_topic(&topic, arguments.lanes).await?;
        let mut lanes = Vec::new();
        for number in 0..arguments.lanes {
            let lane = Lane::new(&uplink, &topic, number);
            let sender = BatchSender::new(backend.clone(), lane_settings(batch), lane)?;
            sender.start()?;
            lanes.push(sender);
        }
        let mut pipeline = Self {
            backend,
            buffers,
            lanes,
            uplink,
            server,
            receiver,
            checker,
            sent: Arc::default(),
            topic,
            sending: Arc::default(),
            pulling: Vec::new(),
            epoch,
        };
        pipeline.pulling = (0..arguments.lanes).map(|queue| pipeline.pull(queue)).collect();
        Ok(pipeline)
    }

    /// Hands on what comes to a queue, in a task of its own, until nothing more can come.
    fn pull(&self, queue: u16) -> Arc<Switch> {
        let done = Arc::new(Switch::default());
        let mut puller = Puller::new(&self.uplink, &self.topic, queue);
        let (backend, receiver) = (self.backend.clone(), self.receiver.clone());
        let (sending, end) = (Arc::clone(&self.sending), Arc::clone(&done));
        PULLER.spawn(&self.backend, async move {
            let mut last_well = Instant::now();
            loop {
                let is_last = sending.is_off();
                let pulled = match is_last {
                    true => puller.pull(Duration::ZERO).await,
                    false => match sending.unless_off(puller.pull(LONG_POLL)).await {
                        Some(pulled) => pulled,
                        None => continue,
                    },
                };
                match pulled {
                    // Refused only at the end, when nobody sends any more.
                    Ok(true) => drop(receiver.receive_many(&mut puller.bodies.drain(..)).await),
                    Ok(false) if is_last => break,
                    Ok(false) => {}
                    // What is missing then is seen as lost.
                    Err(_) if is_last && last_well.elapsed() > GIVE_UP => break,
                    Err(_) => {
                        backend.sleep_until(Instant::now() + PAUSE).await;
                        continue;
                    }
                }
                last_well = Instant::now();
            }
            end.turn_off();
        });
        done
    }

    /// Takes the broker away for a while.
    fn plan(&self, outage: Outage) {
        let (backend, server) = (self.backend.clone(), Arc::clone(&self.server));
        let away = self.epoch + outage.after;
        self.backend.spawn(async move {
            backend.sleep_until(away).await;
            server.stop().await;
            eprintln!("turbopump: the broker is away");
            backend.sleep_until(away + outage.lasts).await;
            match server.start_again().await {
                Ok(()) => eprintln!("turbopump: the broker is back"),
                Err(error) => eprintln!("turbopump: the broker can't come back: {error}"),
            }
        });
    }

    async fn send(
        &self,
        input: &Input,
        messages: u64,
        rate: Option<u32>,
        stop: &Switch,
    ) -> Result<Sent, Box<dyn Error>> {
        let bar = progress::bar(messages);
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let mut sent = Sent { messages: 0, bytes: 0, allocations: 0, counted: 0 };
        let mut began = (0, 0);
        for sequence in 0..messages {
            if sequence % LOOK_EVERY == 0 {
                self.sent.store(sequence, Ordering::Relaxed);
                bar.set_position(sequence);
                if stop.is_off() {
                    break;
                }
                if let Some(rate) = rate {
                    let at = Duration::from_secs_f64(sequence as f64 / f64::from(rate));
                    self.backend.sleep_until(self.epoch + at).await;
                }
                if began.0 == 0 && sequence >= messages / 10 {
                    began = (sequence, allocations::count());
                }
                if sequence <= messages / 10 * 9 {
                    sent.counted = sequence - began.0;
                    sent.allocations = allocations::count() - began.1;
                }
            }
            let line = input.line(sequence);
            let lane = hasher.hash_one(input.key(line)) % self.lanes.len() as u64;
            let lease = self.message(sequence, line).await?;
            if let Some(sender) = self.lanes.get(lane as usize) {
                sender
                    .send(lease)
                    .await
                    .map_err(|SendRefused { reason, .. }| reason.to_string())?;
            }
            sent.messages += 1;
            sent.bytes += line.len() as u64;
        }
        self.sent.store(sent.messages, Ordering::Relaxed);
        bar.finish_and_clear();
        Ok(sent)
    }

    /// A message in a pooled buffer; waits for one where all are in use.
    async fn message(&self, sequence: u64, line: &[u8]) -> Result<Lease, AcquireRefused> {
        let len = MESSAGE_HEAD_BYTES + line.len();
        let mut lease = loop {
            match self.buffers.acquire(len) {
                Ok(lease) => break lease,
                Err(refused) if len > self.buffers.len_max() => return Err(refused),
                Err(_) => {
                    let soon = Instant::now() + Duration::from_millis(1);
                    self.backend.sleep_until(soon).await;
                }
            }
        };
        let sent_us = self.epoch.elapsed().as_micros() as u64;
        // There is room: it was asked for.
        let _ = lease.extend_from_slice(&Message::head(sequence, sent_us));
        let _ = lease.extend_from_slice(line);
        Ok(lease)
    }

    /// Everything that is under way arrives.
    async fn drain(&self) {
        for lane in &self.lanes {
            lane.stop().await;
        }
        self.sending.turn_off();
        for puller in &self.pulling {
            puller.unless_off(core::future::pending::<()>()).await;
        }
        self.receiver.stop().await;
    }

    /// Starts the broker again, and checks once more what it has found on disk.
    async fn read_back(&self, input: &Input, messages: u64) -> Result<Found, Box<dyn Error>> {
        self.server.stop().await;
        self.server.start_again().await?;
        let mut checker = Checker::new(messages);
        for (queue, _) in (0..).zip(&self.lanes) {
            let mut puller = Puller::new(&self.uplink, &self.topic, queue);
            let mut failures = 0;
            loop {
                match puller.pull(Duration::ZERO).await {
                    Ok(true) => {
                        failures = 0;
                        for body in puller.bodies.drain(..) {
                            checker.check(input, &body, None);
                        }
                    }
                    Ok(false) => break,
                    // The link to the broker that has ended, as a rule.
                    Err(error) if failures == FAILURES_MAX => return Err(error.into()),
                    Err(_) => {
                        failures += 1;
                        self.backend.sleep_until(Instant::now() + PAUSE).await;
                    }
                }
            }
        }
        Ok(checker.found().clone())
    }

    fn summary(&self, arguments: &DemoArguments, input: &Input, sent: &Sent) -> Summary {
        let lanes: Vec<_> = self.lanes.iter().map(|lane| lane.stats().counters).collect();
        let sum = |of: fn(&turbopump::core::batch::BatchCounters) -> u64| -> u64 {
            lanes.iter().map(of).sum()
        };
        let batches = sum(|counters| counters.batches.get());
        let counts = &self.uplink.counts;
        Summary {
            backend: arguments.backend.as_str(),
            input: input.name().into(),
            sent: sent.messages,
            received: 0,
            lost: 0,
            duplicated: 0,
            out_of_order: 0,
            damaged: 0,
            failed: sum(|counters| counters.failed.get()),
            retried: sum(|counters| counters.retried.get()),
            is_interrupted: false,
            seconds: 0.0,
            messages_per_second: 0.0,
            bytes_per_second: 0.0,
            p50_us: 0,
            p99_us: 0,
            p999_us: 0,
            batches,
            messages_per_batch: per(sent.messages as f64, batches as f64),
            pool_hit_ratio: self.buffers.stats().hit_rate(),
            allocations_per_message: per(sent.allocations as f64, sent.counted as f64),
            plain_bytes: counts.plain_bytes.load(Ordering::Relaxed),
            wire_bytes: counts.wire_bytes.load(Ordering::Relaxed),
            store_bytes: 0,
            monitor: None,
        }
    }
}

/// How long a pull waits for messages.
const LONG_POLL: Duration = Duration::from_secs(10);
/// After a failure.
const PAUSE: Duration = Duration::from_millis(100);
const FAILURES_MAX: u32 = 50;
/// Without an answer after everything was sent.
const GIVE_UP: Duration = Duration::from_secs(30);
/// Between two looks at the clock, the bar and Ctrl-C.
const LOOK_EVERY: u64 = 256;

fn lane_settings(batch: u32) -> BatchSettings<Lease> {
    let mut settings = BatchSettings::of_bytes();
    settings.batch.items_max = batch;
    settings.batch.bytes_max = (BATCH_BYTES_MAX / 2) as u64;
    settings.batch.item_bytes_max = settings.batch.bytes_max;
    settings.batch.waiting_max = batch * WAITING_BATCHES;
    settings.batch.linger_us = 5_000;
    settings.batch.ordered = true;
    // A broker that is away for long loses nothing.
    settings.batch.retry.retries_max = 1_000_000;
    settings.batch.retry = settings.batch.retry.exponential(1_000_000);
    settings.workers = 1;
    settings.bytes_of = |message: &Lease| {
        BatchEntry { flag: 0, body: message, properties: b"" }.encoded_len() as u64
    };
    settings
}

fn chunk_settings(batch: u32) -> BatchSettings<Chunk> {
    let mut settings = BatchSettings::of_bytes();
    settings.batch.items_max = (batch * WAITING_BATCHES).max(1_000);
    settings.batch.waiting_max = 2 * settings.batch.items_max;
    settings.batch.linger_us = 1_000;
    settings.batch.ordered = true;
    settings.workers = 1;
    settings
}

fn pool_settings() -> PoolSettings {
    let mut settings = PoolSettings::default();
    settings.connections_max = 4;
    settings.acquire_timeout = Duration::from_secs(2);
    settings.backoff_max = Duration::from_millis(500);
    settings
}

/// Batches that may wait in a lane.
const WAITING_BATCHES: u32 = 4;

/// Messages in all lanes, those of batches that are sent and some in threads' caches included;
/// bodies of batches, and answers, each of which is held until its last message is checked.
fn classes(arguments: &DemoArguments) -> Vec<ClassLayout> {
    let lanes = usize::from(arguments.lanes);
    let messages = 2 * lanes * (WAITING_BATCHES as usize + 2) * arguments.batch as usize + 2_048;
    let mut classes = vec![ClassLayout::new(256, messages), ClassLayout::new(1_024, messages)];
    classes.extend([ClassLayout::new(4_096, 2_048), ClassLayout::new(16_384, 512)]);
    classes.extend(body_classes(arguments.lanes));
    classes
}

/// Bodies of batches.
fn body_classes(lanes: u16) -> Vec<ClassLayout> {
    let count = 16 + 8 * usize::from(lanes);
    [65_536, 1 << 18, 1 << 20, BATCH_BYTES_MAX].map(|len| ClassLayout::new(len, count)).into()
}
