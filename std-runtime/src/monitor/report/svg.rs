//! Lines as an SVG that needs nothing else.

use core::fmt::{self, Write};

use alloc::string::String;

use super::findings::number;
use super::plots::Line;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 26.0;

/// Draws lines from 0 to their largest value, over `seconds`.
pub(super) fn draw(into: &mut String, title: &str, lines: &[Line], seconds: f64) -> fmt::Result {
    let top = lines.iter().map(Line::top).fold(0.0, f64::max);
    let (top, seconds) = (if top > 0.0 { top } else { 1.0 }, seconds.max(0.001));
    let x = |second: f64| LEFT + second / seconds * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - value.max(0.0) / top * (HEIGHT - TOP - BOTTOM);
    write!(
        into,
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
        Escaped(title)
    )?;
    for step in 0..=4 {
        let value = top * f64::from(step) / 4.0;
        let (at, right) = (y(value), WIDTH - RIGHT);
        write!(
            into,
            "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{right}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            at + 4.0,
            number(value)
        )?;
    }
    for (second, anchor) in [(0.0, "start"), (seconds, "end")] {
        write!(
            into,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{} s</text>",
            x(second),
            HEIGHT - 8.0,
            number(second)
        )?;
    }
    for (index, line) in lines.iter().enumerate() {
        write!(into, "<polyline class=\"c{index}\" points=\"")?;
        for (second, value) in &line.points {
            write!(into, "{:.1},{:.1} ", x(*second), y(*value))?;
        }
        into.write_str("\"/>")?;
    }
    into.write_str("</svg>")
}

/// Text within HTML, attributes included.
pub(super) struct Escaped<'t>(pub(super) &'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}
