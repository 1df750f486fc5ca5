//! The broker's store on a disk whose power is cut, that is full, and whose bytes change.
//!
//! Each test that draws random numbers prints its seed where it fails; `SEED=n` runs that one only.

extern crate alloc;

mod indexes;
mod timers;
mod world;

use std::fs;

use turbopump_core::random::SplitMix64;
use turbopump_std::broker::store::{
    Disk, DiskStore, Finding, Folder, StoreError, StoreSettings, trailer_bytes, verify,
};
use turbopump_tests::disk::DiskFaults;

use world::{NOTES, Violation, World, group, record, settings};

/// Power cuts in all.
const CUTS: u64 = 10_000;
/// Cuts of one disk, one after the other.
const CUTS_OF_ONE: u64 = 10;

fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let one = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let all = one.map_or(0..count, |seed: u64| seed..seed + 1);
    all.inspect(|_| ())
}

/// Runs a store into one power cut after the other.
fn cut_again_and_again(seed: u64, lies: bool) -> Result<World, Violation> {
    let mut world = World::new(seed);
    for _ in 0..CUTS_OF_ONE {
        let cut_after = Some(world.random.below(60));
        world.disk.set_faults(DiskFaults {
            cut_after,
            lies_about_sync: lies,
            ..DiskFaults::default()
        });
        world.run_until_cut();
        world.disk.restart();
        // The power may go again while it recovers.
        if world.random.below(3) == 0 {
            let cut_after = Some(world.random.below(3));
            world.disk.set_faults(DiskFaults { cut_after, ..DiskFaults::default() });
            let _ = DiskStore::open(world.disk.clone(), settings(), NOTES, &mut |_, _| {});
            world.disk.restart();
        }
        world.check()?;
    }
    Ok(world)
}

#[test]
fn nothing_that_was_acknowledged_is_lost_when_the_power_goes() {
    let (mut believed, mut unusable, mut runs) = (0, 0, 0);
    for seed in seeds(CUTS / CUTS_OF_ONE) {
        match cut_again_and_again(seed, false) {
            Ok(world) => {
                believed += world.indexes_believed;
                unusable += world.indexes_unusable;
                runs += 1;
            }
            Err(violation) => panic!("SEED={seed}: {violation:?}"),
        }
    }
    println!("{believed} index files were believed");
    assert!(believed >= 10 * runs, "only {believed} index files have taken part");
    assert_eq!(unusable, 0, "a cut leaves index files whole or missing");
}

#[test]
fn a_sync_that_does_nothing_is_found_out() {
    let found = (0..50).filter(|seed| cut_again_and_again(*seed, true).is_err()).count();
    assert!(found > 40, "only {found} of 50 runs have shown it");
}

#[test]
fn what_is_damaged_is_lost_and_nothing_else() {
    for seed in seeds(300) {
        let mut world = World::new(seed);
        world.run(200);
        if seed % 2 == 0 {
            assert!(world.index(&world.open()) > 2);
        }
        let before = world.acknowledged.len();
        let mut random = SplitMix64::new(seed);
        let hits = 1 + random.below(3);
        for _ in 0..hits {
            world.disk.damage(&mut random);
        }
        let found = world.read_all();
        let report = verify(&world.disk).unwrap();
        for (position, bytes) in &found {
            let known = world.appended.get(position);
            assert_eq!(known, Some(bytes), "SEED={seed}: a message was changed");
        }
        let lost = before - found.len();
        assert!(lost as u64 <= 40 * hits, "SEED={seed}: {lost} of {before} messages are lost");
        let said = report.damaged_bytes + report.torn_bytes;
        assert!(
            lost == 0 || said > 0,
            "SEED={seed}: {lost} messages are lost, and nothing is said"
        );
        let again = world.read_all();
        assert_eq!(again, found, "SEED={seed}: the second look shows something else");
    }
}

#[test]
fn a_full_disk_is_said_and_leaves_nothing_torn() {
    for seed in seeds(200) {
        let mut world = World::new(seed);
        world.run(20);
        let full = Some(4_000 + world.random.below(40_000) as usize);
        world.disk.set_faults(DiskFaults { full_at_bytes: full, ..DiskFaults::default() });
        let mut store = world.open();
        let mut refused = 0;
        for _ in 0..100 {
            let end = store.end();
            let (parts, sizes, records) = group(&mut world.random, end);
            match store.append(end, &parts, &sizes) {
                Ok(next) => {
                    assert_eq!(next, store.end());
                    store.sync().unwrap();
                    world.acknowledge(records);
                }
                Err(error) => {
                    assert!(!error.is_final(), "{error}");
                    assert_eq!(store.end(), end);
                    refused += 1;
                    // What is there can be read all the same.
                    if let Some((position, bytes)) = world.acknowledged.last_key_value() {
                        let read = store.reader().read(*position, bytes.len()).unwrap();
                        assert_eq!(&read[..], &bytes[..]);
                    }
                }
            }
        }
        assert!(refused > 0, "SEED={seed}");
        world.disk.set_faults(DiskFaults::default());
        let end = store.end();
        let (parts, sizes, records) = group(&mut world.random, end);
        store.append(end, &parts, &sizes).unwrap();
        store.sync().unwrap();
        world.acknowledge(records);
        drop(store);
        world.check().unwrap_or_else(|violation| panic!("SEED={seed}: {violation:?}"));
    }
}

