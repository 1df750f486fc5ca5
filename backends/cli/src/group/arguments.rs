//! What looking after consumer groups can be told.

use core::str::FromStr;
use core::time::Duration;
use std::time::SystemTime;

use clap::{Args, Subcommand};

use turbopump::runtime::client::ResetTo;

use crate::client::ClientArguments;

#[derive(Clone, Debug, Args)]
pub(crate) struct GroupArguments {
    #[command(subcommand)]
    pub(crate) command: GroupCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// Lists the consumer groups that brokers know, and how many members each has.
    List(ListArguments),
    /// Says how far a group is in each queue, and who is in it.
    Lag(LagArguments),
    /// Has a group go on elsewhere in a topic: members that are connected do so at once.
    ///
    /// At a terminal it asks first. In scripts it wants `--yes`.
    Reset(ResetArguments),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ListArguments {
    /// Also those of brokers and tools themselves.
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) client: ClientArguments,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct LagArguments {
    /// The group.
    #[arg(value_name = "GROUP")]
    pub(crate) group: String,
    /// Only queues of this topic.
    #[arg(long, value_name = "NAME")]
    pub(crate) topic: Option<String>,
    /// Ends with 1 where more messages than these are not handled yet.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) lag_max: Option<i64>,
    #[command(flatten)]
    pub(crate) client: ClientArguments,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ResetArguments {
    /// The group.
    #[arg(value_name = "GROUP")]
    pub(crate) group: String,
    /// The topic.
    #[arg(long, value_name = "NAME")]
    pub(crate) topic: String,
    /// Where it goes on: `first`, `last`, a time such as `2026-11-28T09:30:00Z`, or Unix
    /// milliseconds.
    #[arg(long, value_name = "first|last|TIME")]
    pub(crate) to: Moment,
    /// Does not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) client: ClientArguments,
}

impl GroupCommand {
    pub(crate) const fn client(&self) -> &ClientArguments {
        match self {
            Self::List(arguments) => &arguments.client,
            Self::Lag(arguments) => &arguments.client,
            Self::Reset(arguments) => &arguments.client,
        }
    }
}

/// A place in a topic, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    First,
    Last,
    Time(SystemTime),
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
