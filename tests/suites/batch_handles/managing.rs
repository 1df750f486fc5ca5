//! Managers: by name, together, apart from each other.

use core::time::Duration;

use turbopump_core::stats::text;
use turbopump_std::backend::Backend;
use turbopump_std::batch::{BatchManager, BatchSender, BatchSettings};

use crate::ledger::{Do, Keeper};
use crate::on_every_backend;

on_every_backend![all_are_started_stopped_and_seen, managers_know_nothing_of_each_other];

fn sender<B: Backend>(backend: &B, keeper: &Keeper) -> BatchSender<u64, B> {
    BatchSender::new(backend.clone(), BatchSettings::default(), keeper.clone()).unwrap()
}

async fn all_are_started_stopped_and_seen<B: Backend>(backend: B) {
    let manager = BatchManager::new();
    let keepers = [(); 3].map(|()| Keeper::new(50, |_, _| Do::Succeed));
    let senders = keepers.each_ref().map(|keeper| sender(&backend, keeper));
    for (name, sender) in ["a", "b", "c"].iter().zip(&senders) {
        manager.register(name, sender.clone()).unwrap();
        sender.send_many(&mut (0..50)).await.unwrap();
    }
    let error = manager.register("b", senders[1].clone()).unwrap_err();
    assert!(error.to_string().contains("\"b\" is registered already"), "{error}");
    manager.start_all().unwrap();
    let reports = manager.stop_all().await;
    assert_eq!(reports.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(reports.iter().all(|(_, report)| report.in_time && report.abandoned == 0));
    keepers.iter().for_each(Keeper::assert_each_once);
    let mut page = String::new();
    text::write_prometheus(&[manager.stats()], &[], &mut page).unwrap();
    for name in ["a", "b", "c"] {
        let line = format!("turbopump_batch_items_succeeded_total{{batch=\"{name}\"}} 50\n");
        assert!(page.contains(&line), "{page}");
    }
}

async fn managers_know_nothing_of_each_other<B: Backend>(backend: B) {
    let keeper = Keeper::new(2, |_, _| Do::Succeed);
    let (ours, theirs) = (sender(&backend, &keeper), sender(&backend, &keeper));
    let (first, second) = (BatchManager::new(), BatchManager::new());
    first.register("same", ours.clone()).unwrap();
    second.register("same", theirs.clone()).unwrap();
    first.start_all().unwrap();
    second.start_all().unwrap();
    first.stop_all_within(Duration::from_secs(60)).await;
    assert!(ours.try_send(0).is_err());
    theirs.try_send(0).unwrap();
    let removed = second.remove("same").unwrap();
    assert!(second.get("same").is_none() && second.stop_all().await.is_empty());
    theirs.try_send(1).unwrap();
    assert_eq!(removed.stop(None).await.abandoned, 0);
    keeper.assert_each_once();
}
