//! When somebody should look after a broker: rules over its numbers.

use alloc::vec::Vec;

use turbopump_core::alert::{Expression, Operator, Rule, RuleBuilder, Selector, Severity, Term};

use super::config::BrokerLimits;
use crate::monitor::alerts::Text;

const MINUTE_US: u64 = 60_000_000;

/// Rules for a broker with these limits: messages that can't be stored or read, too much that waits
/// for the disk, dead letters, connections that are refused or send something else.
#[must_use]
pub fn alert_rules(limits: &BrokerLimits) -> Vec<Rule<Text>> {
    let value = |name: &'static str| Expression::from(Term::value(Selector::new(Text::from(name))));
    let rules = [
        Rule::when(
            "store_not_writable".into(),
            value("turbopump_broker_store_writable"),
            Operator::Below,
            1.0,
        )
        .severity(Severity::Critical)
        .description("The broker can't store messages until it is started again.".into()),
        Rule::when(
            "store_behind".into(),
            value("turbopump_broker_unwritten_bytes"),
            Operator::Above,
            limits.unwritten_bytes_max as f64 / 2.0,
        )
        .severity(Severity::Warning)
        .description("The disk is slower than what is sent; sending will be refused soon.".into()),
        increases("store_failures", "turbopump_broker_store_failures_total")
            .severity(Severity::Critical)
            .description("Messages could not be written or read lately.".into()),
        increases("dead_letters", "turbopump_broker_messages_dead_total")
            .description("Messages have failed too often lately.".into()),
        increases("connections_refused", "turbopump_broker_connections_refused_total")
            .description("There were more connections than are allowed.".into()),
        increases("malformed_frames", "turbopump_broker_frames_malformed_total")
            .severity(Severity::Info)
            .description("Somebody has sent something else than RocketMQ's frames.".into()),
    ];
    // Constants that are checked by a test.
    rules.into_iter().filter_map(|rule| rule.build().ok()).collect()
}

fn increases(name: &'static str, counter: &'static str) -> RuleBuilder<Text> {
    let term = Term::increase(Selector::new(Text::from(counter)), MINUTE_US);
    Rule::when(name.into(), Expression::from(term), Operator::Above, 0.0)
        .severity(Severity::Warning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_them_can_be_built() {
        assert_eq!(alert_rules(&BrokerLimits::default()).len(), 6);
    }
}
