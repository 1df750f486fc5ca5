//! `turbopump group`, on both runtimes.

use crate::kit::{Broker, Ran, run};

fn group(broker: &Broker, backend: &str, arguments: &[&str]) -> Ran {
    let mut all = vec!["group"];
    all.extend(arguments);
    all.extend(["--namesrv", &broker.name_server, "--backend", backend]);
    run(&all, &[], "")
}

/// What a group that is there looks like is shown where there are consumers.
fn groups_that_are_not_there(backend: &str) {
    let broker = Broker::start();
    let none = group(&broker, backend, &["list"]).expect(0);
    assert!(none.out.is_empty() && none.errors.contains("--all"), "{}", none.errors);
    let none = group(&broker, backend, &["list", "--json"]).expect(0).json();
    assert_eq!(none["groups"].as_array().map(Vec::len), Some(0));
    let unknown = group(&broker, backend, &["lag", "billing"]).expect(1);
    assert!(unknown.errors.contains("no broker knows the group"), "{}", unknown.errors);
    let unknown = group(&broker, backend, &["lag", "billing", "--json"]).expect(1).json();
    assert!(unknown["error"].as_str().unwrap().contains("billing"));
    group(&broker, backend, &["lag", "a b"]).expect(2);
    let reset = ["reset", "billing", "--topic", "Orders", "--to", "first"];
    let refused = group(&broker, backend, &reset).expect(2);
    assert!(refused.errors.contains("say --yes"), "{}", refused.errors);
    let reset = [&reset[..], &["--yes"]].concat();
    let unknown = group(&broker, backend, &reset).expect(1);
    assert!(unknown.errors.contains("no name server knows it"), "{}", unknown.errors);
    let wrong = ["reset", "billing", "--topic", "Orders", "--to", "yesterday", "--yes"];
    let wrong = group(&broker, backend, &wrong).expect(2);
    assert!(wrong.errors.contains("first, last, a time"), "{}", wrong.errors);
}

#[test]
fn groups_that_are_not_there_on_tokio() {
    groups_that_are_not_there("tokio");
}

#[test]
fn groups_that_are_not_there_on_smol() {
    groups_that_are_not_there("smol");
}
