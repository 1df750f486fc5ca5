//! `turbopump topic`, on both runtimes.

use crate::kit::{Broker, Ran, run};

fn topic(broker: &Broker, backend: &str, arguments: &[&str]) -> Ran {
    let mut all = vec!["topic"];
    all.extend(arguments);
    all.extend(["--namesrv", &broker.name_server, "--backend", backend]);
    run(&all, &[], "")
}

fn topics_live_and_go(backend: &str) {
    let broker = Broker::start();
    let empty = topic(&broker, backend, &["list"]).expect(0);
    assert!(empty.out.is_empty() && empty.errors.contains("--all"), "{}", empty.errors);
    let created = ["create", "Orders", "--queues", "3", "--write-queues", "2"];
    let created = topic(&broker, backend, &created).expect(0);
    assert_eq!(created.out, "created topic Orders at broker-a\n");
    let sent = ["produce", "--topic", "Orders", "--namesrv", &broker.name_server, "--batch", "1"];
    run(&sent, &[], "one\ntwo\nthree\nfour\n").expect(0);
    assert_eq!(topic(&broker, backend, &["list"]).expect(0).out, "Orders\n");
    let all = topic(&broker, backend, &["list", "--all", "--json"]).expect(0).json();
    let kind_of = |name: &str| {
        let topics = all["topics"].as_array().unwrap();
        let found = topics.iter().find(|topic| topic["topic"] == name);
        found.map(|topic| topic["kind"].as_str().unwrap().to_owned())
    };
    assert_eq!(kind_of("Orders").as_deref(), Some("user"));
    assert_eq!(kind_of("TBW102").as_deref(), Some("system"));

    let shown = topic(&broker, backend, &["describe", "Orders"]).expect(0);
    let lines: Vec<&str> = shown.out.lines().collect();
    assert_eq!(lines[0], "topic Orders: 1 broker, 3 queues, 4 messages kept");
    let words = |line: usize| lines[line].split_whitespace().collect::<Vec<_>>();
    assert_eq!(words(2), ["BROKER", "CLUSTER", "ADDRESS", "PERM", "READ", "WRITE"]);
    let at = words(3);
    assert_eq!(
        [at[0], at[1], at[3], at[4], at[5]],
        ["broker-a", "DefaultCluster", "RW-", "3", "2"]
    );
    let last = words(8);
    assert_eq!(last, ["broker-a", "never", "2", "0", "0", "0"]);
    let described = topic(&broker, backend, &["describe", "Orders", "--json"]).expect(0).json();
    let queues = described["brokers"][0]["queues"].as_array().unwrap();
    let held: Vec<_> = queues.iter().map(|queue| queue["max_offset"].as_i64().unwrap()).collect();
    assert_eq!(held, [2, 2, 0]);
    assert!(queues[0]["updated_unix_ms"].as_i64() > Some(1_700_000_000_000));
    assert!(queues[2]["updated_unix_ms"].is_null());

    topic(&broker, backend, &["create", "InOrder", "--queues", "2", "--order"]).expect(0);
    let shown = topic(&broker, backend, &["describe", "InOrder"]).expect(0);
    assert_eq!(shown.out.lines().nth(1), Some("order broker-a:2"));
    let described = topic(&broker, backend, &["describe", "InOrder", "--json"]).expect(0).json();
    assert_eq!(described["order"], "broker-a:2");
    topic(&broker, backend, &["delete", "InOrder", "--yes"]).expect(0);
    let refused = topic(&broker, backend, &["delete", "Orders"]).expect(2);
    assert!(refused.errors.contains("say --yes"), "{}", refused.errors);
    assert_eq!(topic(&broker, backend, &["list"]).expect(0).out, "Orders\n");
    let deleted = topic(&broker, backend, &["delete", "Orders", "--yes", "--json"]).expect(0);
    assert_eq!(deleted.json()["deleted_at"][0], "broker-a");
    assert!(topic(&broker, backend, &["list"]).expect(0).out.is_empty());
}

#[test]
fn topics_live_and_go_on_tokio() {
    topics_live_and_go("tokio");
}

#[test]
fn topics_live_and_go_on_smol() {
    topics_live_and_go("smol");
}

#[test]
fn what_cannot_be_is_said_with_the_next_step() {
    let broker = Broker::start();
    for backend in ["tokio", "smol"] {
        for (arguments, code, expected) in [
            (&["create", "a b"][..], 2, "may have letters, digits"),
            (&["create", "TBW102"], 2, "choose another one"),
            (&["create", "Orders", "--queues", "0"], 2, "1 to 65536 queues are allowed"),
            (&["create", "Orders", "--perm", "x"], 2, "write r, w or rw"),
            (&["create", "Orders", "--cluster", "Elsewhere"], 1, "there is DefaultCluster"),
            (&["describe", "Missing"], 1, "list the topics to see which there are"),
            (&["delete", "Missing", "--yes"], 1, "list the topics to see which there are"),
        ] {
            let ran = topic(&broker, backend, arguments).expect(code);
            assert!(ran.errors.contains(expected), "{arguments:?}: {}", ran.errors);
            assert!(ran.out.is_empty(), "{arguments:?}: {}", ran.out);
        }
        let missing = topic(&broker, backend, &["describe", "Missing", "--json"]).expect(1);
        assert!(missing.json()["error"].as_str().is_some_and(|text| text.contains("\"Missing\"")));
        let nobody = ["topic", "list", "--namesrv", "127.0.0.1:1", "--timeout-ms", "500"];
        let ran = run(&[&nobody[..], &["--backend", backend]].concat(), &[], "").expect(2);
        assert!(ran.errors.contains("127.0.0.1:1"), "{}", ran.errors);
        assert!(ran.errors.contains("is one running there"), "{}", ran.errors);
    }
}
