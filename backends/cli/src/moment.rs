//! Places in a topic, as they are written on the command line.

use core::str::FromStr;
use core::time::Duration;
use std::time::SystemTime;

use turbopump::runtime::client::{ResetTo, StartFrom};

/// A place in a topic, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    First,
    Last,
    Time(SystemTime),
}

impl From<Moment> for StartFrom {
    fn from(moment: Moment) -> Self {
        match moment {
            Moment::First => Self::First,
            Moment::Last => Self::Last,
            Moment::Time(time) => {
                let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Self::Timestamp { unix_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX) }
            }
        }
    }
}

impl From<Moment> for ResetTo {
    fn from(moment: Moment) -> Self {
        match moment {
            Moment::First => Self::First,
            Moment::Last => Self::Last,
            Moment::Time(time) => Self::Time(time),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "first" => return Ok(Self::First),
            "last" => return Ok(Self::Last),
            _ => {}
        }
        let unix_ms = text.parse().ok().map(Duration::from_millis);
        let unix_ms = unix_ms.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
        let time = unix_ms.or_else(|| humantime::parse_rfc3339_weak(text).ok());
        let known = time.map(Self::Time);
        known.ok_or_else(|| {
            "write first, last, a time such as 2026-11-28T09:30:00Z, or Unix milliseconds".into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        let at = |ms| Ok(Moment::Time(SystemTime::UNIX_EPOCH + Duration::from_millis(ms)));
        assert_eq!("first".parse(), Ok(Moment::First));
        assert_eq!("last".parse(), Ok(Moment::Last));
        assert_eq!("1700000000000".parse(), at(1_700_000_000_000));
        assert_eq!("2023-11-14T22:13:20Z".parse(), at(1_700_000_000_000));
        assert_eq!("2023-11-14 22:13:20".parse(), at(1_700_000_000_000));
        for wrong in ["", "now", "yesterday", "-1", "1.5"] {
            let error = wrong.parse::<Moment>().unwrap_err();
            assert!(error.contains("first, last"), "{wrong}: {error}");
        }
    }
}
