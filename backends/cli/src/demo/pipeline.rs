//! All parts of the demo, put together on one backend.

use alloc::sync::Arc;
use core::error::Error;
use core::hash::{BuildHasher, BuildHasherDefault};
use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::hash::DefaultHasher;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use turbopump::core::pool::{AcquireRefused, ClassLayout, Layout};
use turbopump::runtime::backend::Backend;
use turbopump::runtime::batch::{
    BatchReceiver, BatchSender, BatchSettings, BatchStore, FileRecords, FileSink, SendRefused,
    SyncPolicy,
};
use turbopump::runtime::memory::{BufferPool, Chunk, Lease};
use turbopump::runtime::net::{ConnectionPool, PoolSettings};

use super::arrival::{Arrival, ToReceiver, found};
use super::checker::{Checker, Found};
use super::collector::Collector;
use super::input::Input;
use super::message::{BATCH_BYTES_MAX, LENGTH_BYTES, MESSAGE_HEAD_BYTES, Message};
use super::progress;
use super::scratch::Scratch;
use super::summary::{Checked, Summary, per};
use super::uplink::{Lane, Uplink};
use super::watching::Watching;
use crate::allocations;
use crate::arguments::{DemoArguments, Outage};
use crate::switch::Switch;

/// Everything that is under way.
pub(crate) struct Pipeline<B: Backend> {
    backend: B,
    pub(crate) buffers: BufferPool,
    pub(crate) arriving: BufferPool,
    pub(crate) lanes: Vec<BatchSender<Lease, B>>,
    pub(crate) uplink: Arc<Uplink<B>>,
    pub(crate) collector: Arc<Collector<ToReceiver<B>>>,
    pub(crate) receiver: BatchReceiver<Chunk, B>,
    pub(crate) store: BatchStore<Chunk, B>,
    pub(crate) checker: Arc<Mutex<Checker>>,
    pub(crate) sent: Arc<AtomicU64>,
    address: SocketAddr,
    /// Of the collector that listens now.
    listening: Arc<Mutex<Arc<Switch>>>,
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
    let path = scratch.file()?;
    let pipeline = Pipeline::start(backend.clone(), arguments, &input, messages, &path).await?;
    let watching = Watching::start(backend.clone(), arguments, &pipeline).await?;
    if let Some(outage) = arguments.outage {
        pipeline.plan(outage);
    }
    let sent = pipeline.send(&input, messages, arguments.rate, &stop).await?;
    pipeline.drain().await;
    let time = pipeline.epoch.elapsed();

    let on_disk = read_back(&path, &input, messages)?;
    let mut summary = pipeline.summary(arguments, &input, &sent);
    summary.is_interrupted = stop.is_off();
    summary.set_time(time, sent.bytes);
    summary.store_bytes = std::fs::metadata(&path)?.len();
    let on_arrival = found(&pipeline.checker);
    summary.add_checks(&Checked { on_arrival: &on_arrival, on_disk: &on_disk });
    summary.monitor = watching.url();
    if arguments.hold > 0 && !stop.is_off() {
        eprintln!("turbopump: done; the monitor stays for {} s", arguments.hold);
        let until = Instant::now() + Duration::from_secs(arguments.hold);
        stop.unless_off(backend.sleep_until(until)).await;
    }
    watching.stop().await;
    Ok(summary)
}

