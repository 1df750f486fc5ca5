//! When somebody should look after a consumer: rules over its numbers.

use alloc::vec::Vec;

use turbopump_core::alert::{Expression, Operator, Rule, RuleBuilder, Selector, Severity, Term};

use crate::monitor::alerts::Text;

const MINUTE_US: u64 = 60_000_000;

/// Rules for consumers, over their [`stats`](super::Consumer::stats): members that subscribe to
/// something else, handlers that panic, messages that become dead letters or are given up, and
/// pulls, commits and queues that nobody answers for.
#[must_use]
pub fn consumer_alert_rules() -> Vec<Rule<Text>> {
    let differences = named("turbopump_consumer_subscription_differences");
    let rules = [
        Rule::when(
            "subscriptions_differ".into(),
            Expression::from(Term::value(differences)),
            Operator::Above,
            0.0,
        )
        .severity(Severity::Critical)
        .description("Members of a group subscribe to different messages: some are lost.".into()),
        became("handler_panics", "panic", "A handler has panicked; its message is tried again."),
        became("messages_dead", "dlq", "Messages became dead letters."),
        became("messages_given_up", "given_up", "Messages are not tried again by anybody."),
        lasting("pulls_failing", "turbopump_pulls_failed_total", "Pulls fail for a minute."),
        lasting(
            "commits_failing",
            "turbopump_offset_commits_failed_total",
            "Offsets are not taken for a minute: what is handled now may be repeated.",
        ),
        lasting(
            "rebalances_failing",
            "turbopump_rebalances_failed_total",
            "Nobody can say for a minute who has which queue.",
        ),
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

fn became(name: &'static str, result: &'static str, why: &'static str) -> RuleBuilder<Text> {
    let selector = named("turbopump_consume_messages_total");
    increases(name, selector.with("result".into(), result.into())).description(why.into())
}

fn lasting(name: &'static str, counter: &'static str, why: &'static str) -> RuleBuilder<Text> {
    increases(name, named(counter)).for_us(MINUTE_US).description(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_them_can_be_built() {
        assert_eq!(consumer_alert_rules().len(), 7);
    }
}
