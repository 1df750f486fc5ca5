//! A store, and what must be in it.

use std::collections::BTreeMap;

use bytes::Bytes;
use turbopump_core::random::SplitMix64;
use turbopump_core::rocketmq::wire::message::Message;
use turbopump_std::broker::store::{DiskStore, Finding, Notes, StoreError, StoreSettings};
use turbopump_tests::disk::SimulatedDisk;

/// Messages with their positions.
pub(crate) type Positioned = Vec<(u64, Vec<u8>)>;
/// Messages by position.
pub(crate) type Records = BTreeMap<u64, Vec<u8>>;

/// What must not be.
#[derive(Debug)]
#[allow(dead_code, reason = "printed")]
pub(crate) enum Violation {
    /// A message that was acknowledged is not there.
    Lost { position: u64 },
    /// A message is not what was appended, or was never appended.
    Changed { position: u64 },
    /// The store ends before what was acknowledged.
    WentBack { end: u64 },
    /// The store can't be opened.
    Unopened(String),
}

pub(crate) fn settings() -> StoreSettings {
    let mut settings = StoreSettings::default();
    settings.segment_bytes = 6_000;
    settings
}

/// A note is the whole message behind a byte: it can be compared with what was appended.
pub(crate) const NOTES: Notes = Notes { version: 1, write: write_note };

fn write_note(record: &[u8], note: &mut Vec<u8>) {
    note.push(0);
    note.extend_from_slice(record);
}

/// The message of which something was found.
pub(crate) fn record(finding: Finding<'_>) -> Vec<u8> {
    match finding {
        Finding::Record(record) => record.to_vec(),
        Finding::Note { size_bytes, note } => {
            assert_eq!(note.len(), size_bytes as usize + 1);
            note[1..].to_vec()
        }
        other => panic!("{other:?}"),
    }
}

/// Some messages for this position, as the machine hands them over.
pub(crate) fn group(random: &mut SplitMix64, position: u64) -> (Vec<Bytes>, Vec<u32>, Positioned) {
    let mut records = Vec::new();
    let mut next = position;
    for _ in 0..=random.below(8) {
        let body = vec![random.next_u64() as u8; random.below(700) as usize];
        let mut message = Message::new("Orders", &body);
        message.physical_offset = next as i64;
        message.store_timestamp_ms = random.below(1 << 40) as i64;
        let mut bytes = vec![0; message.encoded_len()];
        message.encode(&mut bytes).unwrap();
        records.push((next, bytes));
        next = position + records.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>();
    }
    let sizes = records.iter().map(|(_, bytes)| bytes.len() as u32).collect();
    // Messages lie in any number of parts.
    let bytes: Vec<u8> = records.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    let at = random.below(bytes.len() as u64) as usize;
    let bytes = Bytes::from(bytes);
    (vec![bytes.slice(..at), bytes.slice(at..)], sizes, records)
}

pub(crate) struct World {
    pub(crate) random: SplitMix64,
    pub(crate) disk: SimulatedDisk,
    /// Everything that was ever given to the store.
    pub(crate) appended: Records,
    /// What was synced.
    pub(crate) acknowledged: Records,
    /// Index files that took part in checks, and those that were not believed.
    pub(crate) indexes_believed: usize,
    pub(crate) indexes_unusable: usize,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: SplitMix64::new(seed),
            disk: SimulatedDisk::new(seed ^ 0x5eed),
            appended: Records::new(),
            acknowledged: Records::new(),
            indexes_believed: 0,
            indexes_unusable: 0,
        }
    }

    pub(crate) fn open(&self) -> DiskStore<SimulatedDisk> {
        DiskStore::open(self.disk.clone(), settings(), NOTES, &mut |_, _| {}).unwrap().0
    }

    /// Writes all index files that are missing; returns how many.
    pub(crate) fn index(&self, store: &DiskStore<SimulatedDisk>) -> usize {
        let indexer = store.indexer();
        core::iter::from_fn(|| indexer.write_next().unwrap().then_some(())).count()
    }

    pub(crate) fn acknowledge(&mut self, records: Positioned) {
        self.appended.extend(records.iter().cloned());
        self.acknowledged.extend(records);
    }

    /// So many groups, each of them synced.
    pub(crate) fn run(&mut self, groups: usize) {
        let mut store = self.open();
        for _ in 0..groups {
            let end = store.end();
            let (parts, sizes, records) = group(&mut self.random, end);
            store.append(end, &parts, &sizes).unwrap();
            store.sync().unwrap();
            self.acknowledge(records);
        }
    }

    /// Groups, some of them synced, until the disk says no.
    pub(crate) fn run_until_cut(&mut self) {
        let opened = DiskStore::open(self.disk.clone(), settings(), NOTES, &mut |_, _| {});
        let Ok((mut store, _)) = opened else {
            return;
        };
        let mut unsynced = Vec::new();
        loop {
            let end = store.end();
            let (parts, sizes, records) = group(&mut self.random, end);
            // Even if it fails, it may be there.
            self.appended.extend(records.iter().cloned());
            unsynced.extend(records);
            if store.append(end, &parts, &sizes).is_err() {
                return;
            }
            if self.random.below(3) == 0 {
                if store.sync().is_err() {
                    return;
                }
                self.acknowledged.extend(unsynced.drain(..));
            }
            if self.random.below(3) == 0 {
                // The power may go in the middle of it: the next append says so.
                let _ = store.indexer().write_next();
            }
        }
    }

    /// All messages that can be read, by whatever is known of them.
    pub(crate) fn read_all(&self) -> Records {
        let mut found = Records::new();
        let mut each = |position, finding: Finding<'_>| {
            let bytes = record(finding);
            assert!(found.insert(position, bytes).is_none(), "a message came twice");
        };
        let opened = DiskStore::open(self.disk.clone(), settings(), NOTES, &mut each);
        let (store, _) = opened.unwrap();
        let reader = store.reader();
        found.retain(|position, bytes| match reader.read(*position, bytes.len()) {
            Ok(read) => {
                assert_eq!(&read[..], &bytes[..], "something else is read than was found");
                true
            }
            Err(StoreError::Damaged { .. }) => false,
            Err(error) => panic!("{error}"),
        });
        found
    }

    pub(crate) fn check(&mut self) -> Result<(), Violation> {
        let mut found = Records::new();
        let mut each = |position, finding: Finding<'_>| {
            found.insert(position, record(finding));
        };
        let opened = DiskStore::open(self.disk.clone(), settings(), NOTES, &mut each);
        let (store, recovery) = opened.map_err(|error| Violation::Unopened(error.to_string()))?;
        self.indexes_believed += recovery.indexes;
        self.indexes_unusable += recovery.indexes_unusable;
        let reader = store.reader();
        for (position, bytes) in &found {
            let read = reader.read(*position, bytes.len());
            if self.appended.get(position) != Some(bytes) || read.ok().as_deref() != Some(bytes) {
                return Err(Violation::Changed { position: *position });
            }
        }
        for (position, bytes) in &self.acknowledged {
            if found.get(position) != Some(bytes) {
                return Err(Violation::Lost { position: *position });
            }
        }
        let last = self.acknowledged.last_key_value();
        let end = last.map_or(0, |(position, bytes)| position + bytes.len() as u64);
        if store.end() < end {
            return Err(Violation::WentBack { end: store.end() });
        }
        // What was cut off may be written again with other messages.
        self.appended.retain(|position, _| *position < store.end());
        Ok(())
    }
}
