//! The bar on standard error.

use core::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Drawn where standard error is a terminal.
pub(crate) fn bar(messages: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(messages), ProgressDrawTarget::stderr());
    let template = "{bar:40} {human_pos}/{human_len} messages, {per_sec}, {eta} left";
    // The template is a constant; where it were wrong, the bar would look plain.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
