//! A run on a screen of its own (`--interactive`): stored, or while it goes on.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::filling::Filling;
use super::kept::{Keeping, Kept};
use super::telling::{Telling, Tokens, stopped};
use super::{STOPPED, stop_on_interrupt, tell, warn};
use crate::cli::ViewArgs;
use crate::error::{Error, Result};
use crate::evaluate::{Evaluation, Watch};
use crate::export::style::Style;
use crate::interactive::screen::show;
use crate::interactive::{App, Going, Leave, Stored};
use crate::progress::{Ended, Progress};
use crate::stats::LengthRule;
use crate::store::directory::{RunDirectory, RunRecord};
use crate::store::stored::StoredRun;
use crate::store::tasks::TasksRecord;

/// How a run is shown on a screen.
#[derive(Clone, Copy)]
pub(super) struct OnScreen<'a> {
    pub(super) style: &'a Style,
    pub(super) rule: LengthRule,
}

/// Refuses to take a screen where there is no terminal for it.
pub(super) fn check_terminal() -> Result<()> {
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    let found = match (io::stdin().is_terminal(), io::stdout().is_terminal()) {
        (true, true) if dumb => "TERM=dumb",
        (true, true) => return Ok(()),
        (false, _) => "stdin that is no terminal",
        (_, false) => "stdout that is no terminal",
    };
    Err(Error::invalid("--interactive", found, "a terminal; leave the flag out to have the report printed"))
}

/// Shows a stored run until its screen is left.
///
/// # Errors
/// When there is no terminal, or no run, and when it is stopped from outside.
pub(super) fn view(args: &ViewArgs, style: &Style) -> Result<()> {
    check_terminal()?;
    if TasksRecord::is_in(&args.directory) {
        let problem =
            "holds a run of several tasks, and a screen shows one: name the directory of a task in it";
        return Err(Error::file(&args.directory, problem));
    }
    let StoredRun { record, warnings, .. } = StoredRun::read(&args.directory)?;
    warn(&warnings);
    let stop = stop_on_interrupt()?;
    let source = Stored(args.directory.clone());
    let mut app = App::new(&source, record, args.rule.length_rule(), *style, &stop, None)?;
    let shown = show(&mut app);
    // A terminal that is closed stops the program as well as it takes the screen away.
    match stop.load(Ordering::Relaxed) {
        true => Err(Error::Interrupted),
        false => shown.map(|_| ()),
    }
}

/// Runs the trials of a plan that `directory` lacks, as [`super::kept::run_into`] does, on a screen that
/// stays until it is left.
///
/// # Errors
/// As there, and when the terminal cannot be drawn on; the run is whole then.
pub(super) fn run_into(
    directory: &Path,
    evaluation: &Evaluation,
    record: &RunRecord,
    keeping: &Keeping<'_>,
    on_screen: OnScreen<'_>,
) -> Result<Kept> {
    let mut store = RunDirectory::open(directory, record, keeping.tokens)?;
    let settings = &evaluation.plan.settings;
    let filling = Filling::new(&settings.grid, settings.trials, store.outcomes());
    let (stored, going) = (store.run_record().clone(), Going::new(keeping.stop));
    let (ran, shown) = thread::scope(|scope| {
        let (stop, going) = (keeping.stop, &going);
        let screen = scope.spawn(move || on_its_screen(directory, stored, on_screen, stop, going));
        // Also where a panic ends the run, so that nobody waits for a screen that nobody leaves.
        let over = Over(going);
        let mut watching = Watching::of(filling, going);
        let watch = Watch { progress: &mut watching, stop: keeping.stop };
        let ran = evaluation.go_on(&mut store, keeping.tokens, keeping.limit, watch);
        going.over(ran.is_ok());
        let shown = screen.join();
        drop(over);
        (ran, shown)
    });
    let planned = evaluation.trials().len();
    let ran = ran.map_err(|error| stopped(error, &store, planned, directory))?;
    let telling = Telling::of(settings, store.outcomes(), keeping.telling);
    match shown {
        Ok(Err(error)) => warn(&[error.to_string()]),
        Ok(Ok(_)) => {}
        Err(_) => warn(&["the screen ended with an error of niah; the results are whole".to_string()]),
    }
    Ok(Kept { store, ran, planned, telling })
}

