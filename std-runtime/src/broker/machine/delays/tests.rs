use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::broker::BrokerConfig;
use crate::broker::machine::SessionId;
use crate::broker::machine::kit::Kit;

fn got(kit: &mut Kit, id: SessionId, offset: u64) -> Vec<String> {
    let got = kit.pull(id, "g", "Orders", 0, offset);
    if got.code == 0 { got.bodies() } else { Vec::new() }
}

#[test]
fn every_level_comes_at_its_time() {
    for with_disk in [false, true] {
        let mut kit = Kit::with(BrokerConfig::default(), with_disk);
        let mut client = kit.connect();
        let levels: Vec<u64> = BrokerConfig::default()
            .delay_levels
            .iter()
            .map(|delay| delay.as_millis() as u64)
            .collect();
        assert_eq!(levels.len(), 18);
        // The longest first; a level beyond the last is as the last.
        for level in (1..=18).rev().chain([99]) {
            let name = level.to_string();
            assert_eq!(kit.produce(client, "Orders", 0, &name, &[("DELAY", &name)]).code, 0);
        }
        let start = kit.now.unix_ms;
        for (n, delay_ms) in levels.iter().enumerate() {
            kit.advance_ms(start + delay_ms - kit.now.unix_ms - 1);
            assert_eq!(got(&mut kit, client, n as u64).len(), 0, "level {}", n + 1);
            kit.advance_ms(1);
            let expected = if n == 17 { 2 } else { 1 };
            let bodies = got(&mut kit, client, n as u64);
            assert_eq!((bodies.len(), &*bodies[0]), (expected, &*(n + 1).to_string()));
            if with_disk && n == 8 {
                // What was delivered is not delivered again, and what was not still is.
                kit.restart();
                client = kit.connect();
            }
        }
        assert_eq!(kit.broker.counts().messages_delayed + if with_disk { 9 } else { 0 }, 19);
    }
}

#[test]
fn many_messages_of_a_level_keep_their_order() {
    let mut kit = Kit::new();
    let client = kit.connect();
    for n in 0..1_000 {
        kit.produce(client, "Orders", 0, &n.to_string(), &[("DELAY", "1")]);
        if n % 100 == 99 {
            kit.advance_ms(10);
        }
    }
    kit.advance_ms(1_000);
    let mut bodies = Vec::new();
    loop {
        match got(&mut kit, client, bodies.len() as u64) {
            more if more.is_empty() => break,
            more => bodies.extend(more),
        }
    }
    let expected: Vec<String> = (0..1_000).map(|n: u32| n.to_string()).collect();
    assert_eq!(bodies, expected);
}

#[test]
fn what_was_delivered_and_not_stored_is_delivered_again() {
    let mut kit = Kit::with(BrokerConfig::default(), true);
    let client = kit.connect();
    kit.produce(client, "Orders", 0, "a", &[("DELAY", "1")]);
    kit.advance_ms(1_000);
    kit.produce(client, "Orders", 0, "b", &[("DELAY", "1")]);
    assert_eq!(got(&mut kit, client, 0), ["a"]);
    kit.is_slow = true;
    kit.advance_ms(1_000);
    kit.broker.handle_store_failed(kit.now, "the disk is full", false);
    kit.is_slow = false;
    kit.advance_ms(1_000);
    assert_eq!(got(&mut kit, client, 1), ["b"]);
    kit.restart();
    let client = kit.connect();
    kit.advance_ms(5_000);
    assert_eq!(got(&mut kit, client, 0), ["a", "b"]);
}
