//! The store's threads: one that writes and syncs, one that reads what is no longer in memory, and
//! one that writes the index of each segment that is full.
//!
//! What came in while a group was written is the next group: the slower the disk, the larger the
//! groups. All threads work outside of the lock.

use core::time::Duration;
use std::sync::Condvar;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Instant as SystemInstant;

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use turbopump_core::time::Clock;

use super::listener::Serving;
use crate::backend::Backend;
use crate::broker::config::FlushPolicy;
use crate::broker::machine::{Broker, Group, Read};
use crate::broker::store::{Disk, DiskStore, Indexer, StoreError, StoreReader};

/// How often it is looked for what has become too old or too much.
const RETENTION_EVERY: Duration = Duration::from_secs(10);

/// Writes for a machine until the end.
struct Writer<B: Backend, D: Disk> {
    serving: Arc<Serving<Broker, B>>,
    store: DiskStore<D>,
    flush: FlushPolicy,
    /// Something was written and not synced.
    is_dirty: bool,
    synced: SystemInstant,
    looked: SystemInstant,
    /// What may go once the state behind it is stored: everything before the first position, when
    /// everything before the second one is.
    trim: Option<(u64, u64)>,
    /// Wakes whoever writes index files; they end with this.
    indexes: SyncSender<()>,
    /// For so many segments they were woken.
    segments: usize,
}

/// What the writer is to do.
enum Work {
    Write(Group),
    /// Nothing was to be written for a while.
    Idle,
    Over,
}

/// Starts the threads; they end with the server.
pub(super) fn start<B: Backend, D: Disk>(
    serving: &Arc<Serving<Broker, B>>,
    store: DiskStore<D>,
    flush: FlushPolicy,
) -> std::io::Result<()> {
    let (reader, indexer) = (store.reader(), store.indexer());
    let (indexes, woken) = sync_channel(1);
    let now = SystemInstant::now();
    let writer = Writer {
        serving: Arc::clone(serving),
        store,
        flush,
        is_dirty: false,
        synced: now,
        looked: now,
        trim: None,
        indexes,
        segments: 0,
    };
    let ticket = serving.end.enter();
    thread::Builder::new().name("turbopump-store".into()).spawn(move || {
        // Left last, when the folder is free again.
        let _ticket = ticket;
        let mut writer = writer;
        writer.run();
    })?;
    let (waiting, ticket) = (Arc::clone(serving), serving.end.enter());
    thread::Builder::new().name("turbopump-index".into()).spawn(move || {
        let _ticket = ticket;
        let indexer = indexer;
        index_all(&waiting, &indexer, &woken);
    })?;
    let (serving, ticket) = (Arc::clone(serving), serving.end.enter());
    thread::Builder::new().name("turbopump-reads".into()).spawn(move || {
        let _ticket = ticket;
        let reader = reader;
        read_all(&serving, &reader);
    })?;
    Ok(())
}

impl<B: Backend, D: Disk> Writer<B, D> {
    fn run(&mut self) {
        loop {
            match self.next() {
                Work::Write(group) => self.write(&group),
                Work::Idle => {}
                Work::Over => break,
            }
            self.sync_if_due();
            self.retain_if_due();
            self.index_if_due();
        }
        if self.is_dirty && !self.serving.common.lock().machine.is_killed() {
            self.sync();
        }
    }

    /// Waits for work.
    fn next(&self) -> Work {
        let common = &self.serving.common;
        let mut hub = common.lock();
        if let Some(group) = hub.machine.poll_group() {
            return Work::Write(group);
        }
        if hub.is_over {
            return Work::Over;
        }
        hub.writer_sleeps = true;
        let (mut hub, _) = match common.writes.wait_timeout(hub, self.pause()) {
            Ok(woken) => woken,
            Err(poisoned) => poisoned.into_inner(),
        };
        hub.writer_sleeps = false;
        hub.machine.poll_group().map_or(Work::Idle, Work::Write)
    }

    /// How long nothing is due.
    fn pause(&self) -> Duration {
        let looks = RETENTION_EVERY.saturating_sub(self.looked.elapsed());
        match self.flush {
            FlushPolicy::Interval(every) if self.is_dirty => {
                every.saturating_sub(self.synced.elapsed()).min(looks)
            }
            _ => looks,
        }
    }

    fn write(&mut self, group: &Group) {
        if be_slow(&self.serving, &self.serving.common.writes) {
            return;
        }
        let written = self.store.append(group.position, &group.parts, &group.sizes);
        let stored = written.and_then(|end| {
            debug_assert_eq!(end, group.end, "the machine knows how long trailers are");
            self.is_dirty = true;
            if self.flush == FlushPolicy::Always {
                self.store.sync()?;
                self.is_dirty = false;
            }
            Ok(())
        });
        let now = self.serving.clock.now();
        self.serving.common.with_machine(|machine| match stored {
            Ok(()) => machine.handle_stored(now, group.end),
            Err(error) => {
                machine.handle_store_failed(now, &error.to_string(), error.is_final());
            }
        });
        if let Some((before, behind)) = self.trim
            && group.end >= behind
        {
            self.trim = None;
            self.remove_before(before);
        }
    }