impl<B: Backend> Pipeline<B> {
    async fn start(
        backend: B,
        arguments: &DemoArguments,
        input: &Arc<Input>,
        messages: u64,
        path: &Path,
    ) -> Result<Self, Box<dyn Error>> {
        let epoch = Instant::now();
        let batch = arguments.batch;
        let sink = FileSink::records(path)?;
        let settings = chunk_settings(batch);
        let policy = SyncPolicy::Interval(Duration::from_secs(1));
        let store = BatchStore::new(backend.clone(), settings.clone(), policy, sink)?;
        store.start()?;

        let checker = Arc::new(Mutex::new(Checker::new(messages)));
        let arrival = Arrival {
            input: Arc::clone(input),
            checker: Arc::clone(&checker),
            store: store.clone(),
            epoch,
        };
        let receiver = BatchReceiver::new(backend.clone(), settings, arrival)?;
        receiver.start()?;
        let arriving = BufferPool::new(&Layout::new(&arriving_classes(arguments.lanes))?);
        let deliver = ToReceiver(receiver.clone());
        let collector = Collector::new(deliver, arguments.lanes, arriving.clone());
        let listening = Arc::new(Switch::default());
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let address = collector.open(&backend, any_port, Arc::clone(&listening)).await?;

        let buffers = BufferPool::new(&Layout::new(&classes(arguments))?);
        let pool = ConnectionPool::new(backend.clone(), address.into(), pool_settings())?;
        let uplink = Uplink::new(backend.clone(), pool, buffers.clone());
        let mut lanes = Vec::new();
        for number in 0..arguments.lanes {
            let lane = Lane::new(&uplink, number)?;
            let sender = BatchSender::new(backend.clone(), lane_settings(batch), lane)?;
            sender.start()?;
            lanes.push(sender);
        }
        Ok(Self {
            backend,
            buffers,
            arriving,
            lanes,
            uplink,
            collector,
            receiver,
            store,
            checker,
            sent: Arc::default(),
            address,
            listening: Arc::new(Mutex::new(listening)),
            epoch,
        })
    }

    /// Takes the collector away for a while.
    fn plan(&self, outage: Outage) {
        let (backend, collector) = (self.backend.clone(), Arc::clone(&self.collector));
        let (listening, address) = (Arc::clone(&self.listening), self.address);
        let away = self.epoch + outage.after;
        self.backend.spawn(async move {
            backend.sleep_until(away).await;
            let current = || listening.lock().unwrap_or_else(PoisonError::into_inner);
            current().turn_off();
            eprintln!("turbopump: the collector is away");
            backend.sleep_until(away + outage.lasts).await;
            let switch = Arc::new(Switch::default());
            match collector.open(&backend, address, Arc::clone(&switch)).await {
                Ok(_) => eprintln!("turbopump: the collector is back"),
                Err(error) => eprintln!("turbopump: the collector can't come back: {error}"),
            }
            *current() = switch;
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

    /// Everything that is under way arrives and is stored.
    async fn drain(&self) {
        for lane in &self.lanes {
            lane.stop().await;
        }
        self.uplink.close().await;
        self.listening.lock().unwrap_or_else(PoisonError::into_inner).turn_off();
        self.receiver.stop().await;
        self.store.stop().await;
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
    // A collector that is away for long loses nothing.
    settings.batch.retry.retries_max = 1_000_000;
    settings.batch.retry = settings.batch.retry.exponential(1_000_000);
    settings.workers = 1;
    settings.bytes_of = |message: &Lease| (message.len() + LENGTH_BYTES) as u64;
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

/// Messages in all lanes, those of batches that are sent and some in threads' caches included.
fn classes(arguments: &DemoArguments) -> Vec<ClassLayout> {
    let lanes = usize::from(arguments.lanes);
    let messages = 2 * lanes * (WAITING_BATCHES as usize + 2) * arguments.batch as usize + 2_048;
    let mut classes = vec![ClassLayout::new(256, messages), ClassLayout::new(1_024, messages)];
    classes.extend([ClassLayout::new(4_096, 2_048), ClassLayout::new(16_384, 512)]);
    classes.extend(body_classes(arguments.lanes));
    classes
}

/// Batches of any size: a buffer is held until the last of its messages is stored.
fn arriving_classes(lanes: u16) -> Vec<ClassLayout> {
    let mut classes = vec![ClassLayout::new(256, 16_384), ClassLayout::new(1_024, 16_384)];
    classes.extend([ClassLayout::new(4_096, 4_096), ClassLayout::new(16_384, 512)]);
    classes.extend(body_classes(lanes));
    classes
}

/// Bodies of batches.
fn body_classes(lanes: u16) -> Vec<ClassLayout> {
    let count = 16 + 8 * usize::from(lanes);
    [65_536, 1 << 18, 1 << 20, BATCH_BYTES_MAX].map(|len| ClassLayout::new(len, count)).into()
}

/// Checks once more what lies on disk.
fn read_back(path: &Path, input: &Input, messages: u64) -> Result<Found, Box<dyn Error>> {
    let mut checker = Checker::new(messages);
    let mut records = FileRecords::open(path)?;
    while let Some(record) = records.next_record()? {
        checker.check(input, record, None)?;
    }
    Ok(checker.found().clone())
}
