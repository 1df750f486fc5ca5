//! When somebody should look after a client: rules over its numbers.

use core::time::Duration;

use alloc::vec::Vec;

use turbopump_core::alert::{Expression, Operator, Rule, RuleBuilder, Selector, Severity, Term};

use super::ClientConfig;
use crate::monitor::alerts::Text;

const MINUTE_US: u64 = 60_000_000;

/// Rules for a client that sends, over its [`health`](super::Client::health) and the
/// [`stats`](super::Producer::stats) of its producers: messages that were not sent, brokers that
/// are busy or away, no room for what is to be sent, and slow sends.
#[must_use]
pub fn alert_rules(config: &ClientConfig) -> Vec<Rule<Text>> {
    let value = |selector| Expression::from(Term::value(selector));
    let age_max = config.heartbeat_interval.saturating_mul(3).max(Duration::from_secs(1));
    let timeout_seconds = config.send.timeout_us as f64 / 1e6;
    let slow = Term::quantile_over(named("turbopump_send_duration_seconds"), 0.99, 5 * MINUTE_US);
    let rules = [
        Rule::when(
            "no_broker".into(),
            value(named("turbopump_client_connected_peers").with("kind".into(), "broker".into())),
            Operator::Below,
            1.0,
        )
        .for_us(MINUTE_US)
        .severity(Severity::Critical)
        .description("The client is connected to no broker.".into()),
        Rule::when(
            "heartbeat_old".into(),
            value(named("turbopump_client_heartbeat_age_seconds")),
            Operator::Above,
            age_max.as_secs_f64(),
        )
        .severity(Severity::Critical)
        .description("A broker has not answered heartbeats for three intervals.".into()),
        failed("send_unanswered", "timeout", "Messages were not sent: no broker has answered."),
        failed("send_rejected", "rejected", "Messages were not sent: brokers refuse them."),
        failed("send_failed", "error", "Messages were not sent: see their errors."),
        increases("brokers_busy", named("turbopump_send_busy_total"))
            .for_us(MINUTE_US)
            .description("Brokers have had too much to do for a minute.".into()),
        increases("send_without_room", named("turbopump_send_refused_total"))
            .description("More is to be sent than may be under way.".into()),
        Rule::when(
            "send_slow".into(),
            Expression::from(slow),
            Operator::Above,
            timeout_seconds / 3.0,
        )
        .severity(Severity::Warning)
        .description("One send of a hundred takes a third of the time that it has.".into()),
    ];
    // Constants that are checked by a test.
    rules.into_iter().filter_map(|rule| rule.build().ok()).collect()
}

fn named(name: &'static str) -> Selector<Text> {
    Selector::new(Text::from(name))
}

fn increases(name: &'static str, counter: Selector<Text>) -> RuleBuilder<Text> {
    let term = Term::increase(counter, MINUTE_US);
    Rule::when(name.into(), Expression::from(term), Operator::Above, 0.0)
        .severity(Severity::Warning)
}

fn failed(name: &'static str, result: &'static str, why: &'static str) -> RuleBuilder<Text> {
    let selector = named("turbopump_send_messages_total");
    increases(name, selector.with("result".into(), result.into())).description(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_them_can_be_built() {
        assert_eq!(alert_rules(&ClientConfig::new("127.0.0.1:9876")).len(), 8);
    }
}
