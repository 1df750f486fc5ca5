//! When a message is to be delivered, by the properties that say so.

use super::{NotANumber, Properties, keys};

/// When a message is to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delay {
    /// After the time of a level, 1 to 18; see [`delay_level_ms`].
    Level(u8),
    /// So many milliseconds after the broker got it.
    AfterMs(i64),
    /// At that time, in milliseconds since 1970.
    AtMs(i64),
}

/// The delay of a level in milliseconds, as brokers have it unless configured otherwise; `None`
/// for 0 and less, which means no delay. Levels above 18 are as 18.
///
/// ```
/// use turbopump_core::rocketmq::wire::properties::delay_level_ms;
///
/// assert_eq!(delay_level_ms(0), None);
/// assert_eq!(delay_level_ms(3), Some(10_000));
/// assert_eq!(delay_level_ms(99), Some(7_200_000));
/// ```
#[must_use]
pub fn delay_level_ms(level: i64) -> Option<u64> {
    let index = usize::try_from(level).ok()?.checked_sub(1)?;
    let seconds = LEVELS_S.get(index.min(LEVELS_S.len().saturating_sub(1)))?;
    Some(u64::from(*seconds).saturating_mul(1_000))
}

/// A level wins over the timers, and among those the first in this order counts.
pub(super) fn of(properties: &Properties<'_>) -> Result<Option<Delay>, NotANumber> {
    if let Some(level) = properties.number(keys::DELAY)?.filter(|level| *level > 0) {
        return Ok(Some(Delay::Level(level.min(LEVEL_MAX) as u8)));
    }
    if let Some(seconds) = properties.number(keys::TIMER_DELAY_SEC)? {
        return Ok(Some(Delay::AfterMs(seconds.saturating_mul(1_000))));
    }
    if let Some(delay_ms) = properties.number(keys::TIMER_DELAY_MS)? {
        return Ok(Some(Delay::AfterMs(delay_ms)));
    }
    Ok(properties.number(keys::TIMER_DELIVER_MS)?.map(Delay::AtMs))
}

const LEVEL_MAX: i64 = 18;

const LEVELS_S: [u16; LEVEL_MAX as usize] =
    [1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1_200, 1_800, 3_600, 7_200];
