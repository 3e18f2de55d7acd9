//! How far a run or a download is: a bar on stderr, or nothing.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::printable;

/// Is told what a run does.
pub trait Progress {
    /// What is about to be done, in a line.
    fn begins(&mut self, _what: &str) {}

    /// So many tokens will be processed.
    fn expects(&mut self, _tokens: usize) {}

    /// `tokens` more have been processed.
    fn advance(&mut self, tokens: usize);

    /// What is being worked on.
    fn at(&mut self, what: &str);

    /// A trial ended, and is kept.
    fn ended(&mut self, _trial: &Ended) {}

    /// The run is over.
    fn finish(&mut self);
}

/// A trial that ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ended {
    /// Its key.
    pub row_id: String,
    /// Prompt length asked for, in tokens.
    pub context_length: usize,
    /// Depth asked for, in per cent.
    pub depth_percent: f64,
    /// Whether the answer was right; missing where there is none.
    pub correct: Option<bool>,
    /// What became of it, in a word.
    pub finding: &'static str,
    /// The largest needle mass of all heads.
    pub needle_mass: Option<f64>,
    /// Its wall time.
    pub seconds: Option<f64>,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.row_id, self.finding)?;
        self.needle_mass.map_or(Ok(()), |mass| write!(f, ", needle mass {mass:.3}"))?;
        self.seconds.map_or(Ok(()), |seconds| write!(f, ", {seconds:.1} s"))
    }
}

/// A duration in the unit that it takes most of, such as `3 minutes`.
#[must_use]
pub fn in_words(duration: Duration) -> String {
    HumanDuration(duration).to_string()
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
        Self::drawn(
            tokens,
            "{wide_bar:.green} {percent:>3}%  {human_pos}/{human_len} tokens  {time_left}  {msg}",
        )
    }

    /// The same below lines ([`Self::say`]).
    #[must_use]
    pub fn below_lines(tokens: usize) -> Self {
        Self::drawn(
            tokens,
            "{msg}\n{wide_bar:.green} {percent:>3}%  {human_pos}/{human_len} tokens  {time_left}",
        )
    }

    /// Puts lines in the place of those above the bar.
    pub fn say(&mut self, lines: &str) {
        self.0.set_message(printable::lines(lines).trim_end().to_string());
    }

    /// Writes a line above everything, where it stays.
    pub fn above(&mut self, line: &str) {
        self.0.println(printable::line(line));
    }

    fn drawn(tokens: usize, template: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(tokens as u64), ProgressDrawTarget::stderr());
        let left = |state: &ProgressState, out: &mut dyn fmt::Write| {
            // Too early to tell: a forecast from the first instants would only mislead.
            let known = state.elapsed() > Duration::from_secs(2) && state.pos() > 0;
            let _ = match known {
                true => write!(out, "{} left", HumanDuration(state.eta())),
                false => write!(out, "estimating"),
            };
        };
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
        self.0.set_message(printable::line(what).into_owned());
    }

    fn finish(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A download: a bar on stderr with the speed and the time left; where stderr is no terminal, a line when it
/// begins.
#[derive(Debug)]
pub struct Download(ProgressBar);

impl Download {
    /// The download of a file of this many bytes.
    #[must_use]
    pub fn new(file: &str, bytes: u64) -> Self {
        let file = printable::line(file);
        let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
        if bar.is_hidden() {
            // A reader of stderr that has gone away must not end a run.
            let _ = writeln!(std::io::stderr(), "downloading {file} ({})", HumanBytes(bytes));
        }
        let template = "{wide_bar:.green} {bytes}/{total_bytes}  {binary_bytes_per_sec}  {eta} left  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
        }
        bar.set_message(file.into_owned());
        Self(bar)
    }

    /// So many bytes are there already, from this attempt or an earlier one.
    pub fn set(&mut self, bytes: u64) {
        self.0.set_position(bytes);
    }

    /// So many more have come.
    pub fn advance(&mut self, bytes: u64) {
        self.0.inc(bytes);
    }

    /// The file is complete.
    pub fn finish(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A line on stderr about something that takes its time without a bar.
pub fn say(line: &str) {
    // A reader of stderr that has gone away must not end a run.
    let _ = writeln!(std::io::stderr(), "{}", printable::line(line));
}
