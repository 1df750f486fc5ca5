//! Disks that are slow, and ends that come early.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use turbopump::runtime::backend::Backend;
use turbopump::runtime::broker::{
    BrokerConfig, EmbeddedBroker, Fault, FaultAction, FlushPolicy, StoreConfig,
};

use crate::beside;
use crate::client::Client;

turbopump_tests::on_every_runtime![
    what_was_taken_is_answered_before_it_ends,
    the_slower_the_disk_the_larger_the_groups,
    a_broker_that_is_killed_can_be_started_again_at_once,
];

/// A broker's settings that sync each group; and its folder, which is the caller's to remove.
fn on_disk(name: &str, unique: *const ()) -> (BrokerConfig, PathBuf) {
    let name = format!("turbopump-{name}-{}-{unique:p}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    let mut store = StoreConfig::new(&folder);
    store.flush = FlushPolicy::Always;
    let mut config = BrokerConfig::default();
    config.store = Some(store);
    (config, folder)
}

/// Sends so many messages, of which nobody has read the answers yet.
async fn say<B: Backend>(backend: &B, broker: &EmbeddedBroker<B>, count: u64) -> Client {
    let (address, before) = (broker.address(), broker.stats().counts.frames);
    let client = beside(backend, move || {
        let mut client = Client::connect(address);
        (0..count).for_each(|_| client.say_produce("Orders", 0, &[7; 1_000]));
        client
    })
    .await;
    while broker.stats().counts.frames < before + count {
        backend.sleep_until(Instant::now() + Duration::from_millis(1)).await;
    }
    client
}

async fn what_was_taken_is_answered_before_it_ends<B: Backend>(backend: B) {
    let (config, folder) = on_disk("ending", (&raw const backend).cast());
    for round in 0..5 {
        let broker = EmbeddedBroker::start(backend.clone(), config.clone()).await.unwrap();
        let mut client = say(&backend, &broker, 200).await;
        broker.shutdown().await;
        beside(&backend, move || {
            let answers: Vec<_> = core::iter::from_fn(|| client.next_answer()).collect();
            assert_eq!(answers.len(), 200);
            let offsets = answers.iter().map(|answer| answer.number("queueOffset"));
            assert!(offsets.eq(200 * round..200 * (round + 1)));
        })
        .await;
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

async fn the_slower_the_disk_the_larger_the_groups<B: Backend>(backend: B) {
    let (config, folder) = on_disk("slow", (&raw const backend).cast());
    let broker = EmbeddedBroker::start(backend.clone(), config).await.unwrap();
    let delay = Duration::from_millis(50);
    broker.slow_down_disk(delay);
    let begin = Instant::now();
    let mut client = say(&backend, &broker, 200).await;
    let codes = beside(&backend, move || {
        [(); 200].map(|()| client.next_answer().expect("the broker is there").code)
    });
    assert_eq!(codes.await, [0; 200]);
    let time = begin.elapsed();
    // At least one group, and far less than one for each message, however slow the machine is.
    assert!(time >= delay && time < 200 * delay, "{time:?}");
    broker.clear_faults();
    let mut client = say(&backend, &broker, 1).await;
    assert_eq!(beside(&backend, move || client.next_answer().map(|got| got.code)).await, Some(0));
    broker.shutdown().await;
    std::fs::remove_dir_all(&folder).unwrap();
}

async fn a_broker_that_is_killed_can_be_started_again_at_once<B: Backend>(backend: B) {
    let (mut config, folder) = on_disk("killed", (&raw const backend).cast());
    let mut expected = 0;
    for round in 0..6 {
        let broker = EmbeddedBroker::start(backend.clone(), config.clone()).await.unwrap();
        // The same place each time.
        config.listen = broker.address();
        let mut client = say(&backend, &broker, 5).await;
        let mut client = beside(&backend, move || {
            let offsets = [(); 5].map(|()| client.next_answer().unwrap().number("queueOffset"));
            assert_eq!(offsets, [0, 1, 2, 3, 4].map(|n| n + expected));
            client
        })
        .await;
        expected += 5;
        if round % 2 == 0 {
            // In the middle of a request.
            broker.inject(Fault::new(FaultAction::Kill).of_code(310));
            client.say_produce("Orders", 0, b"lost");
        } else {
            // What waits for the disk is lost.
            broker.slow_down_disk(Duration::from_secs(3_600));
            client.say_produce("Orders", 0, b"lost");
        }
        if round % 2 == 0 {
            assert!(beside(&backend, move || client.next_answer().is_none()).await);
            broker.kill().await;
        } else {
            broker.kill().await;
            assert!(beside(&backend, move || client.next_answer().is_none()).await);
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
