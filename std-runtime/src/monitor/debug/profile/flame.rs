//! Stacks as a flame graph: an SVG that needs nothing else. The root is on top; the width of a
//! frame is its share of the samples.

use core::fmt::{self, Write};

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// Frames by what they were called from.
#[derive(Default)]
pub(super) struct Flame {
    root: Node,
}

#[derive(Default)]
struct Node {
    count: u64,
    callees: BTreeMap<String, Self>,
}

/// Deeper frames are counted for their callers.
const DEPTH_MAX: usize = 256;

const WIDTH: f64 = 1_200.0;
const ROW: f64 = 17.0;
/// Of a letter, about.
const LETTER: f64 = 6.6;
/// Narrower frames can't be seen.
const NARROWEST: f64 = 0.4;

impl Flame {
    /// Adds a stack, the root first.
    pub(super) fn add<'f>(&mut self, stack: impl Iterator<Item = &'f str>, count: u64) {
        self.root.count += count;
        let mut at = &mut self.root;
        for name in stack.take(DEPTH_MAX) {
            at = at.callees.entry(name.into()).or_default();
            at.count += count;
        }
    }

    pub(super) fn draw(&self) -> String {
        let mut rows = String::new();
        let depth = self.frames(&mut rows);
        // Writing to a string can't fail.
        let depth = depth.unwrap_or(0);
        let height = (depth as f64 + 1.0) * ROW;
        alloc::format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"monospace\" font-size=\"11\">\
             <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>{rows}</svg>\n"
        )
    }

    /// Draws all frames; how many lie above each other.
    fn frames(&self, into: &mut String) -> Result<usize, fmt::Error> {
        let scale = WIDTH / self.root.count.max(1) as f64;
        let mut deepest = 0;
        let mut open = Vec::from([("all", &self.root, 0_usize, 0.0_f64)]);
        while let Some((name, node, depth, left)) = open.pop() {
            let width = node.count as f64 * scale;
            if width < NARROWEST {
                continue;
            }
            deepest = deepest.max(depth);
            let share = node.count as f64 * 100.0 / self.root.count.max(1) as f64;
            let letters = ((width - 4.0) / LETTER).max(0.0) as usize;
            let shown: String = name.chars().take(if letters < 3 { 0 } else { letters }).collect();
            let top = depth as f64 * ROW;
            write!(
                into,
                "<g><title>{}: {} samples, {share:.1} %</title>\
                 <rect x=\"{left:.2}\" y=\"{top}\" width=\"{width:.2}\" height=\"{:.0}\" \
                 fill=\"{}\" stroke=\"#fff\" stroke-width=\"0.5\"/>\
                 <text x=\"{:.2}\" y=\"{}\">{}</text></g>",
                Escaped(name),
                node.count,
                ROW - 1.0,
                Colour(name),
                left + 2.0,
                top + 12.0,
                Escaped(&shown)
            )?;
            let mut left = left;
            for (name, callee) in &node.callees {
                open.push((name, callee, depth + 1, left));
                left += callee.count as f64 * scale;
            }
        }
        Ok(deepest)
    }
}

/// One name, one colour: warm, and light enough for black letters.
struct Colour<'n>(&'n str);

impl fmt::Display for Colour<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = self
            .0
            .bytes()
            .fold(17_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        write!(f, "hsl({},80%,{}%)", hash % 50, 62 + hash / 64 % 14)
    }
}

struct Escaped<'t>(&'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                letter if letter.is_control() => f.write_char('?')?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_lie_below_their_callers_and_share_their_width() {
        let mut flame = Flame::default();
        flame.add(["thread", "main", "Vec<T>"].into_iter(), 3);
        flame.add(["thread", "main"].into_iter(), 1);
        let svg = flame.draw();
        assert!(svg.contains("<title>main: 4 samples, 100.0 %</title>"), "{svg}");
        assert!(svg.contains("<title>Vec&lt;T&gt;: 3 samples, 75.0 %</title>"), "{svg}");
        assert!(svg.contains("y=\"51\" width=\"900.00\""), "{svg}");
        let nothing = Flame::default().draw();
        assert!(nothing.ends_with("fill=\"#fff\"/></svg>\n"), "no frames: {nothing}");
    }
}
