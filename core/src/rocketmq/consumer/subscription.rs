//! What a group subscribes to: topics with tags or SQL92.
//!
//! The module decides whether a message is one of those, by the text of its tag (brokers compare
//! hashes only), and in what two members of one group differ, which loses messages silently:
//! brokers keep one subscription for a group, that of whoever sent the last heartbeat. Heartbeats
//! are left to the caller.

use core::fmt;

use crate::rocketmq::wire::body::{Expression, List, NoTags, SubscriptionData};
use crate::rocketmq::wire::json::Text;

/// What is wanted of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Filter<'a> {
    /// Messages with one of these tags, or all.
    Tags(Expression<'a>),
    /// Messages that an expression over their properties chooses. The broker does; it has to be
    /// allowed there (`enablePropertyFilter`).
    Sql92(&'a str),
}

/// A topic of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// The topic.
    pub topic: &'a str,
    /// What is wanted of it.
    pub filter: Filter<'a>,
    /// When it was made, in milliseconds since 1970: brokers replace older ones by newer ones only.
    pub version_ms: i64,
}

impl<'a> Subscription<'a> {
    /// By tags: `a || b`; `*` or nothing is all.
    ///
    /// # Errors
    ///
    /// [`NoTags`] for separators only.
    ///
    /// ```
    /// use turbopump_core::rocketmq::consumer::Subscription;
    ///
    /// let subscription = Subscription::by_tags("T", "red || blue", 1_700_000_000_000)?;
    /// assert!(subscription.matches(Some("blue")));
    /// assert!(!subscription.matches(Some("green")) && !subscription.matches(None));
    /// # Ok::<(), turbopump_core::rocketmq::wire::body::NoTags>(())
    /// ```
    pub fn by_tags(topic: &'a str, text: &'a str, version_ms: i64) -> Result<Self, NoTags> {
        let filter = Filter::Tags(Expression::parse(Some(text))?);
        Ok(Self { topic, filter, version_ms })
    }

    /// By an expression of SQL92, which is passed on as it is.
    #[must_use]
    pub const fn by_sql92(topic: &'a str, text: &'a str, version_ms: i64) -> Self {
        Self { topic, filter: Filter::Sql92(text), version_ms }
    }

    /// All messages.
    #[must_use]
    pub const fn to_all(topic: &'a str, version_ms: i64) -> Self {
        Self { topic, filter: Filter::Tags(Expression::ALL), version_ms }
    }

    /// `expressionType`, as heartbeats and pulls carry it.
    #[must_use]
    pub const fn expression_type(&self) -> &'static str {
        match self.filter {
            Filter::Tags(_) => "TAG",
            Filter::Sql92(_) => "SQL92",
        }
    }

    /// `subString`: the expression as the user has written it.
    #[must_use]
    pub const fn sub_string(&self) -> &'a str {
        match self.filter {
            Filter::Tags(expression) => expression.sub_string(),
            Filter::Sql92(text) => text,
        }
    }

    /// The tags, each once; none for all messages, and for SQL92.
    pub fn tags(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        let expression = match self.filter {
            Filter::Tags(expression) => expression,
            Filter::Sql92(_) => Expression::ALL,
        };
        expression.tags()
    }

    /// Whether a message with this tag is wanted. A broker lets through what has the hash of a
    /// wanted tag: what this refuses counts as settled.
    #[must_use]
    pub fn matches(&self, tag: Option<&str>) -> bool {
        let mut tags = self.tags().peekable();
        tags.peek().is_none() || tag.is_some_and(|tag| tags.any(|wanted| wanted == tag))
    }

    /// What a heartbeat says, with the caller's memory for tags and their hashes.
    ///
    /// # Errors
    ///
    /// [`TooManyTags`] if either memory is too small.
    pub fn data<'m>(
        &self,
        tags: &'m mut [Text<'m>],
        codes: &'m mut [i32],
    ) -> Result<SubscriptionData<'m>, TooManyTags>
    where
        'a: 'm,
    {
        let count = self.tags().count();
        let room = tags.len().min(codes.len());
        let too_many = TooManyTags { tags: count, room };
        let tags = tags.get_mut(..count).ok_or(too_many)?;
        let codes = codes.get_mut(..count).ok_or(too_many)?;
        for ((tag, code), text) in tags.iter_mut().zip(codes.iter_mut()).zip(self.tags()) {
            *tag = Text::plain(text);
            *code = crate::rocketmq::wire::identity::java_hash(text);
        }
        Ok(SubscriptionData {
            class_filter_mode: false,
            code_set: List::from(&*codes),
            expression_type: Some(Text::plain(self.expression_type())),
            filter_class_source: None,
            sub_string: Some(Text::plain(self.sub_string())),
            sub_version: self.version_ms,
            tags_set: List::from(&*tags),
            topic: Text::plain(self.topic),
        })
    }
}

