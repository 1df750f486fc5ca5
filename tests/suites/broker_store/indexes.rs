//! Starting by index files: what is read then, and that none is believed that should not be.

use turbopump_core::random::SplitMix64;
use turbopump_std::broker::store::{Disk, DiskStore, Finding, Notes, Recovery, StoreError, verify};
use turbopump_tests::disk::{DiskFaults, SimulatedDisk};

use super::seeds;
use super::world::{NOTES, Records, World, record, settings};

fn open(disk: &SimulatedDisk, notes: Notes) -> (DiskStore<SimulatedDisk>, Recovery, Records) {
    let mut found = Records::new();
    let mut each = |position, finding: Finding<'_>| {
        found.insert(position, record(finding));
    };
    let (store, recovery) = DiskStore::open(disk.clone(), settings(), notes, &mut each).unwrap();
    (store, recovery, found)
}

/// A world whose segments all have index files; the second is how many.
fn indexed(seed: u64) -> (World, usize) {
    let mut world = World::new(seed);
    world.run(120);
    let segments = world.open().segments().len();
    assert_eq!(world.index(&world.open()), segments - 1);
    (world, segments - 1)
}

fn indexes(disk: &SimulatedDisk) -> Vec<(String, u64)> {
    let files = disk.list().unwrap();
    files.into_iter().filter(|(name, _)| name.ends_with(".index")).collect()
}

/// A note that says little, as those of brokers do.
fn write_short(record: &[u8], note: &mut Vec<u8>) {
    note.extend_from_slice(record.get(..8).unwrap_or_default());
}

#[test]
fn a_start_reads_the_last_segment_and_index_files_only() {
    let mut world = World::new(5);
    world.run(300);
    let notes = Notes { version: 2, write: write_short };
    let opened = |count: &mut u64| {
        DiskStore::open(world.disk.clone(), settings(), notes, &mut |_, _| *count += 1).unwrap()
    };
    let (mut before, mut after) = (0, 0);
    let (store, whole) = opened(&mut before);
    assert_eq!((whole.indexes, whole.indexes_missing), (0, store.segments().len() - 1));
    assert!(world.index(&store) > 50);
    let _ = world.disk.take_bytes_read();
    let (store, recovery) = opened(&mut after);
    let read = world.disk.take_bytes_read();
    assert_eq!((after, recovery.records, recovery.bytes), (before, whole.records, whole.bytes));
    assert_eq!((recovery.groups, recovery.segments), (whole.groups, whole.segments));
    assert_eq!((recovery.indexes_missing, recovery.indexes_unusable), (0, 0));
    let segments = store.segments();
    let last = segments[segments.len() - 1].bytes;
    let of_indexes: u64 = indexes(&world.disk).iter().map(|(_, len)| len).sum();
    // A header and a trailer of each segment, too.
    let others: u64 = segments.len() as u64 * (32 + 24 + 9 * 8);
    let all: u64 = segments.iter().map(|segment| segment.bytes).sum();
    println!("{read} bytes of {all} are read");
    assert!(read <= 2 * (last + 32) + of_indexes + others, "{read} bytes are read");
    assert!(of_indexes * 5 < all && read * 5 < all, "{read} of {all} bytes are read");
    // The first message of a segment that is read has it proved, the second has not.
    let size = |n: usize| world.acknowledged.values().nth(n).unwrap().len();
    store.reader().read(0, size(0)).unwrap();
    assert!(world.disk.take_bytes_read() >= segments[0].bytes);
    store.reader().read(size(0) as u64, 8).unwrap();
    assert_eq!(world.disk.take_bytes_read(), 8);
}

#[test]
fn what_is_found_is_the_same_and_so_is_what_comes_after() {
    for seed in seeds(30) {
        let (mut world, count) = indexed(seed);
        let (store, recovery, found) = open(&world.disk, NOTES);
        assert_eq!(found, world.acknowledged, "SEED={seed}");
        assert_eq!(recovery.indexes, count, "SEED={seed}: {recovery}");
        let stored: Vec<_> = store.segments();
        drop(store);
        for (name, _) in indexes(&world.disk) {
            world.disk.remove(&name).unwrap();
        }
        let (store, recovery, found) = open(&world.disk, NOTES);
        assert_eq!((found, store.segments()), (world.acknowledged.clone(), stored));
        assert_eq!((recovery.indexes, recovery.indexes_missing), (0, count));
        drop(store);
        world.run(20);
        world.check().unwrap();
    }
}

