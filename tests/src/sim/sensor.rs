//! A device in the simulation: the core's engine by itself, without the client of a host.

use alloc::collections::BTreeMap;
use core::net::SocketAddr;
use core::sync::atomic::Ordering;
use core::time::Duration;

use turbopump_core::rocketmq::engine::{EngineConfig, Event, Outgoing, SendTicket};
use turbopump_std::backend::Backend;
use turbopump_std::memory::BufferPool;

use super::backend::Sim;
use super::check::End;
use super::world::{Crew, TIMEOUT_US, TOPIC, note_end};
use crate::device::{Device, Room};

/// Numbers of messages, by what the engine calls them.
type Sent = BTreeMap<(usize, usize), SendTicket>;

/// Sends readings until nothing goes wrong any more: the odd one in order of its key, the other
/// in any, some as batches.
pub(super) async fn play(crew: &Crew, name_server: SocketAddr, actor: u64) {
    let sim = &crew.sim;
    let who = format!("device {actor}");
    let list: &'static str = String::leak(name_server.to_string());
    let name: &'static str = String::leak(who.clone());
    let mut config = EngineConfig::new(list, "devices", name);
    config.send.timeout_us = TIMEOUT_US;
    (config.route_us_max, config.heartbeat_us) = (2_000_000, 5_000_000);
    let buffers = BufferPool::standard();
    let room = Room { links: 2 + sim.below(2) as usize, ..Room::default() };
    let mut device = Device::new(sim, config, room, &buffers, sim.random_seed());
    let mut sent = Sent::new();
    while !crew.is_over.load(Ordering::SeqCst) {
        match actor {
            9 => in_order(crew, &mut device, &mut sent, &who),
            _ => in_any_order(crew, &mut device, &mut sent, &who),
        }
        while let Some(event) = device.event().await {
            note(crew, &device, &mut sent, event);
            if actor != 9 && sim.below(4) == 0 {
                in_any_order(crew, &mut device, &mut sent, &who);
            }
        }
        device.run_for(Duration::from_micros(sim.below(800_000))).await;
    }
    while let Some(event) = device.event().await {
        note(crew, &device, &mut sent, event);
    }
    device.shutdown().await;
    let in_use = buffers.stats().in_use;
    assert_eq!((in_use, sent.len()), (0, 0), "buffers and messages are left");
}

/// One at a time.
fn in_order(crew: &Crew, device: &mut Device<Sim>, sent: &mut Sent, who: &str) {
    let (number, body) = crew.begin(who, Some(who));
    let now = device.now();
    let message = Outgoing::new(TOPIC, body.as_bytes()).with_sharding_key(who);
    let ticket = device.engine.send(now, &message);
    let ticket = ticket.unwrap_or_else(|error| panic!("one is under way: {error}"));
    sent.insert((number, 1), ticket);
}

fn in_any_order(crew: &Crew, device: &mut Device<Sim>, sent: &mut Sent, who: &str) {
    let now = device.now();
    for _ in 0..1 + crew.sim.below(3) {
        let many = match crew.sim.below(3) {
            0 => 1 + crew.sim.below(4) as usize,
            _ => 1,
        };
        if device.engine.in_flight() >= Room::default().sends {
            return;
        }
        let begun: Vec<_> = (0..many).map(|_| crew.begin_short(who, None)).collect();
        let outgoing = begun.iter().map(|(_, body)| Outgoing::new(TOPIC, body.as_bytes()));
        let outgoing: Vec<_> = outgoing.collect();
        let ticket = match &outgoing[..] {
            [one] => device.engine.send(now, one),
            all => device.engine.send_batch(now, all),
        };
        let ticket = ticket.unwrap_or_else(|error| panic!("there is room: {error}"));
        // Other tasks do not run in between, so that the numbers follow each other.
        sent.insert((begun[0].0, many), ticket);
    }
}

fn note(crew: &Crew, device: &Device<Sim>, sent: &mut Sent, event: Event) {
    let found = sent.iter().find(|(_, ticket)| **ticket == event.ticket);
    let Some((&(first, many), _)) = found else { panic!("told of what was not sent") };
    sent.remove(&(first, many));
    let broker = event.outcome.ok().and_then(|placed| device.engine.broker_name(placed.broker));
    for place in 0..many {
        let mut end = End::of_device(event.outcome, broker);
        if let (End::Taken(its), Ok(placed)) = (&mut end, event.outcome) {
            its.offset += place as i64;
            let mut id = placed.message_id;
            let (counter, is_over) = id.counter.overflowing_add(place as u16);
            (id.counter, id.month_ms) = (counter, id.month_ms + i32::from(is_over));
            its.id = id.to_string();
        }
        note_end(&crew.sim, &crew.records, first + place, end);
    }
}
