use super::{LabelKey, LabelSlot, LabelTable, OTHER};
use crate::random::SplitMix64;
use crate::stats::Counter;
use crate::time::Instant;

const EXPIRY_US: u64 = 100;

fn slots<const N: usize>() -> [LabelSlot<Counter, 8>; N] {
    core::array::from_fn(|_| LabelSlot::new())
}

fn at(us: u64) -> Instant {
    Instant::from_us(us)
}

#[test]
fn a_key_is_good_until_its_value_expires() {
    let mut slots = slots::<1>();
    let mut table = LabelTable::new(&mut slots[..], EXPIRY_US);
    let first = table.key(at(0), "a");
    assert_eq!(LabelKey::from_bits(first.to_bits()), first);
    table.get_mut(at(99), first).unwrap().add(5);
    let turned_away = table.key(at(100), "b");
    assert!(turned_away.is_other() && !first.is_other());
    table.get_mut(at(198), turned_away).unwrap().increment();
    assert!(table.iter(at(198)).map(|(value, _)| value).eq(["a", OTHER]));
    assert!(table.iter(at(199)).map(|(value, _)| value).eq([OTHER]), "swept out or not");
    assert!(table.get_mut(at(199), first).is_none());
    assert_eq!((table.expire(at(199)), table.expire(at(199))), (1, 0));
    assert!(table.get_mut(at(199), turned_away).is_none(), "there is room now");
    let second = table.key(at(200), "b");
    assert!(!second.is_other());
    table.get_mut(at(200), second).unwrap().add(7);
    assert!(table.get_mut(at(200), first).is_none(), "the slot is another value's");
    let seen = table.iter(at(200)).map(|(value, count)| (value, count.get()));
    assert!(seen.eq([("b", 7), (OTHER, 1)]));
}

#[test]
fn long_values_and_the_name_of_the_others_are_counted_under_it() {
    let mut slots = slots::<3>();
    let mut table = LabelTable::new(&mut slots[..], EXPIRY_US);
    assert_eq!(table.iter(at(0)).count(), 0);
    table.of(at(0), OTHER).add(1);
    let named = table.key(at(0), OTHER);
    assert_eq!(table.dropped().get(), 0, "that was its name");
    table.of(at(0), "12345678").add(10);
    table.of(at(0), "123456789").add(100);
    table.of(at(0), "").add(1_000);
    assert_eq!(table.dropped().get(), 1);
    let seen = table.iter(at(0)).map(|(value, count)| (value, count.get()));
    assert!(seen.eq([("12345678", 10), ("", 1_000), (OTHER, 101)]));
    table.expire(at(500));
    assert_eq!(table.get_mut(at(500), named).map(|count| count.get()), Some(101));
}

#[test]
fn without_a_slot_all_is_other() {
    let mut table = LabelTable::<Counter, 8>::new(&mut [][..], EXPIRY_US);
    table.of(at(0), "a").add(3);
    assert_eq!((table.other().get(), table.dropped().get(), table.values_max()), (3, 1, 0));
}

/// What a table is to do, said as simply as possible.
struct Model<const N: usize> {
    values: [Option<(usize, u64, Instant)>; N],
    other: u64,
    dropped: u64,
}

impl<const N: usize> Model<N> {
    fn expire(&mut self, now: Instant) {
        for value in &mut self.values {
            *value = value.filter(|(_, _, used_at)| now.us_since(*used_at) < EXPIRY_US);
        }
    }

    fn count(&mut self, now: Instant, name: usize, is_looked_up: bool) {
        self.expire(now);
        let known = |value: &&mut Option<_>| matches!(value, Some((known, _, _)) if *known == name);
        if let Some(Some((_, count, used_at))) = self.values.iter_mut().find(known) {
            (*count, *used_at) = (*count + 1, now);
        } else if let Some(free) = self.values.iter_mut().find(|value| value.is_none()) {
            *free = Some((name, 1, now));
        } else {
            self.other += 1;
            self.dropped += u64::from(is_looked_up);
        }
    }
}

/// Random lives under a clock that is moved, some of them with keys that are kept: no count is lost
/// or mixed into another value's.
#[test]
fn a_table_does_what_its_model_does() {
    const NAMES: [&str; 6] = ["a", "b", "c", "dd", "ddd", "eeeeeeee"];
    for seed in 0..200 {
        let mut random = SplitMix64::new(seed);
        let mut slots = slots::<3>();
        let mut table = LabelTable::new(&mut slots[..], EXPIRY_US);
        let mut model = Model::<3> { values: [None; 3], other: 0, dropped: 0 };
        let mut keys = [None; NAMES.len()];
        let mut now = Instant::ZERO;
        for step in 0..300 {
            now = now.plus_us(random.below(40));
            let name = random.below(NAMES.len() as u64) as usize;
            // A key of a value without room is good until something was swept out, and the model
            // sweeps each time. The other keys must do without, as often as not.
            if random.below(2) == 0 || keys[name].is_some_and(LabelKey::is_other) {
                table.expire(now);
            }
            let kept = keys[name].filter(|_| random.below(2) == 0);
            let found = kept.and_then(|key| table.get_mut(now, key)).map(Counter::increment);
            if found.is_none() {
                let key = table.key(now, NAMES[name]);
                table.get_mut(now, key).expect("it is fresh").increment();
                keys[name] = Some(key);
            }
            model.count(now, name, found.is_none());
            let mut seen = [0; NAMES.len()];
            let mut other = 0;
            for (value, count) in table.iter(now) {
                match NAMES.iter().position(|name| *name == value) {
                    Some(name) => seen[name] = count.get(),
                    None => other = count.get(),
                }
            }
            let mut expected = [0; NAMES.len()];
            for &(name, count, _) in model.values.iter().flatten() {
                expected[name] = count;
            }
            assert_eq!((seen, other), (expected, model.other), "seed {seed}, step {step}");
            assert_eq!(table.dropped().get(), model.dropped, "seed {seed}, step {step}");
        }
    }
}