#[test]
fn index_files_that_are_damaged_are_found_out() {
    for seed in seeds(300) {
        let (world, count) = indexed(seed);
        let mut random = SplitMix64::new(seed);
        let (name, at) = world.disk.damage_any(&mut random, |n| n.ends_with(".index")).unwrap();
        let report = verify(&world.disk).unwrap();
        assert!(report.is_flawless());
        assert_eq!((report.indexes, report.indexes_unusable), (count - 1, 1), "{name} at {at}");
        let (store, recovery, found) = open(&world.disk, NOTES);
        assert_eq!(found, world.acknowledged, "SEED={seed}");
        assert_eq!((recovery.indexes, recovery.indexes_unusable), (count - 1, 1));
        // It is written anew.
        assert_eq!(world.index(&store), 1);
        drop(store);
        assert_eq!(open(&world.disk, NOTES).1.indexes, count);
        // Cut short anywhere.
        let bytes = world.disk.content(&name).unwrap();
        let short = &bytes[..random.below(bytes.len() as u64) as usize];
        world.disk.put(&name, short);
        let (_, recovery, found) = open(&world.disk, NOTES);
        assert_eq!((found, recovery.indexes_unusable), (world.acknowledged.clone(), 1));
    }
}

#[test]
fn an_index_of_something_else_is_not_believed() {
    let (world, count) = indexed(11);
    let (other, _) = indexed(12);
    let names = indexes(&world.disk);
    let (first, second) = (&names[0].0, &names[1].0);
    let unusable = |bytes: &[u8]| {
        world.disk.put(first, bytes);
        let (_, recovery, found) = open(&world.disk, NOTES);
        assert_eq!(found, world.acknowledged);
        let report = verify(&world.disk).unwrap();
        assert_eq!(report.indexes_unusable, recovery.indexes_unusable);
        recovery.indexes_unusable
    };
    let own = world.disk.content(first).unwrap();
    // Of another segment, and of the segment at the same position of another store.
    assert_eq!(unusable(&world.disk.content(second).unwrap()), 1);
    assert_eq!(unusable(&other.disk.content(first).unwrap()), 1);
    // The same length, another last trailer.
    let mut changed = own.clone();
    changed[48] ^= 1;
    let body = changed.len() - 4;
    let crc = turbopump_core::checksum::crc32(&changed[..body]).to_be_bytes();
    changed[body..].copy_from_slice(&crc);
    assert_eq!(unusable(&changed), 1);
    assert_eq!(unusable(b""), 1);
    assert_eq!(unusable(&own), 0);
    // Notes of another version say something else.
    let notes = Notes { version: 9, ..NOTES };
    assert_eq!(open(&world.disk, notes).1.indexes_unusable, count);
    // Whose segment is gone goes, and so does what was never finished.
    world.disk.put("00000000000099999999.index", &own);
    world.disk.put(&format!("{second}.new"), &own);
    drop(open(&world.disk, NOTES));
    assert_eq!(indexes(&world.disk), names);
    assert_eq!(world.disk.list().unwrap().len(), 2 * count + 1);
}

#[test]
fn what_is_damaged_behind_an_index_is_never_given_out() {
    for seed in seeds(100) {
        let (world, count) = indexed(seed);
        let before = open(&world.disk, NOTES).0.segments();
        let mut random = SplitMix64::new(seed);
        let last = before[before.len() - 1].start;
        let is_meant = |name: &str| name.len() == 20 && name != format!("{last:020}");
        let (name, at) = world.disk.damage_any(&mut random, is_meant).unwrap();
        let (store, recovery, found) = open(&world.disk, NOTES);
        let reader = store.reader();
        let mut lost = Vec::new();
        for (position, bytes) in &found {
            match reader.read(*position, bytes.len()) {
                Ok(read) => assert_eq!(&read[..], &bytes[..], "SEED={seed}: {name} at {at}"),
                Err(StoreError::Damaged { .. }) => lost.push(*position),
                Err(error) => panic!("SEED={seed}: {error}"),
            }
        }
        let damages = reader.take_damages();
        assert!(reader.take_damages().is_empty());
        let report = verify(&world.disk).unwrap();
        let bytes: u64 = damages.iter().map(|damage| damage.bytes).sum();
        assert!(!lost.is_empty() || at < 32 || !report.is_flawless(), "SEED={seed}: {at}");
        for position in lost {
            let is_in = |d: &turbopump_std::broker::store::Damage| {
                d.position <= position && position < d.end()
            };
            assert!(damages.iter().any(is_in), "SEED={seed}: {position} in {damages:?}");
        }
        // What was believed is what verifying says, too; a header or a last trailer is looked at.
        if recovery.indexes == count {
            assert_eq!(bytes, report.damaged_bytes, "SEED={seed}");
        }
    }
}

#[test]
fn a_disk_that_is_full_has_no_index_and_goes_on() {
    let mut world = World::new(3);
    world.run(50);
    let store = world.open();
    let used: u64 = world.disk.list().unwrap().iter().map(|(_, len)| len).sum();
    let full_at_bytes = Some(used as usize + 100);
    world.disk.set_faults(DiskFaults { full_at_bytes, ..DiskFaults::default() });
    let error = store.indexer().write_next().unwrap_err();
    assert!(error.to_string().contains(".index.new"), "{error}");
    world.disk.set_faults(DiskFaults::default());
    // The others are written, and this one after the next start.
    assert_eq!(world.index(&store), store.segments().len() - 2);
    drop(store);
    assert_eq!(world.index(&world.open()), 1);
    world.check().unwrap();
}
