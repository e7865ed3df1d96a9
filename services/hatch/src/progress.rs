//! How far long work has come, for whoever watches the terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const TEMPLATE: &str = "{msg} {bar:30} {human_pos} of {human_len}, {per_sec}, {eta} to go";

/// A bar for `length` steps of `what`, on the standard error; nothing where that is no terminal.
#[must_use]
pub fn bar(what: &'static str, length: i64) -> ProgressBar {
    let length = u64::try_from(length).unwrap_or_default();
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    // The template is a constant: it parses.
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}
