//! Labels: what tells the samples of one family apart.

use core::fmt;

use super::descriptor::check_characters;

/// The most labels a sample can have, those of the writer and of its source included.
pub const LABELS_MAX: usize = 16;

/// Names that one of the formats uses for itself: `le` and `quantile` belong to Prometheus, `time`
/// to InfluxDB. They are refused for all, so that what one format takes all take.
const RESERVED: [&str; 3] = ["le", "quantile", "time"];

/// The labels of a sample: its own, then those of the sources around it, then constant ones.
///
/// All names are valid and no name comes twice. Nothing is copied: each level borrows its own list
/// and the level around it.
///
/// ```
/// use turbopump_core::stats::{LabelError, Labels};
///
/// let constant = Labels::new(&[("client", "x")])?;
/// let labels = constant.and(&[("topic", "a"), ("group", "")])?;
/// assert!(labels.iter().eq([("topic", "a"), ("client", "x")]));
/// assert_eq!(labels.get("topic"), Some("a"));
/// # Ok::<(), LabelError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Labels<'a> {
    own: &'a [(&'a str, &'a str)],
    around: Option<&'a Self>,
    /// Labels of this level and all around it.
    total: usize,
}

impl<'a> Labels<'a> {
    /// No labels.
    pub const NONE: Self = Self { own: &[], around: None, total: 0 };

    /// Checks labels.
    ///
    /// A name starts with a letter and has letters, digits and underscores. A value may be any
    /// text; a label whose value is empty is left out, which is what an empty value means in all
    /// formats.
    ///
    /// # Errors
    ///
    /// [`LabelError`] says which label was refused and why.
    pub fn new(labels: &'a [(&'a str, &'a str)]) -> Result<Self, LabelError> {
        const { &Labels::NONE }.and(labels)
    }

    /// More labels, with these around them.
    ///
    /// # Errors
    ///
    /// [`LabelError`] says which of the added labels was refused and why.
    #[inline]
    pub fn and<'b>(&'b self, more: &'b [(&'b str, &'b str)]) -> Result<Labels<'b>, LabelError>
    where
        'a: 'b,
    {
        let total = self.total + more.len();
        if total > LABELS_MAX {
            return Err(LabelError::TooMany { total });
        }
        for (index, &(name, _)) in more.iter().enumerate() {
            if check_characters(name).is_err() {
                return Err(LabelError::Name { index });
            }
            if RESERVED.contains(&name) {
                return Err(LabelError::Reserved { index });
            }
            if more[..index].iter().any(|label| label.0 == name) || self.names(name) {
                return Err(LabelError::Twice { index });
            }
        }
        Ok(Labels { own: more, around: Some(self), total })
    }

    /// All labels that have a value, the innermost first.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let mut level = *self;
        core::iter::from_fn(move || {
            loop {
                if let Some((&label, rest)) = level.own.split_first() {
                    level.own = rest;
                    if !label.1.is_empty() {
                        return Some(label);
                    }
                } else {
                    level = *level.around?;
                }
            }
        })
    }

    /// The value of the label `name`, `None` where there is no such label or its value is empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter().find(|label| label.0 == name).map(|label| label.1)
    }

    /// Whether a label is called `name`, with a value or without.
    #[inline]
    fn names(&self, name: &str) -> bool {
        let mut level = Some(self);
        while let Some(labels) = level {
            if labels.own.iter().any(|label| label.0 == name) {
                return true;
            }
            level = labels.around;
        }
        false
    }
}

/// Whether a label could have this name.
pub(crate) fn name_is_valid(name: &str) -> bool {
    check_characters(name).is_ok() && !RESERVED.contains(&name)
}

impl fmt::Debug for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Why a label was refused. `index` is its position in the list that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LabelError {
    /// The name is empty, doesn't start with a letter, or has something else than letters, digits
    /// and underscores.
    Name {
        /// Position of the label.
        index: usize,
    },
    /// The name is `le`, `quantile` or `time`, which the text formats use themselves.
    Reserved {
        /// Position of the label.
        index: usize,
    },
    /// There is already a label of this name, perhaps one of the writer's constant ones.
    Twice {
        /// Position of the label.
        index: usize,
    },
    /// There would be more than [`LABELS_MAX`] labels.
    TooMany {
        /// How many there would be.
        total: usize,
    },
}

impl fmt::Display for LabelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { index } => write!(
                f,
                "the name of label {index} must be letters, digits and underscores, a letter first"
            ),
            Self::Reserved { index } => {
                write!(f, "the name of label {index} belongs to a text format; pick another")
            }
            Self::Twice { index } => {
                write!(f, "the name of label {index} is taken, perhaps by a constant label")
            }
            Self::TooMany { total } => {
                write!(f, "{total} labels, constant ones included, where {LABELS_MAX} are allowed")
            }
        }
    }
}

impl core::error::Error for LabelError {}

#[cfg(test)]
mod tests {
    use super::{LABELS_MAX, LabelError, Labels};

    #[test]
    fn levels_follow_each_other_and_empty_values_are_left_out() {
        let constant = [("m", "1"), ("z", "2")];
        let outer = Labels::new(&constant).unwrap();
        let own = [("b", "3"), ("n", ""), ("c", "4")];
        let all = outer.and(&own).unwrap();
        assert!(all.iter().eq([("b", "3"), ("c", "4"), ("m", "1"), ("z", "2")]));
        assert_eq!(all.get("z"), Some("2"));
        assert_eq!(all.get("n"), None);
        assert!(outer.iter().eq(constant));
        assert!(Labels::NONE.iter().next().is_none());
    }

    #[test]
    fn bad_labels_are_refused_by_position() {
        let outer = Labels::new(&[("m", "1"), ("e", "")]).unwrap();
        for name in ["", "1a", "_a", "a-b", "a b", "é", "a\"b", "a\nb"] {
            let refused = outer.and(&[("a", "1"), (name, "2")]).unwrap_err();
            assert_eq!(refused, LabelError::Name { index: 1 }, "{name:?}");
        }
        for name in ["le", "quantile", "time"] {
            let refused = outer.and(&[(name, "2")]).unwrap_err();
            assert_eq!(refused, LabelError::Reserved { index: 0 });
        }
        for name in ["a", "m", "e"] {
            let refused = outer.and(&[("a", "1"), (name, "2")]).unwrap_err();
            assert_eq!(refused, LabelError::Twice { index: 1 });
        }
    }

    #[test]
    fn one_more_than_the_limit_is_refused() {
        const NAMES: [&str; LABELS_MAX] =
            ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"];
        let labels = NAMES.map(|name| (name, "x"));
        let full = Labels::new(&labels).unwrap();
        let refused = full.and(&[("q", "x")]).unwrap_err();
        assert_eq!(refused, LabelError::TooMany { total: LABELS_MAX + 1 });
    }
}