#[test]
fn after_a_failed_sync_nothing_is_taken() {
    let mut world = World::new(1);
    world.run(5);
    let mut store = world.open();
    world.disk.set_faults(DiskFaults { fails_to_sync: true, ..DiskFaults::default() });
    let (parts, sizes, _) = group(&mut world.random, store.end());
    let end = store.append(store.end(), &parts, &sizes).unwrap();
    let error = store.sync().unwrap_err();
    assert!(error.is_final(), "{error}");
    let (parts, sizes, _) = group(&mut world.random, end);
    assert!(matches!(store.append(end, &parts, &sizes), Err(StoreError::Closed)));
}

#[test]
fn old_segments_go_and_positions_stay() {
    for seed in seeds(100) {
        let mut world = World::new(seed);
        world.run(200);
        let mut store = world.open();
        let segments = store.segments();
        assert_eq!(world.index(&store), segments.len() - 1, "SEED={seed}: {segments:?}");
        assert!(segments.len() > 2, "SEED={seed}: {segments:?}");
        let keep = segments[segments.len() / 2].start;
        assert_eq!(store.remove_before(keep).unwrap(), keep);
        assert!(store.reader().read(segments[0].start, 1).is_err());
        drop(store);
        world.acknowledged.retain(|position, _| *position >= keep);
        world.check().unwrap_or_else(|violation| panic!("SEED={seed}: {violation:?}"));
        assert_eq!(world.open().start(), keep);
        // Index files have gone with their segments.
        let files = world.disk.list().unwrap();
        let old = files.iter().find(|(name, _)| **name < *format!("{keep:020}"));
        assert_eq!(old, None, "SEED={seed}");
    }
}

#[test]
fn a_real_folder_does_as_well() {
    let folder = std::env::temp_dir().join(format!("turbopump-store-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    let mut random = SplitMix64::new(7);
    let mut known = Vec::new();
    let mut settings = StoreSettings::default();
    settings.segment_bytes = 20_000;
    for round in 0..10 {
        let mut found = Vec::new();
        let disk = Folder::open(&folder).unwrap();
        let mut each = |position, finding: Finding<'_>| found.push((position, record(finding)));
        let (mut store, recovery) = DiskStore::open(disk, settings, NOTES, &mut each).unwrap();
        assert!(recovery.is_flawless(), "{recovery}");
        assert_eq!(found, known, "round {round}");
        let second = Folder::open(&folder).map(|_| ()).unwrap_err();
        assert_eq!(second.kind(), std::io::ErrorKind::WouldBlock, "{second}");
        for _ in 0..20 {
            let end = store.end();
            let (parts, sizes, records) = group(&mut random, end);
            let next = store.append(end, &parts, &sizes).unwrap();
            let bytes: u32 = sizes.iter().sum();
            assert_eq!(next, end + u64::from(bytes) + trailer_bytes(sizes.len()) as u64);
            for (position, bytes) in records {
                let read = store.reader().read(position, bytes.len()).unwrap();
                assert_eq!(&read[..], &bytes[..]);
                known.push((position, bytes));
            }
        }
        store.sync().unwrap();
        while store.indexer().write_next().unwrap() {}
    }
    assert!(verify(&Folder::open(&folder).unwrap()).unwrap().segments > 5);
    // A later program has written this.
    let name = folder.join("00000000000000000000");
    let mut bytes = fs::read(&name).unwrap();
    bytes[8..12].copy_from_slice(&9_u32.to_be_bytes());
    let crc = turbopump_core::checksum::crc32(&bytes[..24]).to_be_bytes();
    bytes[24..28].copy_from_slice(&crc);
    fs::write(&name, &bytes).unwrap();
    let disk = Folder::open(&folder).unwrap();
    let error = DiskStore::open(disk, settings, NOTES, &mut |_, _| {}).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("version 9"), "{error}");
    fs::remove_dir_all(&folder).unwrap();
}