/// Shows a run that is going on, on a thread of its own. Where the screen is abandoned, the program ends.
fn on_its_screen(
    directory: &Path,
    record: RunRecord,
    on_screen: OnScreen<'_>,
    stop: &AtomicBool,
    going: &Going<'_>,
) -> Result<()> {
    let source = Stored(directory.to_path_buf());
    let mut app = App::new(&source, record, on_screen.rule, *on_screen.style, stop, Some(going))?;
    let left = show(&mut app);
    if matches!(left, Err(Error::Interrupted)) {
        stop.store(true, Ordering::Relaxed);
    }
    match left? {
        Leave::Abandon => {
            tell("niah: ended at once");
            std::process::exit(i32::from(STOPPED));
        }
        Leave::Now | Leave::Stay => Ok(()),
    }
}

/// Says that a run is over when this goes.
struct Over<'a>(&'a Going<'a>);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.over(false);
    }
}

/// Tells a screen how far the run is.
struct Watching<'a> {
    filling: Filling,
    going: &'a Going<'a>,
    tokens: Tokens,
    begun: Instant,
    at: String,
}

impl<'a> Watching<'a> {
    fn of(filling: Filling, going: &'a Going<'a>) -> Self {
        let watching = Self {
            filling,
            going,
            tokens: Tokens::default(),
            begun: Instant::now(),
            at: "begins".to_string(),
        };
        watching.say(Duration::ZERO);
        watching
    }

    fn say(&self, now: Duration) {
        let left = self.tokens.left(now).map_or(String::new(), |left| format!(", {left}"));
        let at = if self.at.is_empty() { String::new() } else { format!("; {}", self.at) };
        self.going.say(format!("{}{left}{at}", self.filling.summary()), self.filling.ended());
    }
}

impl Progress for Watching<'_> {
    fn begins(&mut self, _what: &str) {
        self.at = "reading the weights".to_string();
        self.say(self.begun.elapsed());
    }

    fn expects(&mut self, tokens: usize) {
        self.tokens = Tokens { all: tokens, done: 0 };
        self.begun = Instant::now();
        self.say(Duration::ZERO);
    }

    fn advance(&mut self, tokens: usize) {
        self.tokens.done += tokens;
        self.say(self.begun.elapsed());
    }

    fn at(&mut self, what: &str) {
        self.at = what.to_string();
        self.say(self.begun.elapsed());
    }

    fn ended(&mut self, trial: &Ended) {
        self.filling.add(trial);
        self.say(self.begun.elapsed());
    }

    fn finish(&mut self) {
        self.at.clear();
        self.tokens = Tokens::default();
        self.say(self.begun.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::filling::tests::{ended, filling};

    #[test]
    fn a_screen_is_told_how_far_the_run_is_and_what_it_works_on() {
        let stop = AtomicBool::new(false);
        let going = Going::new(&stop);
        let mut watching = Watching::of(filling(), &going);
        let line = |going: &Going<'_>| going.line();
        assert_eq!(line(&going), "2 of 8 trials, 0 of 4 cells, 50% right so far; begins");
        watching.begins("what runs");
        watching.expects(100);
        watching.at("length 1k depth 0 trial 1");
        watching.advance(10);
        watching.ended(&ended(1024, 0.0, Some(true)));
        assert_eq!(
            line(&going),
            "3 of 8 trials, 1 of 4 cells, 67% right so far; length 1k depth 0 trial 1",
            "too early to tell how long it takes"
        );
        watching.finish();
        assert_eq!(line(&going), "3 of 8 trials, 1 of 4 cells, 67% right so far");
    }

    #[test]
    fn a_run_that_ends_by_a_panic_is_over_for_its_screen() {
        let stop = AtomicBool::new(false);
        let going = Going::new(&stop);
        drop(Over(&going));
        assert!(going.is_over());
    }
}
