//! Finds the best batch size by itself.

/// What the best batch size is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Goal {
    /// The most throughput per latency: items per time, divided by the time a batch takes.
    ///
    /// Kleinrock's measure of power ("On flow control in computer networks", 1978). For a batch
    /// that takes `a + b * n` it is largest at `n = a / b`: as much time for what each batch costs
    /// as for what its items cost.
    Balance,
    /// The most items per time, as long as a batch takes no longer than this.
    Throughput {
        /// Longest time for a batch, in microseconds.
        latency_us_max: u64,
    },
}

/// Between which limits a [`SizeController`] looks for the best batch size, and what is best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveSize {
    /// Fewest items of a batch. 1.
    pub items_min: u32,
    /// Most items of a batch. 500.
    pub items_max: u32,
    /// What is best. [`Goal::Balance`].
    pub goal: Goal,
}

impl AdaptiveSize {
    /// Between 1 and 500 items, balanced.
    pub const DEFAULT: Self = Self { items_min: 1, items_max: 500, goal: Goal::Balance };
}

impl Default for AdaptiveSize {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The smaller and the larger of the sizes it tries lie this far from the middle, at most and at
/// least, as a share of it.
const STEP_MAX: f64 = 0.35;
const STEP_MIN: f64 = 0.08;
/// How far it looks where it sees no difference.
const STEP_WIDE: f64 = 0.25;
/// Batches of the middle size between two trials of the others, once it has come close.
const REST_MAX: u32 = 6;
/// Observations of each size before two are compared,
const OBSERVED_MIN: f64 = 8.0;
/// and how many are remembered: beyond that, old ones fade.
const OBSERVED_MAX: f64 = 64.0;
/// A difference counts where it is this many standard errors, squared.
const SIGNIFICANT: f64 = 5.0;
/// Moves in the same direction before the step grows again.
const RUN_TO_GROW: u32 = 3;
/// A time per item that changes by more than this share means that the world has changed.
const SHIFT: f64 = 0.4;

/// Finds the batch size at which a [`Goal`] is met best, from how long batches take.
///
/// It tries two sizes, a little below and a little above what it believes best, and moves towards
/// the better one when the difference is larger than chance explains: far where it keeps going in
/// one direction, by less each time it turns round. Once it has come close, it tries them now and
/// then only. It never stops trying, so that it follows a world that changes; and because the two
/// sizes stay at most 35 % and in the end 8 to 25 % from the middle, it does not swing. Works for
/// costs that have one best size: where there are several peaks it finds one of them.
///
/// A pure function of what it has observed: the same observations give the same sizes.
///
/// ```
/// use turbopump_core::batch::{AdaptiveSize, SizeController};
///
/// // Batches cost 1,000 us each and 10 us per item: 100 items balance that.
/// let mut controller = SizeController::new(AdaptiveSize::DEFAULT, 10);
/// for _ in 0..2_000 {
///     let items = controller.items();
///     controller.observe(items, 1_000 + 10 * u64::from(items));
/// }
/// assert!((80..=125).contains(&controller.items()));
/// ```
#[derive(Clone, Debug)]
pub struct SizeController {
    size: AdaptiveSize,
    /// What it believes best.
    center: f64,
    /// How far the other two sizes lie from it, as a share of it.
    step: f64,
    /// What was observed of the smaller, the middle and the larger size.
    observed: [Observed; 3],
    /// Where in the round it is: the smaller size first, then the larger, then the middle one.
    turn: u32,
    /// How often the middle one comes in a round.
    rest: u32,
    /// Towards smaller or larger sizes, and how often in a row.
    direction: i8,
    run: u32,
    /// Mean time per item in batches of the middle size, microseconds; 0 where unknown.
    item_us: f64,
}

/// The places of the sizes in [`SizeController::observed`].
const LOW: usize = 0;
const MIDDLE: usize = 1;
const HIGH: usize = 2;

/// What was observed of one of the sizes.
#[derive(Clone, Copy, Debug, Default)]
struct Observed {
    count: f64,
    items: f64,
    us: f64,
    us_squared: f64,
}

impl Observed {
    fn observe(&mut self, items: f64, us: f64) {
        self.count += 1.0;
        self.items += items;
        self.us += us;
        self.us_squared += us * us;
    }

    /// Halves the weight of what was observed so far.
    fn fade(&mut self) {
        for sum in [&mut self.count, &mut self.items, &mut self.us, &mut self.us_squared] {
            *sum /= 2.0;
        }
    }

    fn items_mean(&self) -> f64 {
        self.items / self.count
    }

    fn us_mean(&self) -> f64 {
        (self.us / self.count).max(f64::MIN_POSITIVE)
    }

    /// The squared standard error of the mean time, as a share of it.
    fn error_squared(&self) -> f64 {
        let mean = self.us_mean();
        let variance = (self.us_squared / self.count - mean * mean).max(0.0);
        variance / (self.count * mean * mean)
    }
}

impl Goal {
    /// How good it is if batches of so many items take so long.
    fn value(self, items: f64, us: f64) -> f64 {
        match self {
            Self::Balance => items / (us * us),
            Self::Throughput { latency_us_max } => {
                // Falls steeply beyond the limit, so that the limit itself is the best place.
                let within = (latency_us_max as f64 / us).min(1.0);
                items / us * within * within * within * within
            }
        }
    }

