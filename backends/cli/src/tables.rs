//! Tables, numbers and times, as people read them.

use core::fmt::{Display, Write};
use core::time::Duration;
use std::time::SystemTime;

/// `1 queue`, `2 queues`.
pub(crate) fn number(count: impl Display, what: &str) -> String {
    let count = count.to_string();
    let ending = if count == "1" { "" } else { "s" };
    format!("{count} {what}{ending}")
}

/// Rows of columns as wide as needed: texts on the left, numbers, from a column on, on the right.
pub(crate) fn table<const COLUMNS: usize>(
    text: &mut String,
    rows: &[[String; COLUMNS]],
    numbers_from: usize,
) {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in rows {
        let mut line = String::new();
        for (column, (width, cell)) in widths.iter().zip(row).enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            // Writing to a string can't fail.
            let _ = match column < numbers_from {
                true => write!(line, "{gap}{cell:width$}"),
                false => write!(line, "{gap}{cell:>width$}"),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

/// A time in UTC, to the second.
pub(crate) fn moment(unix_ms: i64) -> String {
    let since = Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0));
    match SystemTime::UNIX_EPOCH.checked_add(since) {
        // Years of more than four digits have no text.
        Some(at) if since < Duration::from_secs(253_402_300_800) => {
            humantime::format_rfc3339_seconds(at).to_string()
        }
        _ => unix_ms.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_as_wide_as_needed() {
        let mut text = String::new();
        let rows = [["NAME", "N"], ["a", "10"], ["longer", "7"]];
        table(&mut text, &rows.map(|row| row.map(String::from)), 1);
        assert_eq!(text, "NAME     N\na       10\nlonger   7\n");
    }

    #[test]
    fn times_are_written_whatever_they_are() {
        assert_eq!(moment(1_700_000_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(moment(i64::MAX), i64::MAX.to_string());
    }
}