    fn sync_if_due(&mut self) {
        if let FlushPolicy::Interval(every) = self.flush
            && self.is_dirty
            && self.synced.elapsed() >= every
        {
            self.sync();
        }
    }

    fn sync(&mut self) {
        self.is_dirty = false;
        self.synced = SystemInstant::now();
        if let Err(error) = self.store.sync() {
            self.fail(&error);
        }
    }

    fn fail(&self, error: &StoreError) {
        let now = self.serving.clock.now();
        self.serving.common.with_machine(|machine| {
            machine.handle_store_failed(now, &error.to_string(), error.is_final());
        });
    }

    /// Finds what is to go, and has everything remembered behind it first.
    fn retain_if_due(&mut self) {
        if self.looked.elapsed() < RETENTION_EVERY || self.trim.is_some() {
            return;
        }
        self.looked = SystemInstant::now();
        // As administrators have it now.
        let retention = self.serving.common.lock().machine.config().retention;
        let now = self.serving.clock.now();
        let age_ms = u64::try_from(retention.age_max.as_millis()).unwrap_or(u64::MAX);
        let oldest_ms = now.unix_ms.saturating_sub(age_ms);
        let segments = self.store.segments();
        let mut bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
        let mut before = self.store.start();
        // The last segment stays.
        for pair in segments.windows(2) {
            let [segment, next] = pair else { break };
            let is_old = segment.last_stored_ms < oldest_ms;
            if !(is_old || bytes > retention.bytes_max) {
                break;
            }
            bytes -= segment.bytes;
            before = next.start;
        }
        let messages_max = retention.messages_max;
        self.serving.common.with_machine(|machine| {
            if let Some(position) = machine.position_of_excess(messages_max) {
                let fits = segments.iter().rev().find(|segment| segment.start <= position);
                before = before.max(fits.map_or(before, |segment| segment.start));
            }
            if before > self.store.start() {
                machine.remember_everything(now);
                self.trim = Some((before, machine.end()));
            }
        });
    }

    /// A segment that is full has no index yet, and others may have none from before.
    fn index_if_due(&mut self) {
        let segments = self.store.segment_count();
        if segments != core::mem::replace(&mut self.segments, segments) {
            // Where it is awake already it looks once more.
            let _ = self.indexes.try_send(());
        }
    }

    fn remove_before(&mut self, position: u64) {
        // Told first, so that whoever finds nothing there knows why.
        self.serving.common.with_machine(|machine| machine.handle_trimmed(position));
        if let Err(error) = self.store.remove_before(position) {
            self.fail(&error);
        }
    }
}

fn read_all<B: Backend, D: Disk>(serving: &Serving<Broker, B>, reader: &StoreReader<D>) {
    while let Some(Read { id, ranges }) = next_read(serving) {
        if be_slow(serving, &serving.common.reads) {
            return;
        }
        let slices: Result<Vec<_>, _> = ranges
            .iter()
            .map(|range| reader.read(range.position, range.size_bytes as usize))
            .collect();
        let damages = reader.take_damages();
        let now = serving.clock.now();
        serving.common.with_machine(|machine| {
            machine.handle_damaged(&damages);
            machine.handle_read(now, id, slices.ok());
        });
    }
}

/// Nothing depends on index files: what fails is left, and read whole at the next start.
fn index_all<B: Backend, D: Disk>(
    serving: &Serving<Broker, B>,
    indexer: &Indexer<D>,
    woken: &Receiver<()>,
) {
    while woken.recv().is_ok() {
        loop {
            // Not held while anything is written.
            let is_over = serving.common.lock().is_over;
            if is_over || matches!(indexer.write_next(), Ok(false)) {
                break;
            }
        }
    }
}

/// Waits as long as a disk does that is slow on purpose; not longer than until the end. True where
/// the broker was killed meanwhile.
fn be_slow<B: Backend>(serving: &Serving<Broker, B>, called: &Condvar) -> bool {
    let mut hub = serving.common.lock();
    let until = SystemInstant::now() + hub.machine.disk_delay();
    while !hub.is_over {
        let left = until.saturating_duration_since(SystemInstant::now());
        if left.is_zero() {
            break;
        }
        hub = match called.wait_timeout(hub, left) {
            Ok((hub, _)) => hub,
            Err(poisoned) => poisoned.into_inner().0,
        };
    }
    hub.machine.is_killed()
}

fn next_read<B: Backend>(serving: &Serving<Broker, B>) -> Option<Read> {
    let common = &serving.common;
    let mut hub = common.lock();
    loop {
        if let Some(read) = hub.machine.poll_read() {
            return Some(read);
        }
        if hub.is_over {
            return None;
        }
        hub.reader_sleeps = true;
        hub = common.reads.wait(hub).unwrap_or_else(std::sync::PoisonError::into_inner);
        hub.reader_sleeps = false;
    }
}