    /// How strongly the value reacts to the time: the exponent, at most.
    fn sensitivity(self, us: f64) -> f64 {
        match self {
            Self::Balance => 2.0,
            Self::Throughput { latency_us_max } if us > latency_us_max as f64 => 5.0,
            Self::Throughput { .. } => 1.0,
        }
    }
}

impl SizeController {
    /// A controller that begins with batches of about so many items.
    #[must_use]
    pub fn new(size: AdaptiveSize, items: u32) -> Self {
        let center = f64::from(items.clamp(size.items_min, size.items_max));
        Self {
            size,
            center,
            step: STEP_MAX,
            observed: [Observed::default(); 3],
            turn: 0,
            rest: 0,
            direction: 0,
            run: 0,
            item_us: 0.0,
        }
    }

    /// How many items the next batch should have.
    #[must_use]
    pub fn items(&self) -> u32 {
        self.sizes()[match self.turn {
            0 => LOW,
            1 => HIGH,
            _ => MIDDLE,
        }]
    }

    /// The smaller, the middle and the larger size: whole numbers within the limits, different from
    /// each other as far as the limits allow.
    fn sizes(&self) -> [u32; 3] {
        let (min, max) = (self.size.items_min, self.size.items_max);
        let rounded = |items: f64| ((items + 0.5) as u32).clamp(min, max);
        let middle = rounded(self.center);
        let low = rounded(self.center * (1.0 - self.step)).min(middle.saturating_sub(1).max(min));
        let high = rounded(self.center * (1.0 + self.step)).max(middle.saturating_add(1).min(max));
        [low, middle, high]
    }

    /// Takes in that a batch of so many items took so long, in microseconds.
    ///
    /// Batches much smaller than asked for, because too few items were there, say nothing about the
    /// best size and are ignored.
    pub fn observe(&mut self, items: u32, us: u64) {
        let [low, middle, high] = self.sizes();
        let (items, us) = (f64::from(items), us.max(1) as f64);
        if items < f64::from(low) * 0.9 {
            return;
        }
        // The nearest; of two sizes that are the same at a limit, the outer one.
        let of_low = items * 2.0 < f64::from(low) + f64::from(middle) || middle == low;
        let of_high = items * 2.0 > f64::from(middle) + f64::from(high) || middle == high;
        let size = if of_low && !(of_high && self.turn == 1) {
            LOW
        } else if of_high {
            HIGH
        } else {
            MIDDLE
        };
        self.observed[size].observe(items, us);
        self.turn = (self.turn + 1) % (2 + self.rest);
        if self.has_shifted() {
            self.begin_anew();
        } else if self.observed[LOW].count >= OBSERVED_MIN
            && self.observed[HIGH].count >= OBSERVED_MIN
        {
            self.compare();
        }
    }

    /// True where items in batches of the middle size take another time than they did.
    fn has_shifted(&mut self) -> bool {
        let middle = self.observed[MIDDLE];
        if middle.count < OBSERVED_MIN {
            return false;
        }
        self.observed[MIDDLE] = Observed::default();
        let (before, now) = (self.item_us, middle.us / middle.items);
        self.item_us = now;
        before > 0.0 && (now - before).abs() > SHIFT * before
    }

    fn begin_anew(&mut self) {
        self.observed = [Observed::default(); 3];
        (self.step, self.rest, self.turn) = (STEP_MAX, 0, 0);
        (self.direction, self.run, self.item_us) = (0, 0, 0.0);
    }

    /// Moves towards the better of the two sizes, if one is.
    fn compare(&mut self) {
        let [low, _, high] = self.observed;
        let value =
            |observed: &Observed| self.size.goal.value(observed.items_mean(), observed.us_mean());
        let (low_value, high_value) = (value(&low), value(&high));
        let difference = 2.0 * (high_value - low_value) / (high_value + low_value);
        let sensitivity = self.size.goal.sensitivity(low.us_mean().max(high.us_mean()));
        let error = sensitivity * sensitivity * (low.error_squared() + high.error_squared());
        // Without any noise, anything but equality is a difference.
        if difference * difference > SIGNIFICANT * error + f64::EPSILON {
            self.turn_to(if difference > 0.0 { 1 } else { -1 });
        } else if low.count + high.count >= 2.0 * OBSERVED_MAX {
            // No difference that counts: looks from further away, where one would be larger.
            self.step = self.step.max((self.step * 1.25).min(STEP_WIDE));
            self.settle_down();
            self.observed.iter_mut().for_each(Observed::fade);
        }
    }

    /// It is close: tries less often.
    fn settle_down(&mut self) {
        self.rest = (self.rest * 2 + 1).min(REST_MAX);
    }

    fn turn_to(&mut self, direction: i8) {
        if direction == self.direction {
            self.run += 1;
            // On its way, items take another time because batches are of another size.
            self.item_us = 0.0;
            if self.run >= RUN_TO_GROW {
                self.step = (self.step * 1.5).min(STEP_MAX);
                self.rest = 0;
            }
        } else {
            if self.direction != 0 {
                self.step = (self.step / 2.0).max(STEP_MIN);
                self.settle_down();
            }
            (self.direction, self.run) = (direction, 1);
        }
        let factor = if direction > 0 { 1.0 + self.step } else { 1.0 / (1.0 + self.step) };
        // Sizes are whole numbers: a step is at least one.
        let one = f64::from(direction);
        let (by_factor, by_one) = (self.center * factor, self.center + one);
        let moved = if direction > 0 { by_factor.max(by_one) } else { by_factor.min(by_one) };
        let (min, max) = (f64::from(self.size.items_min), f64::from(self.size.items_max));
        self.center = moved.clamp(min, max);
        self.observed = [Observed::default(); 3];
        self.turn = 0;
    }
}
