//! The keys of `[producer]`, and what they amount to.
//!
//! Keys come in any order, so what they say is collected first. Keys that would be without effect
//! are refused.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use turbopump_core::batch::{AdaptiveSize, Goal, LoadRule, SizePolicy};
use turbopump_core::rocketmq::wire::message::Compression;

use super::given::Given;
use super::{Key, Set};
use crate::client::{Batching, ProducerConfig};

/// What was said of producers.
#[derive(Default)]
pub(super) struct Draft {
    /// Whether messages are put together, where it is said.
    batching: Option<bool>,
    batch: Option<Batching>,
    size: Size,
    load: Option<LoadRule>,
    adaptive: Option<AdaptiveSize>,
    compression: Option<Compression>,
    begins_traces: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Size {
    #[default]
    Fixed,
    ByLoad,
    Adaptive,
}

pub(super) const PRODUCER: &[Key] = &[
    key("batching", |draft, given| {
        draft.batching = Some(given.truth()?);
        Ok(())
    }),
    key("batch_messages_max", |draft, given| {
        draft.batch().messages_max = messages(given)?;
        Ok(())
    }),
    key("batch_bytes_max", |draft, given| {
        draft.batch().bytes_max = short(given.number("bytes", 1, 4 << 20)?);
        Ok(())
    }),
    key("batch_linger_us", |draft, given| {
        draft.batch().linger_us = given.number("microseconds", 0, 3_600_000_000)?;
        Ok(())
    }),
    key("batch_in_flight_max", |draft, given| {
        draft.batch().in_flight_max = short(given.number("batches", 1, 64)?);
        Ok(())
    }),
    key("batch_size", |draft, given| {
        let sizes =
            [("fixed", Size::Fixed), ("by_load", Size::ByLoad), ("adaptive", Size::Adaptive)];
        draft.size = given.one_of(&sizes)?;
        draft.batch();
        Ok(())
    }),
    key("load_high_percent", |draft, given| {
        draft.load().high = share(given)?;
        Ok(())
    }),
    key("load_low_percent", |draft, given| {
        draft.load().low = share(given)?;
        Ok(())
    }),
    key("load_high_messages", |draft, given| {
        draft.load().items_at_high = messages(given)?;
        Ok(())
    }),
    key("load_between_messages", |draft, given| {
        draft.load().items_between = messages(given)?;
        Ok(())
    }),
    key("load_low_messages", |draft, given| {
        draft.load().items_at_low = messages(given)?;
        Ok(())
    }),
    key("adaptive_messages_min", |draft, given| {
        draft.adaptive().items_min = messages(given)?;
        Ok(())
    }),
    key("adaptive_messages_max", |draft, given| {
        draft.adaptive().items_max = messages(given)?;
        Ok(())
    }),
    key("adaptive_latency_us_max", |draft, given| {
        let latency_us_max = given.number("microseconds", 0, 3_600_000_000)?;
        draft.adaptive().goal = match latency_us_max {
            0 => Goal::Balance,
            _ => Goal::Throughput { latency_us_max },
        };
        Ok(())
    }),
    key("compression", |draft, given| {
        draft.compression = Some(given.one_of(COMPRESSIONS)?);
        Ok(())
    }),
    key("begins_traces", |draft, given| {
        draft.begins_traces = given.truth()?;
        Ok(())
    }),
];

/// Those that this program was built with.
const COMPRESSIONS: &[(&str, Compression)] = &[
    ("zlib", Compression::Zlib),
    #[cfg(feature = "lz4")]
    ("lz4", Compression::Lz4),
    #[cfg(feature = "zstd")]
    ("zstd", Compression::Zstd),
];

const MESSAGES_MAX: u64 = 10_000;

const fn key(name: &'static str, set: fn(&mut Draft, &Given<'_>) -> Result<(), String>) -> Key {
    Key { name, is_secret: false, set: Set::Producer(set) }
}

fn messages(given: &Given<'_>) -> Result<u32, String> {
    given.number("messages", 1, MESSAGES_MAX).map(short)
}

fn share(given: &Given<'_>) -> Result<f64, String> {
    Ok(f64::from(short(given.number("percent", 0, 100)?)) / 100.0)
}

fn short(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl Draft {
    fn batch(&mut self) -> &mut Batching {
        self.batch.get_or_insert_default()
    }

    fn load(&mut self) -> &mut LoadRule {
        self.load.get_or_insert(LoadRule::DEFAULT)
    }

    fn adaptive(&mut self) -> &mut AdaptiveSize {
        self.adaptive.get_or_insert(AdaptiveSize::DEFAULT)
    }

    /// What does not go together, and what to do about it.
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        if self.load.is_some() && self.size != Size::ByLoad {
            return Some("producer.load_* needs producer.batch_size = \"by_load\"; say so");
        }
        if self.adaptive.is_some() && self.size != Size::Adaptive {
            return Some("producer.adaptive_* needs producer.batch_size = \"adaptive\"; say so");
        }
        if self.load.is_some_and(|load| load.low > load.high) {
            return Some("producer.load_low_percent is more than load_high_percent; lower it");
        }
        if self.adaptive.is_some_and(|size| size.items_min > size.items_max) {
            return Some("producer.adaptive_messages_min is more than its max; lower it");
        }
        None
    }

    pub(super) fn config(&self) -> ProducerConfig {
        let mut config = ProducerConfig::default();
        let size = match self.size {
            Size::Fixed => SizePolicy::Fixed,
            Size::ByLoad => SizePolicy::ByLoad(self.load.unwrap_or(LoadRule::DEFAULT)),
            Size::Adaptive => SizePolicy::Adaptive(self.adaptive.unwrap_or(AdaptiveSize::DEFAULT)),
        };
        let is_on = self.batching.unwrap_or_else(|| self.batch.is_some());
        let batch = Batching { size, ..self.batch.unwrap_or_default() };
        config.batching = is_on.then_some(batch);
        config.compression = self.compression.unwrap_or(config.compression);
        config.begins_traces = self.begins_traces;
        config
    }
}

impl Given<'_> {
    /// `true` or `false`; or what is allowed.
    fn truth(&self) -> Result<bool, String> {
        use toml::de::DeValue;

        match self {
            Self::InFile(DeValue::Boolean(is_true)) => Ok(*is_true),
            Self::Variable("true") => Ok(true),
            Self::Variable("false") => Ok(false),
            _ => Err("allowed are true and false".into()),
        }
    }

    /// One of some names; or what is allowed.
    pub(super) fn one_of<T: Copy>(&self, named: &[(&str, T)]) -> Result<T, String> {
        let names: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
        let allowed = names.join(", ");
        let text = self.text(&allowed)?;
        let found = named.iter().find(|(name, _)| *name == text.trim());
        found.map(|(_, value)| *value).ok_or_else(|| format!("allowed is one of {allowed}"))
    }
}
