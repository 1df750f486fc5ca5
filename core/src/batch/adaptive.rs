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
#[non_exhaustive]
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

/// The smaller and the larger of two sizes lie this far from the middle, at most and at least.
const STEP_MAX: f64 = 0.35;
const STEP_MIN: f64 = 0.1;
/// Observations of each size before the two are compared,
const OBSERVED_MIN: u32 = 8;
/// and how many are remembered: beyond that, old ones fade.
const OBSERVED_MAX: u32 = 64;
/// A difference counts where it is this many standard errors, squared.
const SIGNIFICANT: f64 = 4.0;
/// Times a step is repeated in the same direction before it grows again.
const RUN_TO_GROW: u32 = 3;
/// A mean that moves by more than this between two comparisons means that the world has changed.
const SHIFT: f64 = 0.5;

/// Finds the batch size at which a [`Goal`] is met best, from how long batches take.
///
/// It tries two sizes in turn, a little below and a little above what it believes best, and moves
/// towards the better one when the difference is larger than chance explains; far where it keeps
/// going in one direction, by less each time it turns round. It never stops trying, so that it
/// follows a world that changes; and because the two sizes stay at most 35 % and in the end 10 %
/// from the middle, it does not swing. Works for costs that have one best size: where there are
/// several peaks it finds one of them.
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
/// assert!((60..=160).contains(&controller.items()));
/// ```
#[derive(Clone, Debug)]
pub struct SizeController {
    size: AdaptiveSize,
    /// What it believes best.
    center: f64,
    /// How far the two sizes lie from it, as a share of it.
    step: f64,
    arms: [Arm; 2],
    /// Which of the two comes next.
    next: usize,
    /// Towards smaller or larger sizes, and how often in a row.
    direction: i8,
    run: u32,
    /// Mean time per item at the last comparison, microseconds.
    item_us: f64,
}

/// What was observed of one of the two sizes.
#[derive(Clone, Copy, Debug, Default)]
struct Arm {
    count: f64,
    items: f64,
    us: f64,
    us_squared: f64,
}

impl Arm {
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
    /// A controller that begins with batches of so many items.
    #[must_use]
    pub fn new(size: AdaptiveSize, items: u32) -> Self {
        let center = f64::from(items.clamp(size.items_min, size.items_max));
        Self {
            size,
            center,
            step: STEP_MAX,
            arms: [Arm::default(); 2],
            next: 0,
            direction: 0,
            run: 0,
            item_us: 0.0,
        }
    }

    /// How many items the next batch should have.
    #[must_use]
    pub fn items(&self) -> u32 {
        let factor = if self.next == 0 { 1.0 - self.step } else { 1.0 + self.step };
        self.clamped(self.center * factor) as u32
    }

    /// A size within the limits, rounded.
    fn clamped(&self, items: f64) -> f64 {
        let items = items.clamp(self.size.items_min.into(), self.size.items_max.into());
        f64::from((items + 0.5) as u32)
    }

    /// Takes in that a batch of so many items took so long, in microseconds.
    ///
    /// Batches much smaller than asked for, because too few items were there, say nothing about the
    /// best size and are ignored.
    pub fn observe(&mut self, items: u32, us: u64) {
        let (items, us) = (f64::from(items), us.max(1) as f64);
        let [low, high] =
            [1.0 - self.step, 1.0 + self.step].map(|by| self.clamped(self.center * by));
        // Of two sizes that are the same at a limit, the first stands for both.
        if items < low * 0.9 {
            return;
        }
        let arm = usize::from(items - low > high - items && high > low);
        self.arms[arm].observe(items, us);
        self.next = 1 - arm;
        let enough = |arm: &Arm| arm.count >= f64::from(OBSERVED_MIN);
        if self.arms.iter().all(enough) {
            self.compare();
        } else if high <= low && enough(&self.arms[0]) {
            // No room to try two sizes: widen the view again in case there is later.
            self.step = STEP_MAX;
            self.arms = [Arm::default(); 2];
        }
    }

    /// Moves towards the better of the two sizes, if one is.
    fn compare(&mut self) {
        let [low, high] = self.arms;
        let item_us = (low.us + high.us) / (low.items + high.items);
        if self.item_us > 0.0 && ((item_us - self.item_us) / self.item_us).abs() > SHIFT {
            self.step = STEP_MAX;
        }
        let value = |arm: &Arm| self.size.goal.value(arm.items_mean(), arm.us_mean());
        let (low_value, high_value) = (value(&low), value(&high));
        let difference = 2.0 * (high_value - low_value) / (high_value + low_value);
        let sensitivity = self.size.goal.sensitivity(low.us_mean().max(high.us_mean()));
        let error = sensitivity * sensitivity * (low.error_squared() + high.error_squared());
        // Without any noise, anything but equality is a difference.
        if difference * difference <= SIGNIFICANT * error + f64::EPSILON {
            if low.count + high.count >= f64::from(2 * OBSERVED_MAX) {
                self.arms.iter_mut().for_each(Arm::fade);
            }
            return;
        }
        self.item_us = item_us;
        self.turn(if difference > 0.0 { 1 } else { -1 });
    }

    fn turn(&mut self, direction: i8) {
        if direction == self.direction {
            self.run += 1;
            if self.run >= RUN_TO_GROW {
                self.step = (self.step * 1.5).min(STEP_MAX);
            }
        } else {
            if self.direction != 0 {
                self.step = (self.step / 2.0).max(STEP_MIN);
            }
            (self.direction, self.run) = (direction, 1);
        }
        let factor = if direction > 0 { 1.0 + self.step } else { 1.0 / (1.0 + self.step) };
        let (min, max) = (f64::from(self.size.items_min), f64::from(self.size.items_max));
        let wanted = self.center * factor;
        // Sizes are whole numbers: a step is at least one.
        let moved = if direction > 0 {
            wanted.max(self.center + 0.5)
        } else {
            wanted.min(self.center - 0.5)
        };
        self.center = moved.clamp(min, max);
        self.arms = [Arm::default(); 2];
    }
}
