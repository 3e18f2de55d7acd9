//! How far a run is: a bar on stderr, or nothing.

use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// Is told what a run does.
pub trait Progress {
    /// `tokens` more have been processed.
    fn advance(&mut self, tokens: usize);

    /// What is being worked on.
    fn at(&mut self, what: &str);

    /// The run is over.
    fn finish(&mut self);
}

/// Shows nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn advance(&mut self, _tokens: usize) {}
    fn at(&mut self, _what: &str) {}
    fn finish(&mut self) {}
}

/// A bar on stderr with the time left; nothing where stderr is no terminal.
#[derive(Debug)]
pub struct Bar(ProgressBar);

impl Bar {
    /// A bar for `tokens` in all.
    #[must_use]
    pub fn new(tokens: usize) -> Self {
        let bar = ProgressBar::with_draw_target(Some(tokens as u64), ProgressDrawTarget::stderr());
        let left = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            // Too early to tell: a forecast from the first instants would only mislead.
            let known = state.elapsed() > Duration::from_secs(2) && state.pos() > 0;
            let _ = match known {
                true => write!(out, "{} left", HumanDuration(state.eta())),
                false => write!(out, "estimating"),
            };
        };
        let template = "{wide_bar:.green} {percent:>3}%  {human_pos}/{human_len} tokens  {time_left}  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.with_key("time_left", left).progress_chars("█▉▊▋▌▍▎▏ "));
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        Self(bar)
    }
}

impl Progress for Bar {
    fn advance(&mut self, tokens: usize) {
        self.0.inc(tokens as u64);
    }

    fn at(&mut self, what: &str) {
        self.0.set_message(what.to_string());
    }

    fn finish(&mut self) {
        self.0.finish_and_clear();
    }
}
