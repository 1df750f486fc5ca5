//! Rules that suit any program, over the names that this crate gives its numbers.

use alloc::vec::Vec;

use turbopump_core::alert::presets;
use turbopump_core::alert::{Expression, Operator, Rule, RuleBuilder, Selector, Severity, Term};

use super::Text;

const SECOND_US: u64 = 1_000_000;
const MINUTE_US: u64 = 60 * SECOND_US;

/// The rules for who has none: memory use above 80 % for 5 minutes, error rate of batch items above
/// 5 % for a minute, average time per batch above 100 ms for 2 minutes; memory pools exhausted,
/// nothing batched for 2 minutes, time-outs, connections that can't be opened, handlers that panic.
#[must_use]
pub fn default_rules() -> Vec<Rule<Text>> {
    let metric = |name: &'static str| Selector::new(Text::from(name));
    let rules = [
        presets::memory_use(
            metric("turbopump_process_resident_bytes"),
            metric("turbopump_system_memory_total_bytes"),
        ),
        presets::error_rate(
            metric("turbopump_batch_items_failed_total"),
            metric("turbopump_batch_items_total"),
        ),
        presets::average_latency(Text::from("turbopump_batch_process_duration_seconds")),
        presets::nothing_counted(
            Text::from("nothing_sent"),
            metric("turbopump_batch_items_succeeded_total"),
            2 * MINUTE_US,
        )
        .severity(Severity::Info)
        .description("No item of any batch has been done for 2 minutes.".into()),
        increases("pool_exhausted", "turbopump_mempool_exhausted_total")
            .description("Memory pools have had no buffer of the right class lately.".into()),
        increases("timeouts", "turbopump_pool_timeouts_total")
            .description("Something on connections has taken too long lately.".into()),
        increases("handler_panics", "turbopump_handler_panics_total")
            .severity(Severity::Critical)
            .description("A function that works on batches has panicked lately.".into()),
        Rule::when(
            "connections_failing".into(),
            Expression::from(Term::value(metric("turbopump_pool_failing"))),
            Operator::Above,
            0.0,
        )
        .severity(Severity::Critical)
        .description("Connections can't be opened.".into()),
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
    use super::default_rules;

    #[test]
    fn all_of_them_can_be_built() {
        let rules = default_rules();
        let names: alloc::vec::Vec<_> = rules.iter().map(|rule| rule.name()).collect();
        assert_eq!(names.len(), 8, "{names:?}");
    }
}
