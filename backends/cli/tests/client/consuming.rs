//! `turbopump consume`, on both runtimes: what was sent is written, and nobody gets it twice.

use serde_json::Value;

use crate::kit::{Broker, Ran, run};

/// Sends these lines to a topic with one queue.
fn filled(lines: &str) -> Broker {
    let broker = Broker::start();
    let topic = ["topic", "create", "Orders", "--queues", "1", "--namesrv", &broker.name_server];
    run(&topic, &[], "").expect(0);
    send(&broker, &[], lines);
    broker
}

fn send(broker: &Broker, more: &[&str], input: &str) {
    let sent = ["produce", "--topic", "Orders", "--namesrv", &broker.name_server];
    run(&[&sent[..], more].concat(), &[], input).expect(0);
}

fn consume(broker: &Broker, backend: &str, more: &[&str]) -> Ran {
    let all = ["consume", "--topic", "Orders", "--group", "billing", "--from", "first"];
    let whom = ["--namesrv", &broker.name_server, "--backend", backend];
    run(&[&all[..], &whom, more].concat(), &[], "")
}

fn a_group_goes_on_where_it_was(backend: &str) {
    let broker = filled("one\ntwo\nthree\nfour\nfive\n");
    let first = consume(&broker, backend, &["--count", "2"]).expect(0);
    assert_eq!(first.out, "one\ntwo\n", "{}", first.errors);
    assert!(first.errors.contains("2 messages"), "{}", first.errors);
    let lag = ["group", "lag", "billing", "--namesrv", &broker.name_server];
    let lag = run(&[&lag[..], &["--topic", "Orders", "--json"]].concat(), &[], "").expect(0).json();
    assert_eq!((&lag["lag"], &lag["queues"][0]["committed"]), (&3.into(), &2.into()), "{lag}");
    let rest = consume(&broker, backend, &["--count", "3"]).expect(0);
    assert_eq!(rest.out, "three\nfour\nfive\n");
    // There is nothing left, and fewer came than wanted.
    let none = consume(&broker, backend, &["--count", "1", "--idle-ms", "300"]).expect(1);
    assert!(none.out.is_empty());
    consume(&broker, backend, &["--idle-ms", "300"]).expect(0);
    // Once more, from the beginning.
    let reset = ["group", "reset", "billing", "--topic", "Orders", "--to", "first", "--yes"];
    let reset = [&reset[..], &["--namesrv", &broker.name_server]].concat();
    let reset = run(&reset, &[], "").expect(0);
    assert!(reset.out.starts_with("BROKER"), "{}", reset.out);
    let again = consume(&broker, backend, &["--count", "5", "--ordered"]).expect(0);
    assert_eq!(again.out, "one\ntwo\nthree\nfour\nfive\n");
    let listed = ["group", "list", "--namesrv", &broker.name_server];
    assert!(run(&listed, &[], "").expect(0).out.contains("billing"));
}

#[test]
fn a_group_goes_on_where_it_was_on_tokio() {
    a_group_goes_on_where_it_was("tokio");
}

#[test]
fn a_group_goes_on_where_it_was_on_smol() {
    a_group_goes_on_where_it_was("smol");
}

#[test]
fn messages_are_written_in_every_form() {
    let broker = filled("");
    let long = "long ".repeat(2_000);
    send(&broker, &["--tag", "new", "--key", "a", "--key", "b"], "one\n");
    send(&broker, &[], &format!("{long}\n"));
    send(&broker, &["--length-prefixed"], "\0\0\0\u{2}x\n");
    let of = |group: &str, more: &[&str]| {
        let all = ["consume", "--topic", "Orders", "--group", group, "--from", "first"];
        let whom = ["--namesrv", &broker.name_server];
        run(&[&all[..], &whom, more].concat(), &[], "").expect(0)
    };
    let lines = of("lines", &["--count", "3"]);
    assert_eq!(lines.out, format!("one\n{long}\nx\n\n"));
    let prefixed = of("prefixed", &["--count", "3", "--length-prefixed"]).out;
    assert!(prefixed.starts_with("\0\0\0\u{3}one\0\0'\u{10}long"), "{prefixed:.20}");
    assert!(prefixed.ends_with("\0\0\0\u{2}x\n"));
    let with = of("metadata", &["--count", "1", "--metadata"]).out;
    let parts: Vec<_> = with.trim_end().split('\t').collect();
    assert_eq!((parts[0], parts[1], parts[2], parts[4]), ("broker-a", "0", "0", "new"));
    assert_eq!((parts[3].len(), parts[5], parts[6]), (32, "a b", "one"));
    let json = of("json", &["--count", "3", "--json"]).out;
    let all: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&all[0]["body"], &all[0]["tag"]), (&"one".into(), &"new".into()));
    assert_eq!((&all[0]["keys"][1], &all[1]["body"]), (&"b".into(), &long.as_str().into()));
    assert_eq!((all.len(), &all[2]["offset"]), (3, &2.into()));
    // Only those with the tag.
    let tagged = of("tagged", &["--tags", "old || new", "--idle-ms", "300"]);
    assert_eq!(tagged.out, "one\n");
}

#[test]
fn what_cannot_be_meant_is_told() {
    let broker = filled("one\n");
    let refused = |arguments: &[&str], expected: &str| {
        let all = [&["consume", "--namesrv", &broker.name_server], arguments].concat();
        let ran = run(&all, &[], "").expect(2);
        assert!(ran.errors.contains(expected), "{}", ran.errors);
    };
    refused(&["--group", "g"], "--topic");
    refused(&["--topic", "Orders"], "--group");
    refused(&["--topic", "a b", "--group", "g"], "a b");
    refused(&["--topic", "Orders", "--group", ""], "group");
    let from = ["--topic", "Orders", "--group", "g", "--from", "soon"];
    refused(&from, "first, last, a time");
}