/// There is not enough memory for the tags of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TooManyTags {
    /// Its tags.
    pub tags: usize,
    /// Those that there is memory for.
    pub room: usize,
}

impl fmt::Display for TooManyTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tags, room } = self;
        write!(f, "{tags} tags and room for {room}: give more memory, or name fewer tags")
    }
}

impl core::error::Error for TooManyTags {}

/// In what two members of a group differ, so that each gets messages that it does not want, and
/// the other never sees.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Difference<'a> {
    /// A topic that only this member has.
    OnlyOurs {
        /// The topic.
        topic: &'a str,
    },
    /// A topic that only the other has.
    OnlyTheirs {
        /// The topic.
        topic: Text<'a>,
    },
    /// One filters by tags, and the other by SQL92.
    Kind {
        /// The topic.
        topic: &'a str,
        /// What this member does.
        ours: &'static str,
        /// What the other does.
        theirs: Text<'a>,
    },
    /// Both filter alike, by other tags or another expression.
    Expression {
        /// The topic.
        topic: &'a str,
        /// What this member wants.
        ours: &'a str,
        /// What the other wants.
        theirs: Text<'a>,
    },
}

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnlyOurs { topic } => {
                write!(f, "another member of the group does not subscribe to {topic}")?;
            }
            Self::OnlyTheirs { topic } => {
                write!(f, "another member of the group subscribes to {topic}, this one does not")?;
            }
            Self::Kind { topic, ours, theirs } => {
                write!(f, "of {topic} this member wants messages by {ours}, another by {theirs}")?;
            }
            Self::Expression { topic, ours, theirs } => {
                write!(f, "of {topic} this member wants {ours:?}, another {:?}", theirs)?;
            }
        }
        f.write_str(": messages are lost until all members subscribe to the same")
    }
}

/// What differs between a member's own subscriptions and those of another, or those that a broker
/// has for the group. Versions, the order of tags and repeats don't matter. Parts of `theirs` that
/// can't be read are left out.
pub fn differences<'a>(
    ours: &'a [Subscription<'a>],
    theirs: List<'a, SubscriptionData<'a>>,
) -> impl Iterator<Item = Difference<'a>> + 'a {
    let all = theirs;
    let of_ours = ours.iter().filter_map(move |own| {
        let same_topic = |theirs: &SubscriptionData<'a>| theirs.topic == own.topic;
        match all.iter().flatten().find(same_topic) {
            Some(theirs) => difference(own, &theirs),
            None => Some(Difference::OnlyOurs { topic: own.topic }),
        }
    });
    let extra = theirs.iter().flatten().map(|theirs| theirs.topic);
    let extra = extra.filter(|topic| !ours.iter().any(|own| *topic == own.topic));
    of_ours.chain(extra.map(|topic| Difference::OnlyTheirs { topic }))
}

fn difference<'a>(
    ours: &Subscription<'a>,
    theirs: &SubscriptionData<'a>,
) -> Option<Difference<'a>> {
    let topic = ours.topic;
    // Old clients leave it out where they mean tags.
    let kind = theirs.expression_type.filter(|kind| !kind.is_empty());
    let kind = kind.unwrap_or(Text::plain("TAG"));
    if kind != ours.expression_type() {
        return Some(Difference::Kind { topic, ours: ours.expression_type(), theirs: kind });
    }
    let text = theirs.sub_string.unwrap_or(Text::plain("*"));
    let is_same = match ours.filter {
        Filter::Sql92(sql92) => text == sql92,
        Filter::Tags(_) => {
            let tags = || theirs.tags_set.iter().flatten();
            ours.tags().all(|own| tags().any(|tag| tag == own))
                && tags().all(|tag| ours.tags().any(|own| tag == own))
        }
    };
    let expression = Difference::Expression { topic, ours: ours.sub_string(), theirs: text };
    (!is_same).then_some(expression)
}

