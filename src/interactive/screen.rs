//! The terminal: taken for a screen, and given back as it was.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::backend::Backend;
use ratatui::crossterm::event::{self, Event};
use ratatui::text::Text;
use ratatui::{Frame, Terminal};

use super::app::{App, Leave};
use super::escapes;
use crate::error::{self, Error, Result};
use crate::process;

/// How often a run that is going on is looked at.
const TICK: Duration = Duration::from_millis(200);

/// Whether the terminal is taken.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Shows a run until its screen is left, and gives the terminal back, also when something fails or panics.
///
/// # Errors
/// When the terminal cannot be read or drawn on; [`Error::Interrupted`] where it has gone away.
pub fn show(app: &mut App<'_>) -> Result<Leave> {
    let failed = |error: io::Error| {
        give_back();
        if process::wait_for_input(Duration::ZERO).is_err() {
            return Error::Interrupted;
        }
        Error::Failed(format!(
            "cannot show a screen in this terminal: {}; print the report instead",
            error::reason(&error)
        ))
    };
    TAKEN.store(true, Ordering::SeqCst);
    let mut terminal = ratatui::try_init().map_err(failed)?;
    // ratatui gives the terminal back when any thread panics; nothing may be drawn over the message then.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        TAKEN.store(false, Ordering::SeqCst);
        hook(panic);
    }));
    let mut events = |wait: Duration| {
        let event = next_event(wait)?;
        match TAKEN.load(Ordering::SeqCst) {
            true => Ok(event),
            false => Err(io::Error::other("it was given back")),
        }
    };
    let left = run(&mut terminal, app, &mut events).map_err(failed);
    give_back();
    // Its end would write to stderr where the cursor cannot be shown, and panic where nobody reads that.
    std::mem::forget(terminal);
    left
}

/// The next event, after `wait` at most. crossterm reads a terminal that has gone away without end, so that
/// it is never asked to wait, nor to read one.
fn next_event(wait: Duration) -> io::Result<Option<Event>> {
    for wait in [Duration::ZERO, wait] {
        process::wait_for_input(wait)?;
        let wait = if cfg!(target_os = "linux") { Duration::ZERO } else { wait };
        if event::poll(wait)? {
            return event::read().map(Some);
        }
    }
    Ok(None)
}

/// Gives the terminal back where it is taken, so that what is written behind is seen as ever.
pub fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // Nothing better can be done about a terminal that has gone away.
        let _ = ratatui::try_restore();
        let _ = ratatui::crossterm::execute!(io::stdout(), ratatui::crossterm::cursor::Show);
    }
}

/// Whether the terminal has gone away while it was taken, as with the window that it was. What waits for keys
/// then waits for ever, and asks without a pause.
pub fn is_gone() -> bool {
    TAKEN.load(Ordering::SeqCst) && !io::stdin().is_terminal()
}

/// Draws, and does what the keys of `events` say, until the screen is left.
pub(super) fn run<B: Backend>(
    terminal: &mut Terminal<B>,
    app: &mut App<'_>,
    events: &mut dyn FnMut(Duration) -> io::Result<Option<Event>>,
) -> io::Result<Leave>
where
    B::Error: Send + Sync + 'static,
{
    loop {
        app.tick();
        if app.leave() != Leave::Stay {
            return Ok(app.leave());
        }
        terminal.draw(|frame| draw(app, frame)).map_err(io::Error::other)?;
        if let Some(Event::Key(key)) = events(TICK)? {
            app.key(key);
        }
    }
}

/// Draws the screen.
pub(super) fn draw(app: &mut App<'_>, frame: &mut Frame<'_>) {
    let area = frame.area();
    let lines = app.view(usize::from(area.width), usize::from(area.height));
    let text = Text::from(lines.iter().map(|line| escapes::line(line)).collect::<Vec<_>>());
    frame.render_widget(text, area);
}
