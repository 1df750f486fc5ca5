//! Java's properties: settings as lines of text, as administrators send and read them.
//!
//! Decides what a line means. Which settings there are is left to whoever asks.

use alloc::string::String;
use alloc::vec::Vec;

/// Settings in one text at most; more are refused.
const SETTINGS_MAX: usize = 1_024;

/// Reads the settings in a text; `None` where it is no UTF-8, or has too many.
pub(super) fn read(text: &[u8]) -> Option<Vec<(String, String)>> {
    let text = core::str::from_utf8(text).ok()?;
    let mut settings = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        if settings.len() >= SETTINGS_MAX {
            return None;
        }
        let (name, value) = split(line);
        settings.push((plain(name.trim_end()), plain(value.trim_start())));
    }
    Some(settings)
}

/// Writes settings, each in a line of its own.
pub(super) fn write<'a>(settings: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in settings {
        for part in [name, "=", value, "\n"] {
            text.push_str(part);
        }
    }
    text
}

/// The name ends at the first `=` or `:` that has no backslash before it.
fn split(line: &str) -> (&str, &str) {
    let mut is_escaped = false;
    for (at, character) in line.char_indices() {
        if !is_escaped && matches!(character, '=' | ':') {
            let (name, value) = line.split_at(at);
            return (name, value.get(1..).unwrap_or_default());
        }
        is_escaped = character == '\\' && !is_escaped;
    }
    (line, "")
}

/// The text without its backslashes.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let character = match character {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(other) => other,
                None => break,
            },
            other => other,
        };
        plain.push(character);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_java_writes_them() {
        let text = b"#Tue Nov 14 2023\nname = a\\:b\n\n!x\nkey\\=1=v\nbare\n";
        let settings = read(text).unwrap();
        let expected = [("name", "a:b"), ("key=1", "v"), ("bare", "")];
        let expected = expected.map(|(name, value)| (name.into(), value.into()));
        assert_eq!(settings, expected);
        assert_eq!(write([("a", "1"), ("b", "")].into_iter()), "a=1\nb=\n");
    }

    #[test]
    fn what_is_too_much_is_refused() {
        assert_eq!(read(&[0xff]), None);
        assert_eq!(read("a=1\n".repeat(SETTINGS_MAX + 1).as_bytes()), None);
    }
}
