//! A rule that becomes pending, fires and is resolved.

use turbopump_core::alert::{
    Engine, Limits, Operator, Rule, Selector, Slot, State, Storage, Term, Transition,
};
use turbopump_core::descriptor;
use turbopump_core::stats::{Descriptor, Kind, Samples, Source, Unit, VisitError};
use turbopump_core::time::{Instant, Now};

use crate::check::{Checks, check, must};

static USED: Descriptor =
    descriptor!(Kind::Gauge, "device_memory_bytes", "Memory in use.", Unit::BYTES);
static FAMILIES: [&Descriptor; 1] = [&USED];

struct Memory {
    used: u64,
}

impl Source for Memory {
    fn families(&self) -> &'static [&'static Descriptor] {
        &FAMILIES
    }

    fn visit(&self, samples: &mut Samples<'_>) -> Result<(), VisitError> {
        samples.gauge(&USED, &[], self.used)
    }
}

#[inline(never)]
pub(crate) fn run(checks: &mut Checks) {
    let used = Term::value(Selector::new("device_memory_bytes"));
    let rule = Rule::when("memory", used, Operator::Above, 800.0).for_us(60_000_000);
    let mut rules = [Slot::new(must(rule.build()))];
    let storage = Storage {
        rules: (&mut rules[..]).into(),
        points: (&mut [][..]).into(),
        cells: (&mut [][..]).into(),
        series: (&mut [][..]).into(),
    };
    let mut engine = must(Engine::new(storage, Limits::default()));

    let mut state_after = |seconds: u64, used: u64| {
        let now = Now::new(Instant::from_ms(seconds * 1_000), 0);
        let sources = [Memory { used }];
        let mut changes = must(engine.evaluate(now, &sources, &[]));
        changes.next().map(|Transition { to, .. }| to)
    };
    check!(checks, matches!(state_after(0, 900), Some(State::Pending { .. })));
    check!(checks, state_after(59, 900).is_none());
    check!(checks, matches!(state_after(60, 900), Some(State::Firing { .. })));
    check!(checks, state_after(61, 800).is_some());
    check!(checks, state_after(62, 800).is_none());
}
