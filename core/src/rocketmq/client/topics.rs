//! Which topics may be sent to, as far as their names say.

use crate::rocketmq::wire::names::is_sendable;

/// The longest name of a topic that brokers take, in bytes.
pub const TOPIC_BYTES_MAX: usize = 127;

/// What is wrong with a topic's name, for one that messages are to be sent to; `None` for a name
/// that can be.
///
/// ```
/// use turbopump_core::rocketmq::client::topic_problem;
///
/// assert_eq!(topic_problem("Orders"), None);
/// assert_eq!(topic_problem("SCHEDULE_TOPIC_XXXX"), Some("it belongs to the brokers"));
/// ```
#[must_use]
pub fn topic_problem(topic: &str) -> Option<&'static str> {
    let is_allowed =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '%' | '-' | '_' | '|');
    if topic.is_empty() {
        Some("it has no name")
    } else if topic.len() > TOPIC_BYTES_MAX {
        Some("its name has more than 127 letters")
    } else if !topic.chars().all(is_allowed) {
        Some("its name may have letters, digits, `%`, `-`, `_` and `|`")
    } else if !is_sendable(topic) {
        Some("it belongs to the brokers")
    } else {
        None
    }
}
