//! A value as it was given, and what it can be read as.

use core::fmt;

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use toml::de::DeValue;

use super::DAY_MS;

/// A value, before it is known what it is for.
pub(super) enum Given<'g> {
    /// In a file.
    InFile(&'g DeValue<'g>),
    /// In a variable, where everything is a text.
    Variable(&'g str),
}

impl<'g> Given<'g> {
    /// A text that is not empty; or what is allowed.
    pub(super) fn text(&self, what: &str) -> Result<&str, String> {
        let text = match self {
            Self::InFile(DeValue::String(text)) => Some(&**text),
            Self::Variable(text) => Some(*text),
            Self::InFile(_) => None,
        };
        text.filter(|text| !text.trim().is_empty()).ok_or_else(|| format!("allowed is {what}"))
    }

    /// A text, or a list of texts, which is joined.
    pub(super) fn texts(&self, separator: char, what: &str) -> Result<String, String> {
        let Self::InFile(DeValue::Array(items)) = self else {
            return self.text(what).map(Into::into);
        };
        let texts: Option<Vec<&str>> = items
            .iter()
            .map(|item| match item.get_ref() {
                DeValue::String(text) if !text.trim().is_empty() => Some(&**text),
                _ => None,
            })
            .collect();
        let texts = texts.filter(|texts| !texts.is_empty());
        let mut memory = [0; 4];
        let separator: &str = separator.encode_utf8(&mut memory);
        texts
            .map(|texts| texts.join(separator))
            .ok_or_else(|| format!("allowed is {what}, or a list of these"))
    }

    /// A whole number; or what is allowed.
    pub(super) fn number(&self, unit: &str, least: u64, most: u64) -> Result<u64, String> {
        let number = match self {
            Self::InFile(DeValue::Integer(digits)) => {
                u64::from_str_radix(digits.as_str(), digits.radix()).ok()
            }
            // As in TOML.
            Self::Variable(text) => text.trim().replace('_', "").parse().ok(),
            Self::InFile(_) => None,
        };
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| format!("allowed are whole numbers of {unit} from {least} to {most}"))
    }

    /// Milliseconds of at most a day, as microseconds.
    pub(super) fn us(&self, least_ms: u64) -> Result<u64, String> {
        Ok(self.number("milliseconds", least_ms, DAY_MS)?.saturating_mul(1_000))
    }

    pub(super) fn bytes(&self, least: u64, most: u64) -> Result<usize, String> {
        Ok(usize::try_from(self.number("bytes", least, most)?).unwrap_or(usize::MAX))
    }
}

/// As somebody would look for it.
impl fmt::Display for Given<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: Cow<'_, str> = match self {
            Self::Variable(text) => format!("{text:?}").into(),
            Self::InFile(DeValue::String(text)) => format!("{text:?}").into(),
            Self::InFile(DeValue::Integer(digits)) => format!("{digits}").into(),
            Self::InFile(DeValue::Float(digits)) => format!("{digits}").into(),
            Self::InFile(DeValue::Boolean(is_true)) => format!("{is_true}").into(),
            Self::InFile(DeValue::Datetime(_)) => "a time".into(),
            Self::InFile(DeValue::Array(_)) => "a list".into(),
            Self::InFile(DeValue::Table(_)) => "a table".into(),
        };
        f.write_str(&text)
    }
}