#[cfg(test)]
mod tests {
    extern crate alloc;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use super::*;
    use crate::rocketmq::wire::body::{Body, ConsumerData};

    #[test]
    fn tags_are_compared_by_their_text() {
        let some = Subscription::by_tags("T", " Aa|| c ||", 1).unwrap();
        // `Aa` and `BB` have one hash.
        let wanted = [Some("Aa"), Some("BB"), Some("c"), Some("aa"), Some(""), None];
        assert_eq!(wanted.map(|tag| some.matches(tag)), [true, false, true, false, false, false]);
        for all in [Subscription::to_all("T", 1), Subscription::by_sql92("T", "a > 1", 1)] {
            assert!(all.matches(None) && all.matches(Some("x")));
        }
        assert_eq!(Subscription::by_tags("T", "||", 1), Err(NoTags));
    }

    #[test]
    fn heartbeats_say_what_java_says() {
        let (mut tags, mut codes) = ([Text::default(); 2], [0; 2]);
        let some = Subscription::by_tags("TopicA", "tag1||b", 1_700_000_000_000).unwrap();
        let data = some.data(&mut tags, &mut codes).unwrap();
        assert!(data.tags_set.iter().flatten().eq([Text::plain("tag1"), Text::plain("b")]));
        assert!(data.code_set.iter().flatten().eq([3_552_215, 98]));
        assert_eq!(data.expression_type, Some(Text::plain("TAG")));
        let sql92 = Subscription::by_sql92("T", "a > 1", 5).data(&mut [], &mut []).unwrap();
        assert_eq!(sql92.sub_string, Some(Text::plain("a > 1")));
        assert_eq!((sql92.sub_version, sql92.tags_set.iter().count()), (5, 0));
        let few = &mut [Text::default()];
        let refused = some.data(few, &mut [0; 2]).unwrap_err();
        assert_eq!(refused, TooManyTags { tags: 2, room: 1 });
    }

    const THEIRS: &[u8] = br#"{"groupName":"g","subscriptionDataSet":[
        {"subString":"b || a","subVersion":9,"tagsSet":["b","a"],"topic":"Same"},
        {"expressionType":"TAG","subString":"a","tagsSet":["a"],"topic":"Tags"},
        {"expressionType":"SQL92","subString":"x = 1","topic":"Kind"},
        {"expressionType":"SQL92","subString":"x = 1","topic":"Sql"},
        {"expressionType":"TAG","subString":"*","topic":"Theirs"}]}"#;

    #[test]
    fn members_that_want_something_else_are_told_apart() {
        let theirs = ConsumerData::decode(THEIRS).unwrap().subscription_data_set;
        let tags = |topic, text| Subscription::by_tags(topic, text, 1).unwrap();
        let ours = [
            tags("Same", "a||b||a"),
            tags("Tags", "*"),
            tags("Kind", "x"),
            Subscription::by_sql92("Sql", "x = 2", 1),
            tags("Ours", "*"),
        ];
        let found: Vec<_> = differences(&ours, theirs).collect();
        let expected = [
            Difference::Expression { topic: "Tags", ours: "*", theirs: Text::plain("a") },
            Difference::Kind { topic: "Kind", ours: "TAG", theirs: Text::plain("SQL92") },
            Difference::Expression { topic: "Sql", ours: "x = 2", theirs: Text::plain("x = 1") },
            Difference::OnlyOurs { topic: "Ours" },
            Difference::OnlyTheirs { topic: Text::plain("Theirs") },
        ];
        assert_eq!(found, expected);
        assert!(found.iter().all(|difference| difference.to_string().contains("lost")));
        let same = [tags("Same", "b||a"), tags("Tags", "a"), tags("Theirs", "")];
        let found: Vec<_> = differences(&same, theirs).collect();
        let missing =
            ["Kind", "Sql"].map(|topic| Difference::OnlyTheirs { topic: Text::plain(topic) });
        assert_eq!(found, missing);
    }
}
