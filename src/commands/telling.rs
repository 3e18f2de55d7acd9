//! What is told on stderr while trials run: a line, then the grid as it fills with a bar below it, or lines
//! now and then where no terminal is. And when trials are stopped.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::{Duration, Instant};

use super::filling::Filling;
use super::told::{stderr_width, tell};
use crate::cli::TellingArgs;
use crate::error::Error;
use crate::plan::Settings;
use crate::progress::{Bar, Ended, Progress, in_words};
use crate::store::directory::RunDirectory;
use crate::trial::Outcome;

/// The error of a run of so many trials with what to do, where it was stopped.
pub(super) fn stopped(error: Error, store: &RunDirectory, planned: usize, directory: &Path) -> Error {
    match error {
        Error::Interrupted => Error::Stopped(format!(
            "stopped after {} of {planned} trials; they are kept in {}. Run the same command again to go on",
            store.done().len(),
            directory.display()
        )),
        other => other,
    }
}

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Amount {
    /// Warnings and errors.
    Little,
    /// How far it is.
    Some,
    /// Every trial as well.
    Much,
}

impl From<&TellingArgs> for Amount {
    fn from(args: &TellingArgs) -> Self {
        match (args.quiet, args.verbose) {
            (true, _) => Self::Little,
            (_, true) => Self::Much,
            _ => Self::Some,
        }
    }
}

/// Tells of trials.
pub(super) struct Telling {
    amount: Amount,
    filling: Filling,
    /// A bar with the grid above it, on a terminal.
    bar: Option<Bar>,
    is_terminal: bool,
    at: String,
    tokens: Tokens,
    pace: Pace,
    now: Box<dyn Fn() -> Duration>,
    say: Box<dyn FnMut(&str)>,
}

impl Telling {
    /// Tells of a run of which some trials have run already.
    pub(super) fn of(settings: &Settings, outcomes: &[Outcome], args: &TellingArgs) -> Self {
        let begun = Instant::now();
        Self {
            amount: args.into(),
            filling: Filling::new(&settings.grid, settings.trials, outcomes).planning(settings.planned()),
            bar: None,
            is_terminal: io::stderr().is_terminal(),
            at: String::new(),
            tokens: Tokens::default(),
            pace: Pace::default(),
            now: Box::new(move || begun.elapsed()),
            say: Box::new(|line| tell(format_args!("{line}"))),
        }
    }

    /// The same of so many trials.
    pub(super) fn planning(self, planned: usize) -> Self {
        Self { filling: self.filling.planning(planned), ..self }
    }

    /// A line that says where results are, or something else that is no warning.
    pub(super) fn note(&mut self, line: &str) {
        if self.amount != Amount::Little {
            (self.say)(line);
        }
    }

    /// Draws the grid and what is worked on above the bar.
    fn draw(&mut self) {
        let Some(bar) = &mut self.bar else { return };
        let grid = self.filling.grid(stderr_width().unwrap_or(80), '.');
        let summary = [self.filling.summary(), self.at.clone()].join("; ");
        bar.say(&grid.into_iter().chain([summary]).collect::<Vec<_>>().join("\n"));
    }

    /// Says how far it is, when that is due.
    fn line(&mut self) {
        let now = (self.now)();
        let (ended, planned) = (self.filling.ended(), self.filling.planned());
        if self.amount == Amount::Little || self.is_terminal || !self.pace.is_due(now, ended, planned) {
            return;
        }
        let left = self.tokens.left(now).map_or(String::new(), |left| format!(", {left}"));
        (self.say)(&format!("{}{left}", self.filling.summary()));
    }
}

impl Progress for Telling {
    fn begins(&mut self, what: &str) {
        self.note(what);
    }

    fn expects(&mut self, tokens: usize) {
        self.tokens.all = tokens;
        self.pace = Pace::begun((self.now)(), self.filling.ended(), self.filling.planned());
        if self.is_terminal && self.amount != Amount::Little {
            self.bar = Some(Bar::below_lines(tokens));
            self.draw();
        }
    }

    fn advance(&mut self, tokens: usize) {
        self.tokens.done += tokens;
        self.bar.iter_mut().for_each(|bar| bar.advance(tokens));
        self.line();
    }

    fn at(&mut self, what: &str) {
        self.at = what.to_string();
        self.draw();
    }

    fn ended(&mut self, trial: &Ended) {
        self.filling.add(trial);
        if self.amount == Amount::Much {
            let words = trial.to_string();
            match &mut self.bar {
                Some(bar) => bar.above(&words),
                None => (self.say)(&words),
            }
        }
        self.draw();
        self.line();
    }

