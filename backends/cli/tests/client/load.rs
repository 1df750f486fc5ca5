//! `turbopump load`: what it counts is what the broker has, and nothing is taken from the heap for
//! a message.

use crate::kit::{Broker, run};

/// Of this many messages, so that what is allocated once is little for each.
const MESSAGES: u32 = 200_000;

fn load(way: &str, backend: &str, allocations_max: f64) {
    let broker = Broker::start();
    let topic = ["topic", "create", "Load", "--namesrv", &broker.name_server];
    run(&topic, &[], "").expect(0);
    let messages = MESSAGES.to_string();
    let ran = run(
        &[
            "load",
            "--namesrv",
            &broker.name_server,
            "--topic",
            "Load",
            "--way",
            way,
            "--messages",
            &messages,
            "--warm-up",
            "20000",
            "--backend",
            backend,
            "--json",
        ],
        &[],
        "",
    );
    let summary = ran.expect(0).json();
    assert_eq!((&summary["sent"], &summary["failed"]), (&MESSAGES.into(), &0.into()));
    let allocations = summary["allocations_per_message"].as_f64().unwrap();
    assert!(allocations <= allocations_max, "{allocations} allocations for each message");
    let described = ["topic", "describe", "Load", "--namesrv", &broker.name_server];
    let described = run(&described, &[], "").expect(0);
    // With the first one and the warm-up.
    let kept = format!("{} messages kept", MESSAGES + 20_001);
    assert!(described.out.contains(&kept), "{}", described.out);
}

#[test]
fn nothing_is_allocated_for_a_message_on_tokio() {
    for way in ["awaited", "batch", "automatic"] {
        load(way, "tokio", 0.05);
    }
}

/// Its executor takes a block for each 31 wakes.
#[test]
fn nothing_but_the_executors_own_is_allocated_on_smol() {
    for way in ["awaited", "batch", "automatic"] {
        load(way, "smol", 0.2);
    }
}
