//! Stores: order, sync, torn ends, disks that fail.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use turbopump_core::batch::{Batch, Outcome, Settled};
use turbopump_std::backend::Backend;
use turbopump_std::batch::{
    BatchSettings, BatchStore, FileRecords, FileSink, StoreSink, SyncPolicy,
};

use crate::on_every_backend;

on_every_backend![
    records_are_read_as_they_were_written,
    a_disk_that_fails_now_and_then_loses_nothing,
    a_sync_that_fails_is_no_success,
    a_sync_that_fails_in_between_takes_nothing_away,
    a_sink_hears_of_each_item,
];

/// A file of its own, gone with this.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("turbopump-store-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn records(&self) -> Vec<Vec<u8>> {
        let mut records = FileRecords::open(&self.0).unwrap();
        let mut all = Vec::new();
        while let Some(record) = records.next_record().unwrap() {
            all.push(record.to_vec());
        }
        all
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn items(count: u32) -> Vec<Vec<u8>> {
    (0..count).map(|number| vec![number as u8; number as usize % 50]).collect()
}

fn settings() -> BatchSettings<Vec<u8>> {
    let mut settings = BatchSettings::of_bytes();
    settings.batch.items_max = 16;
    settings.batch.linger_us = 1_000;
    settings.batch.retry.delay_us = 1_000;
    settings.batch.retry.retries_max = 50;
    settings
}

async fn records_are_read_as_they_were_written<B: Backend>(backend: B) {
    let every = SyncPolicy::EveryBatch;
    let interval = SyncPolicy::Interval(Duration::from_millis(1));
    for policy in [SyncPolicy::Never, every, interval] {
        let scratch = Scratch::new();
        let all = items(1_000);
        for half in all.chunks(500) {
            let sink = FileSink::records(&scratch.0).unwrap();
            let store = BatchStore::new(backend.clone(), settings(), policy, sink).unwrap();
            store.start().unwrap();
            store.store_many(&mut half.iter().cloned()).await.unwrap();
            let report = store.stop().await;
            assert_eq!((report.failed, report.abandoned), (0, 0));
        }
        assert_eq!(scratch.records(), all);
    }
}

/// Fails every third time, after having written half.
struct Flaky {
    inner: FileSink,
    calls: u32,
    syncs: Arc<AtomicU32>,
    fails_to_sync: bool,
}

impl StoreSink<Vec<u8>> for Flaky {
    fn write(&mut self, batch: &mut Batch<'static, Vec<u8>>) -> io::Result<()> {
        self.calls += 1;
        match self.calls % 3 {
            0 if !self.fails_to_sync => Err(io::ErrorKind::StorageFull.into()),
            1 if self.calls == 7 => panic!("as planned"),
            _ => self.inner.write(batch),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        match self.fails_to_sync {
            true => Err(io::ErrorKind::Other.into()),
            false => StoreSink::<Vec<u8>>::sync(&mut self.inner),
        }
    }

    fn take_back(&mut self) -> io::Result<()> {
        StoreSink::<Vec<u8>>::take_back(&mut self.inner)
    }
}

async fn a_disk_that_fails_now_and_then_loses_nothing<B: Backend>(backend: B) {
    let scratch = Scratch::new();
    let syncs = Arc::new(AtomicU32::new(0));
    let inner = FileSink::records(&scratch.0).unwrap();
    let sink = Flaky { inner, calls: 0, syncs: Arc::clone(&syncs), fails_to_sync: false };
    let store = BatchStore::new(backend, settings(), SyncPolicy::EveryBatch, sink).unwrap();
    store.start().unwrap();
    let all = items(300);
    store.store_many(&mut all.iter().cloned()).await.unwrap();
    store.stop().await;
    let counters = store.stats().counters;
    assert_eq!((counters.succeeded.get(), counters.failed.get()), (300, 0));
    assert_eq!(store.stats().handler_panics.get(), 1);
    assert_eq!(scratch.records(), all, "once and in order");
    assert_eq!(u64::from(syncs.load(Ordering::SeqCst)), counters.batches.get());
}

async fn a_sync_that_fails_is_no_success<B: Backend>(backend: B) {
    let scratch = Scratch::new();
    let inner = FileSink::records(&scratch.0).unwrap();
    let sink = Flaky { inner, calls: 0, syncs: Arc::default(), fails_to_sync: true };
    let mut settings = settings();
    settings.batch.retry.retries_max = 2;
    let store = BatchStore::new(backend, settings, SyncPolicy::EveryBatch, sink).unwrap();
    store.start().unwrap();
    store.store(vec![1]).await.unwrap();
    let report = store.stop().await;
    assert_eq!((report.succeeded, report.failed), (0, 1));
    assert_eq!((store.sync_failures(), scratch.records().len()), (3, 0), "it is not there");
    assert!(store.last_error().is_some());
}

/// Whose first sync fails, and whose second one panics.
struct Shaky {
    inner: FileSink,
    syncs: Arc<AtomicU32>,
}

impl StoreSink<Vec<u8>> for Shaky {
    fn write(&mut self, batch: &mut Batch<'static, Vec<u8>>) -> io::Result<()> {
        self.inner.write(batch)
    }

