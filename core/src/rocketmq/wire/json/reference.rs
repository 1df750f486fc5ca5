//! What fastjson writes instead of an object that it has written before: where that one is.
//!
//! References within what a reference means are not followed: a short text could say a lot then.

use super::{Chars, JsonError, JsonProblem, Reader};

/// How a reference begins. fastjson puts no white space into it, and nobody else makes any.
pub(super) const REFERENCE: &[u8] = b"{\"$ref\":\"";

/// Reads a reference and finds what it means: a place in `root`, the whole text.
///
/// Walks `root` from its start, so each reference costs time in proportion to its length.
pub(super) fn follow<'a>(reader: &mut Reader<'a>, root: &'a [u8]) -> Result<Reader<'a>, JsonError> {
    let position = reader.position();
    reader.begin_object()?;
    reader.next_key()?;
    let path = reader.text()?;
    let is_whole = reader.next_key()?.is_none();
    let found = find(Path(path.chars()), Reader::new(root));
    let target = found.ok().flatten().filter(|_| is_whole).map(|found| found.with_root(&[]));
    target.ok_or(JsonError { position, problem: JsonProblem::Value { expected: TARGET } })
}

const TARGET: &str = "a reference to what stands elsewhere in the text";

/// The reader in front of the value at `path`.
fn find<'a>(mut path: Path<'_>, mut at: Reader<'a>) -> Result<Option<Reader<'a>>, JsonError> {
    if path.0.next() != Some('$') {
        // `..` and `@` mean an object around this one: no body is built so.
        return Ok(None);
    }
    while let Some(step) = path.step() {
        let Some(name) = step else { return Ok(None) };
        let is_there = match at.is_at(b"[")? {
            true => enter_array(&name, &mut at)?,
            false => enter_object(&name, &mut at)?,
        };
        if !is_there {
            return Ok(None);
        }
    }
    Ok(Some(at))
}

fn enter_array(name: &Name<'_>, at: &mut Reader<'_>) -> Result<bool, JsonError> {
    at.begin_array()?;
    let mut index = 0_u32;
    while at.next_item()? {
        if number(name.clone()) == Some(index) {
            return Ok(true);
        }
        at.skip()?;
        index = index.saturating_add(1);
    }
    Ok(false)
}

/// A number may be the key of an object, too.
fn enter_object(name: &Name<'_>, at: &mut Reader<'_>) -> Result<bool, JsonError> {
    at.begin_object()?;
    while let Some(key) = at.next_key()? {
        if key.raw().text()?.chars().eq(name.clone()) {
            return Ok(true);
        }
        at.skip()?;
    }
    Ok(false)
}

fn number(name: Name<'_>) -> Option<u32> {
    let mut digits = name.map(|character| character.to_digit(10)).peekable();
    digits.peek()?;
    digits.try_fold(0_u32, |number, digit| number.checked_mul(10)?.checked_add(digit?))
}

/// What is left of a path: `.name` and `[number]`.
struct Path<'a>(Chars<'a>);

impl<'a> Path<'a> {
    /// The next name or number; `None` at the end, `Some(None)` where neither is.
    fn step(&mut self) -> Option<Option<Name<'a>>> {
        let ends: &[char] = match self.0.next()? {
            '.' => &['.', '['],
            '[' => &[']'],
            _ => return Some(None),
        };
        let name = Name { rest: self.0.clone(), ends };
        let mut walked = name.clone();
        while walked.next().is_some() {}
        self.0 = walked.rest;
        let is_closed = *ends != [']'] || self.0.next().is_some();
        Some(is_closed.then_some(name))
    }
}

/// A name in a path, up to what ends it; backslashes stand before anything but letters and digits.
#[derive(Clone)]
struct Name<'a> {
    rest: Chars<'a>,
    ends: &'static [char],
}

impl Iterator for Name<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let mut ahead = self.rest.clone();
        let mut character = ahead.next()?;
        if self.ends.contains(&character) {
            return None;
        }
        if character == '\\' {
            character = ahead.next()?;
        }
        self.rest = ahead;
        Some(character)
    }
}
