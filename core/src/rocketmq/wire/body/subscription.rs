//! What consumers subscribe to by tags.

use core::error::Error;
use core::fmt;

use crate::rocketmq::wire::identity::java_hash;

/// A subscription by tags: everything, or tags between `||`.
///
/// ```
/// use turbopump_core::rocketmq::wire::body::Expression;
///
/// let expression = Expression::parse(Some("red || blue||red"))?;
/// assert!(expression.tags().eq(["red", "blue"]));
/// assert_eq!(Expression::parse(None)?, Expression::ALL);
/// # Ok::<(), turbopump_core::rocketmq::wire::body::NoTags>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expression<'a> {
    text: &'a str,
}

impl Expression<'static> {
    /// All messages.
    pub const ALL: Self = Self { text: "*" };
}

impl<'a> Expression<'a> {
    /// What the user has written; nothing, an empty text and `*` are all messages.
    ///
    /// # Errors
    ///
    /// [`NoTags`] for separators only.
    pub fn parse(text: Option<&'a str>) -> Result<Self, NoTags> {
        let text = text.filter(|text| !text.is_empty()).unwrap_or("*");
        if text.split("||").all(str::is_empty) {
            return Err(NoTags);
        }
        Ok(Self { text })
    }

    /// What stands in [`SubscriptionData::sub_string`](super::SubscriptionData::sub_string).
    #[must_use]
    pub const fn sub_string(&self) -> &'a str {
        self.text
    }

    /// The tags, each once, in the order in which they are written; none for all messages.
    #[must_use]
    pub fn tags(&self) -> Tags<'a> {
        let text = if self.text == "*" { "" } else { self.text };
        Tags { text, rest: Some(text) }
    }

    /// The hashes of the tags, by which brokers filter.
    pub fn codes(&self) -> impl Iterator<Item = i32> + use<'a> {
        self.tags().map(java_hash)
    }
}

/// The tags of an [`Expression`].
#[derive(Clone, Debug)]
pub struct Tags<'a> {
    text: &'a str,
    rest: Option<&'a str>,
}

impl<'a> Iterator for Tags<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            let rest = self.rest?;
            let before = self.text.len().saturating_sub(rest.len());
            let (tag, behind) = match rest.split_once("||") {
                Some((tag, behind)) => (tag, Some(behind)),
                None => (rest, None),
            };
            self.rest = behind;
            let tag = trim(tag);
            let earlier = self.text.get(..before).unwrap_or_default();
            if !tag.is_empty() && !earlier.split("||").any(|earlier| trim(earlier) == tag) {
                return Some(tag);
            }
        }
    }
}

/// As Java's `String.trim`: everything up to the space.
fn trim(text: &str) -> &str {
    text.trim_matches(|character| character <= ' ')
}

/// A subscription has separators, but no tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoTags;

impl fmt::Display for NoTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a subscription of separators only: name tags between ||, or * for all")
    }
}

impl Error for NoTags {}