    fn finish(&mut self) {
        self.bar.iter_mut().for_each(Progress::finish);
        self.bar = None;
    }
}

/// Tokens of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tokens {
    /// In all.
    pub(super) all: usize,
    /// Those that were processed.
    pub(super) done: usize,
}

impl Tokens {
    /// How long the others take, in words, after so much time.
    pub(super) fn left(self, now: Duration) -> Option<String> {
        // Too early to tell: a forecast from the first instants would only mislead.
        let known = now > Duration::from_secs(2) && self.done > 0 && self.done < self.all;
        let left = || now.mul_f64((self.all - self.done) as f64 / self.done as f64);
        known.then(|| format!("{} left", in_words(left())))
    }
}

/// When a line is due where no bar can be drawn: at every tenth of the trials, and ten seconds after the last
/// line.
#[derive(Debug, Default)]
struct Pace {
    last: Duration,
    tenth: usize,
}

impl Pace {
    const EVERY: Duration = Duration::from_secs(10);

    fn begun(now: Duration, ended: usize, planned: usize) -> Self {
        Self { last: now, tenth: Self::tenth(ended, planned) }
    }

    fn tenth(ended: usize, planned: usize) -> usize {
        (10 * ended).checked_div(planned).unwrap_or(0)
    }

    fn is_due(&mut self, now: Duration, ended: usize, planned: usize) -> bool {
        let tenth = Self::tenth(ended, planned);
        let due = tenth > self.tenth || now.saturating_sub(self.last) >= Self::EVERY;
        if due {
            (self.last, self.tenth) = (now, tenth);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    use super::*;
    use crate::commands::filling::tests::{ended, filling};

    /// What is told of a run of eight trials, two of which have run, at the times that the clock says.
    fn told(amount: Amount, steps: impl FnOnce(&mut Telling, &Cell<u64>)) -> Vec<String> {
        let lines = Rc::new(RefCell::new(Vec::new()));
        let clock = Rc::new(Cell::new(0));
        let (said, seconds) = (Rc::clone(&lines), Rc::clone(&clock));
        let mut telling = Telling {
            amount,
            filling: filling(),
            bar: None,
            is_terminal: false,
            at: String::new(),
            tokens: Tokens::default(),
            pace: Pace::default(),
            now: Box::new(move || Duration::from_secs(seconds.get())),
            say: Box::new(move |line| said.borrow_mut().push(line.to_string())),
        };
        telling.begins("what runs");
        telling.expects(100);
        steps(&mut telling, &clock);
        telling.finish();
        drop(telling);
        Rc::try_unwrap(lines).unwrap().into_inner()
    }

    #[test]
    fn without_a_terminal_a_line_comes_at_each_tenth_and_every_ten_seconds() {
        let lines = told(Amount::Some, |telling, clock| {
            telling.advance(10);
            clock.set(9);
            telling.advance(10);
            clock.set(10);
            telling.advance(5);
            telling.advance(5);
            telling.ended(&ended(1024, 0.0, Some(true)));
            clock.set(19);
            telling.advance(10);
        });
        assert_eq!(
            lines,
            [
                "what runs",
                "2 of 8 trials, 0 of 4 cells, 50% right so far, 30 seconds left",
                "3 of 8 trials, 1 of 4 cells, 67% right so far, 23 seconds left",
            ]
        );
    }

    #[test]
    fn many_trials_have_a_line_at_each_tenth_alone() {
        let mut pace = Pace::begun(Duration::ZERO, 0, 1000);
        let due = (1..=1000).filter(|&ended| pace.is_due(Duration::from_secs(1), ended, 1000)).count();
        assert_eq!(due, 10);
    }

    #[test]
    fn quiet_says_nothing_and_verbose_every_trial() {
        let steps = |telling: &mut Telling, _: &Cell<u64>| {
            telling.ended(&Ended {
                row_id: "1024:0:1".into(),
                finding: "missed",
                needle_mass: Some(0.125),
                seconds: Some(1.5),
                ..ended(1024, 0.0, Some(false))
            });
        };
        assert_eq!(told(Amount::Little, steps), [""; 0]);
        let lines = told(Amount::Much, steps);
        assert_eq!(lines[1], "1024:0:1 missed, needle mass 0.125, 1.5 s");
        assert_eq!(lines.len(), 3, "{lines:?}");
    }
}
