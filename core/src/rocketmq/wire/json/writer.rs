//! The writer.

use core::fmt::{self, Write};

use super::Text;
use crate::rocketmq::wire::text::TextBuffer;

/// What the reader of a text understands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dialect {
    /// As fastjson writes: keys that are numbers have no quotes, everything above ASCII is UTF-8.
    #[default]
    Fastjson,
    /// For strict readers: each key has quotes, everything above ASCII is escaped.
    Strict,
}

/// Writes JSON without white space; commas are put where they belong.
///
/// Call its functions in the order of the text. It does not check that brackets match.
///
/// ```
/// use core::fmt::Write;
/// use turbopump_core::rocketmq::wire::json::{Dialect, Writer};
/// use turbopump_core::rocketmq::wire::text::TextBuffer;
///
/// let mut memory = [0; 64];
/// let mut text = TextBuffer::new(&mut memory);
/// let mut writer = Writer::new(&mut text, Dialect::Fastjson);
/// writer.begin_object()?;
/// writer.key("ids")?;
/// writer.begin_array()?;
/// writer.integer(1)?;
/// writer.text("a\"b".into())?;
/// writer.end_array()?;
/// writer.end_object()?;
/// assert_eq!(text.as_str(), r#"{"ids":[1,"a\"b"]}"#);
/// # Ok::<(), core::fmt::Error>(())
/// ```
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    dialect: Dialect,
    /// Whether a comma is to be written before what comes next.
    comma: bool,
}

impl<W: Write> Writer<W> {
    /// Writes to `out`.
    pub const fn new(out: W, dialect: Dialect) -> Self {
        Self { out, dialect, comma: false }
    }

    /// What was agreed on with the reader.
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Starts an object.
    ///
    /// # Errors
    ///
    /// As `out`, and so for all others.
    pub fn begin_object(&mut self) -> fmt::Result {
        self.begin('{')
    }

    /// Ends an object.
    ///
    /// # Errors
    ///
    /// As `out`.
    pub fn end_object(&mut self) -> fmt::Result {
        self.end('}')
    }

    /// Starts an array.
    ///
    /// # Errors
    ///
    /// As `out`.
    pub fn begin_array(&mut self) -> fmt::Result {
        self.begin('[')
    }

    /// Ends an array.
    ///
    /// # Errors
    ///
    /// As `out`.
    pub fn end_array(&mut self) -> fmt::Result {
        self.end(']')
    }

    /// A key.
    ///
    /// # Errors
    ///
    /// As `out`.
    pub fn key(&mut self, name: &str) -> fmt::Result {
        self.text(name.into())?;
        self.colon()
    }

    /// A key that is a number: in quotes for strict readers only.
    ///
    /// # Errors
    ///
    /// As `out`.
    pub fn number_key(&mut self, value: i64) -> fmt::Result {
        self.separate()?;
        match self.dialect {
            Dialect::Fastjson => write!(self.out, "{value}")?,
            Dialect::Strict => write!(self.out, "\"{value}\"")?,
        }
        self.colon()
    }

    /// The colon behind a key that was written as a value: a text or a whole object.
    ///
    /// # Errors
    ///
    /// As `out`.
    pub fn colon(&mut self) -> fmt::Result {
        self.comma = false;
        self.out.write_char(':')
    }

    /// A text in quotes.
    ///
    /// # Errors
    ///
    /// As `out`.
    pub fn text(&mut self, text: Text<'_>) -> fmt::Result {
        self.separate()?;
        self.out.write_char('"')?;
        match text.as_str() {
            Some(text) => self.escape(text)?,
            None => {
                let mut utf8 = [0; 4];
                for character in text.chars() {
                    self.escape(character.encode_utf8(&mut utf8))?;
                }
            }
        }
        self.comma = true;
        self.out.write_char('"')
    }

    /// A whole number.
    ///
    /// # Errors
    ///
    /// As `out`.
    pub fn integer(&mut self, value: i64) -> fmt::Result {
        self.value(format_args!("{value}"))
    }

    /// A whole number in quotes.
    ///
    /// # Errors
    ///
    /// As `out`.
    pub fn integer_text(&mut self, value: i64) -> fmt::Result {
        self.value(format_args!("\"{value}\""))
    }

    /// A number, as Java writes it; `null` for what is none.
    ///
    /// # Errors
    ///
    /// As `out`.
    pub fn number(&mut self, value: f64) -> fmt::Result {
        if !value.is_finite() {
            return self.null();
        }
        if value == 0.0 || (1e-3..1e7).contains(&value.abs()) {
            return self.value(format_args!("{value:?}"));
        }
        let mut memory = [0; 32];
        let mut text = TextBuffer::new(&mut memory);
        write!(text, "{value:e}")?;
        let (digits, exponent) = text.as_str().split_once('e').unwrap_or_default();
        let fraction = if digits.contains('.') { "" } else { ".0" };
        self.value(format_args!("{digits}{fraction}E{exponent}"))
    }

    /// `true` or `false`.
    ///
    /// # Errors
    ///
    /// As `out`.
    pub fn bool(&mut self, value: bool) -> fmt::Result {
        self.value(format_args!("{value}"))
    }

    /// `null`.
    ///
    /// # Errors
    ///
    /// As `out`.
    pub fn null(&mut self) -> fmt::Result {
        self.value(format_args!("null"))
    }

    /// A value that is JSON already.
    ///
    /// # Errors
    ///
    /// As `out`.
    pub fn json(&mut self, json: &str) -> fmt::Result {
        self.value(format_args!("{json}"))
    }

    fn begin(&mut self, bracket: char) -> fmt::Result {
        self.separate()?;
        self.comma = false;
        self.out.write_char(bracket)
    }

    fn end(&mut self, bracket: char) -> fmt::Result {
        self.comma = true;
        self.out.write_char(bracket)
    }

    fn value(&mut self, value: fmt::Arguments<'_>) -> fmt::Result {
        self.separate()?;
        self.comma = true;
        self.out.write_fmt(value)
    }

    fn separate(&mut self) -> fmt::Result {
        if self.comma { self.out.write_char(',') } else { Ok(()) }
    }

    fn escape(&mut self, text: &str) -> fmt::Result {
        let strict = self.dialect == Dialect::Strict;
        let mut rest = text;
        let is_special = |character: char| {
            character < ' ' || matches!(character, '"' | '\\') || (strict && character > '~')
        };
        while let Some(at) = rest.find(is_special) {
            let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
            self.out.write_str(before)?;
            let mut characters = from.chars();
            if let Some(character) = characters.next() {
                self.escape_one(character)?;
            }
            rest = characters.as_str();
        }
        self.out.write_str(rest)
    }

    fn escape_one(&mut self, character: char) -> fmt::Result {
        match character {
            '"' => self.out.write_str("\\\""),
            '\\' => self.out.write_str("\\\\"),
            '\n' => self.out.write_str("\\n"),
            '\r' => self.out.write_str("\\r"),
            '\t' => self.out.write_str("\\t"),
            '\u{8}' => self.out.write_str("\\b"),
            '\u{c}' => self.out.write_str("\\f"),
            other => {
                let mut units = [0; 2];
                for unit in other.encode_utf16(&mut units) {
                    write!(self.out, "\\u{unit:04X}")?;
                }
                Ok(())
            }
        }
    }
}