    fn sync(&mut self) -> io::Result<()> {
        match self.syncs.fetch_add(1, Ordering::SeqCst) {
            0 => Err(io::ErrorKind::Other.into()),
            1 => panic!("as planned"),
            _ => StoreSink::<Vec<u8>>::sync(&mut self.inner),
        }
    }

    fn take_back(&mut self) -> io::Result<()> {
        panic!("what is done is not taken back")
    }
}

async fn a_sync_that_fails_in_between_takes_nothing_away<B: Backend>(backend: B) {
    let scratch = Scratch::new();
    let inner = FileSink::records(&scratch.0).unwrap();
    let syncs = Arc::<AtomicU32>::default();
    let sink = Shaky { inner, syncs: Arc::clone(&syncs) };
    let policy = SyncPolicy::Interval(Duration::ZERO);
    let store = BatchStore::new(backend, settings(), policy, sink).unwrap();
    store.start().unwrap();
    let all = items(100);
    for half in all.chunks(50) {
        store.store_many(&mut half.iter().cloned()).await.unwrap();
        store.drained().await;
    }
    let report = store.stop().await;
    assert_eq!((report.failed, report.abandoned), (0, 0));
    assert_eq!(scratch.records(), all);
    assert!(syncs.load(Ordering::SeqCst) >= 3, "tried again until it went well");
    assert_eq!((store.sync_failures(), store.stats().handler_panics.get()), (2, 1));
    assert_eq!(store.last_error().unwrap().kind(), io::ErrorKind::Other);
}

/// Keeps what it is told.
struct Hears(std::sync::mpsc::Sender<(Vec<u8>, Settled)>);

impl StoreSink<Vec<u8>> for Hears {
    fn write(&mut self, batch: &mut Batch<'static, Vec<u8>>) -> io::Result<()> {
        for mut entry in batch {
            if entry.item()[0] == 1 {
                entry.set(Outcome::Failed);
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn settled(&mut self, item: Vec<u8>, how: Settled) {
        self.0.send((item, how)).unwrap();
    }
}

async fn a_sink_hears_of_each_item<B: Backend>(backend: B) {
    let (hears, heard) = std::sync::mpsc::channel();
    let never = SyncPolicy::Never;
    let store = BatchStore::new(backend, settings(), never, Hears(hears)).unwrap();
    store.start().unwrap();
    store.store_many(&mut [vec![0], vec![1]].into_iter()).await.unwrap();
    store.stop().await;
    let all: Vec<_> = heard.iter().collect();
    assert_eq!(all, [(vec![0], Settled::Done), (vec![1], Settled::Failed)]);
}

#[test]
fn a_torn_end_is_cut_off_wherever_it_is_torn() {
    let scratch = Scratch::new();
    let mut whole = Vec::new();
    for bytes in [&b"first"[..], b"second"] {
        whole.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        whole.extend_from_slice(&turbopump_core::checksum::crc32(bytes).to_be_bytes());
        whole.extend_from_slice(bytes);
    }
    let first = 8 + 5;
    for len in first..whole.len() {
        fs::write(&scratch.0, &whole[..len]).unwrap();
        let recovered = FileSink::records(&scratch.0).unwrap().recovered();
        assert_eq!((recovered.records, recovered.torn_bytes), (1, (len - first) as u64), "{len}");
        assert_eq!(scratch.records(), [b"first"]);
    }
    // The last byte is another: the record is taken for torn.
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&scratch.0, &damaged).unwrap();
    assert_eq!(FileSink::records(&scratch.0).unwrap().recovered().records, 1);
    // One in the middle is not cut off silently, with all that follows.
    let mut damaged = whole.clone();
    damaged[9] ^= 1;
    fs::write(&scratch.0, &damaged).unwrap();
    let error = FileSink::records(&scratch.0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().contains("at byte 0 is damaged"), "{error}");
}

#[test]
fn lines_are_continued() {
    let scratch = Scratch::new();
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(&scratch.0)
        .unwrap()
        .write_all(b"before\n")
        .unwrap();
    let (backend, settings) =
        (turbopump_tests::threads::Threads, BatchSettings::<String>::of_bytes());
    let sink = FileSink::lines(&scratch.0).unwrap();
    let store = BatchStore::new(backend, settings, SyncPolicy::Never, sink).unwrap();
    store.start().unwrap();
    store.try_store("after".into()).unwrap();
    turbopump_tests::threads::block_on(store.stop());
    assert_eq!(fs::read_to_string(&scratch.0).unwrap(), "before\nafter\n");
}
