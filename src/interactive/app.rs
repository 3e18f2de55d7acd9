//! What a screen shows: a run, where the cursor is, and what was opened over the grid.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ratatui::crossterm::event::KeyEvent;

use super::going::{End, Going, Status};
use super::grid::Metric;
use super::heads::HeadsPage;
use super::keys::{self, Key};
use super::prompt::PromptPage;
use super::source::Source;
use super::text::{bold, faint, fitted};
use super::trials::TrialsPage;
use crate::evaluate::judged_report;
use crate::export::style::Style;
use crate::grid::{Cell, ContextLength, Depth};
use crate::printable;
use crate::report::heads::HeadSums;
use crate::report::latest;
use crate::report::run::RunReport;
use crate::stats::LengthRule;
use crate::store::directory::RunRecord;
use crate::trial::Outcome;

/// Columns of a screen, at least.
pub(super) const LEAST_WIDTH: usize = 80;
/// Its lines, at least.
pub(super) const LEAST_HEIGHT: usize = 24;

/// What becomes of a screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// It stays.
    Stay,
    /// It ends.
    Now,
    /// It ends, and the program with it, whatever it is doing.
    Abandon,
}

/// What was opened over the grid.
pub(super) enum Page {
    Trials(TrialsPage),
    Prompt(Box<PromptPage>),
    Heads(HeadsPage),
}

/// A run on a screen.
pub struct App<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) record: RunRecord,
    rule: LengthRule,
    pub(super) style: Style,
    going: Option<&'a Going<'a>>,
    /// Leaves the screen when it is set.
    stop: &'a AtomicBool,
    status: Status,
    /// When the tables were last read, and how long that took.
    read: (Instant, Duration),
    is_outdated: bool,
    /// How many times as long as reading takes has to pass before the next time.
    pub(super) patience: u32,
    /// What was wrong when they were read last.
    problem: Option<String>,
    /// The last row of every trial.
    pub(super) outcomes: Vec<Outcome>,
    /// Places of the rows of a cell, by trial.
    pub(super) by_cell: BTreeMap<Cell, Vec<usize>>,
    pub(super) report: RunReport,
    pub(super) columns: Vec<ContextLength>,
    pub(super) rows: Vec<Depth>,
    pub(super) metric: Metric,
    /// Row and column.
    pub(super) cursor: (usize, usize),
    pub(super) marked: BTreeSet<Cell>,
    /// What the heads did, of so many trials; read when it is looked at.
    pub(super) sums: Option<(usize, Option<HeadSums<Cell>>)>,
    pages: Vec<Page>,
    shows_help: bool,
    /// Lines that have room for what is scrolled, on the last drawing.
    pub(super) room: usize,
    /// First line of it that is shown.
    pub(super) scroll: usize,
    leave: Leave,
}

/// Lines of a screen, each with its escape sequences.
pub(super) struct View {
    /// Above, where they stay.
    pub(super) top: Vec<String>,
    /// Scrolled.
    pub(super) body: Vec<String>,
    /// The line of the body that has to be seen.
    pub(super) cursor: Option<usize>,
    /// Below, where they stay.
    pub(super) foot: Vec<String>,
    /// Keys.
    pub(super) help: String,
}

impl<'a> App<'a> {
    /// A run that is in its directory, judged by `rule`. The screen ends when `stop` is set; where the run is
    /// `going` on, it is the run that ends.
    ///
    /// # Errors
    /// When its tables cannot be read.
    pub fn new(
        source: &'a dyn Source,
        record: RunRecord,
        rule: LengthRule,
        style: Style,
        stop: &'a AtomicBool,
        going: Option<&'a Going<'a>>,
    ) -> crate::error::Result<Self> {
        let outcomes = source.outcomes()?;
        let report = judged_report(&outcomes, &record, rule);
        let mut app = Self {
            source,
            record,
            rule,
            style,
            going,
            stop,
            status: Status::default(),
            read: (Instant::now(), Duration::ZERO),
            is_outdated: false,
            patience: 10,
            problem: None,
            outcomes: Vec::new(),
            by_cell: BTreeMap::new(),
            report,
            columns: Vec::new(),
            rows: Vec::new(),
            metric: Metric::Accuracy,
            cursor: (0, 0),
            marked: BTreeSet::new(),
            sums: None,
            pages: Vec::new(),
            shows_help: false,
            room: 1,
            scroll: 0,
            leave: Leave::Stay,
        };
        app.take(&outcomes);
        Ok(app)
    }

    /// Takes in the rows of the run.
    fn take(&mut self, outcomes: &[Outcome]) {
        self.report = judged_report(outcomes, &self.record, self.rule);
        self.outcomes = latest(outcomes).into_iter().cloned().collect();
        self.outcomes.sort_by_key(|row| row.trial);
        self.by_cell.clear();
        for (place, row) in self.outcomes.iter().enumerate() {
            self.by_cell.entry(row.cell()).or_default().push(place);
        }
        let cells = &self.report.cells;
        let lengths: BTreeSet<usize> = cells.iter().map(|cell| cell.context_length).collect();
        let depths: BTreeSet<Depth> = cells.iter().map(|cell| cell.depth_percent).collect();
        self.columns = lengths.into_iter().map(ContextLength).collect();
        self.rows = depths.into_iter().collect();
    }

    /// Looks whether a run that is going on has come further, and reads what it has left when that is not too
    /// often.
    pub fn tick(&mut self) {
        if self.going.is_none() && self.stop.load(Ordering::Relaxed) {
            self.leave = Leave::Now;
        }
        let Some(going) = self.going else { return };
        let status = going.status();
        self.is_outdated |= status.ended != self.status.ended || status.end != self.status.end;
        self.status = status;
        match self.status.end {
            Some(End::Broken) => self.leave = Leave::Now,
            Some(End::Whole) if going.is_stopping() => self.leave = Leave::Now,
            _ => {}
        }
        let (begun, took) = self.read;
        if self.is_outdated && (self.status.end.is_some() || begun.elapsed() >= self.patience * took) {
            self.read_again();
        }
    }

    fn read_again(&mut self) {
        let begun = Instant::now();
        self.is_outdated = false;
        match self.source.outcomes() {
            Ok(outcomes) => {
                self.problem = None;
                self.take(&outcomes);
            }
            Err(error) => self.problem = Some(error.one_line()),
        }
        self.read = (begun, begun.elapsed());
    }

    /// Does what a key says.
    pub fn key(&mut self, event: KeyEvent) -> Leave {
        if let Some(key) = keys::of(event) {
            self.press(key);
        }
        self.leave
    }

    /// What becomes of the screen.
    #[must_use]
    pub fn leave(&self) -> Leave {
        self.leave
    }

    fn press(&mut self, key: Key) {
        match key {
            Key::Quit | Key::Break => self.quit(key),
            _ if self.shows_help => self.shows_help = false,
            Key::Help => self.shows_help = true,
            Key::Back if !self.pages.is_empty() => {
                self.pages.pop();
                self.scroll = 0;
            }
            Key::Heads if !matches!(self.pages.last(), Some(Page::Heads(_))) => self.open_heads(),
            _ => match self.pages.pop() {
                None => self.press_on_grid(key),
                Some(page) => {
                    let page = self.pressed(page, key);
                    self.pages.extend(page);
                }
            },
        }
    }

    /// The page behind a key, and what it opens over itself.
    fn pressed(&mut self, page: Page, key: Key) -> Vec<Page> {
        match page {
            Page::Trials(page) => self.press_on_trials(page, key),
            Page::Prompt(page) => vec![Page::Prompt(Box::new(self.press_on_prompt(*page, key)))],
            Page::Heads(page) => vec![Page::Heads(self.press_on_heads(page, key))],
        }
    }

    /// Leaves the screen; of a run that is going on, this stops the run first, and the second time all.
    fn quit(&mut self, key: Key) {
        self.leave = match self.going {
            Some(going) if self.status.end.is_none() => match going.is_stopping() {
                true if key == Key::Break => Leave::Abandon,
                _ => {
                    going.stop();
                    Leave::Stay
                }
            },
            _ => Leave::Now,
        };
    }

    fn press_on_grid(&mut self, key: Key) {
        let (last_row, last_column) =
            (self.rows.len().saturating_sub(1), self.columns.len().saturating_sub(1));
        let (row, column) = &mut self.cursor;
        match key {
            Key::Up => *row = row.saturating_sub(1),
            Key::Down => *row = (*row + 1).min(last_row),
            Key::Left => *column = column.saturating_sub(1),
            Key::Right => *column = (*column + 1).min(last_column),
            Key::PageUp => *row = 0,
            Key::PageDown => *row = last_row,
            Key::First => *column = 0,
            Key::Last => *column = last_column,
            Key::Next => self.metric = self.metric.further(1),
            Key::Before => self.metric = self.metric.further(Metric::ALL.len() - 1),
            Key::Back => self.marked.clear(),
            Key::Mark => {
                let cell = self.cell_at(self.cursor.0, self.cursor.1);
                if let Some(cell) = cell.filter(|cell| !self.marked.remove(cell)) {
                    self.marked.insert(cell);
                }
            }
            Key::Enter => {
                let cell = self.cell_at(self.cursor.0, self.cursor.1);
                self.scroll = 0;
                self.pages.extend(cell.map(|cell| Page::Trials(TrialsPage { cell, selected: 0 })));
            }
            _ => {}
        }
    }

    /// The cell of the run at a row and a column.
    pub(super) fn cell_at(&self, row: usize, column: usize) -> Option<Cell> {
        Some(Cell { context_length: *self.columns.get(column)?, depth: *self.rows.get(row)? })
    }

    fn open_heads(&mut self) {
        let Some(cell) = self.cell_at(self.cursor.0, self.cursor.1) else { return };
        let over_grid = self.pages.is_empty();
        let page = self.heads_page(cell, over_grid && !self.marked.is_empty());
        self.scroll = 0;
        self.pages.push(Page::Heads(page));
    }

    /// Scrolls by a key; what is out of reach is put right by the drawing.
    pub(super) fn scroll_by(&mut self, key: Key) {
        let page = self.room.saturating_sub(1).max(1);
        self.scroll = match key {
            Key::Up => self.scroll.saturating_sub(1),
            Key::Down => self.scroll.saturating_add(1),
            Key::PageUp => self.scroll.saturating_sub(page),
            Key::PageDown | Key::Mark => self.scroll.saturating_add(page),
            Key::First => 0,
            Key::Last => usize::MAX,
            _ => self.scroll,
        };
    }

    /// What is shown on a screen of this size: exactly so many lines.
    pub(super) fn view(&mut self, width: usize, height: usize) -> Vec<String> {
        if width < LEAST_WIDTH || height < LEAST_HEIGHT {
            let words = format!(
                "niah needs {LEAST_WIDTH} x {LEAST_HEIGHT} characters here; these are {width} x {height}"
            );
            let mut lines: Vec<String> = Style { width, ..self.style }.wrap(&words);
            lines.push("make the terminal larger, or q to leave".to_string());
            lines.truncate(height);
            return lines;
        }
        self.style.width = width;
        let view = match self.pages.last() {
            _ if self.shows_help => View {
                top: vec![bold("Keys"), String::new()],
                body: keys::help(&self.style),
                cursor: None,
                foot: Vec::new(),
                help: "any key: back to the run".to_string(),
            },
            None => self.view_of_grid(width, height),
            Some(Page::Trials(page)) => self.view_of_trials(page, width, height),
            Some(Page::Prompt(page)) => self.view_of_prompt(page),
            Some(Page::Heads(page)) => self.view_of_heads(page),
        };
        self.lines(view, width, height)
    }

    fn lines(&mut self, view: View, width: usize, height: usize) -> Vec<String> {
        let View { top, mut body, cursor, foot, help } = view;
        let progress = self.progress();
        let room = height.saturating_sub(progress.len() + top.len() + foot.len() + 2).max(1);
        let last = body.len().saturating_sub(room);
        self.room = room;
        self.scroll = match cursor {
            // In the middle where it can be.
            Some(cursor) => cursor.saturating_sub(room / 2),
            None => self.scroll,
        }
        .min(last);
        let part = match last {
            0 => String::new(),
            _ => {
                let (from, to) = (self.scroll + 1, (self.scroll + room).min(body.len()));
                format!("  lines {from}-{to} of {}", body.len())
            }
        };
        let title = fitted(&self.style.clean(&self.title()), width - part.len(), &self.style);
        let mut lines = vec![format!("{}{}", bold(&title), faint(&part))];
        lines.extend(progress);
        lines.extend(top);
        lines.extend(body.drain(self.scroll..(self.scroll + room).min(body.len())));
        lines.resize(height.saturating_sub(foot.len() + 1), String::new());
        lines.extend(foot);
        lines.push(faint(&fitted(&help, width, &self.style)));
        lines
    }

    fn title(&self) -> String {
        printable::shortened(&self.record.title()).into_owned()
    }

    /// How far a run is that is going on.
    fn progress(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(going) = self.going {
            let line = match self.status.end {
                Some(_) => format!("The run is over, q for its report; {}", self.status.line),
                None if going.is_stopping() => {
                    "Stopping behind the token that is being computed; Ctrl-C again ends at once".to_string()
                }
                None => self.status.line.clone(),
            };
            lines.push(fitted(&self.style.clean(&line), self.style.width, &self.style));
        }
        lines.extend(self.problem.iter().map(|problem| self.style.clean(problem)));
        lines
    }

    fn view_of_grid(&self, width: usize, height: usize) -> View {
        let mut top = Vec::new();
        let is_over = self.going.is_none() || self.status.end.is_some();
        if is_over {
            let notes = self.report.notes.iter().map(String::as_str);
            let verdict = self.report.verdict.iter().map(|verdict| verdict.sentence.as_str());
            top.extend(notes.chain(verdict).flat_map(|words| self.style.wrap(words)).take(height / 4));
        }
        top.push(String::new());
        top.extend([self.tabs(), String::new()]);
        let (labels, body) = self.grid(width);
        top.extend(labels);
        let marked = match self.marked.len() {
            0 => "Space mark",
            _ => "Space mark  Esc no marks",
        };
        let arrows = self.style.pick("\u{2190}\u{2191}\u{2192}\u{2193}", "arrows");
        let help =
            format!("{arrows} cell  Tab what is shown  Enter trials  h heads  {marked}  ? keys  q quit");
        View { top, body, cursor: Some(self.cursor.0), foot: self.legend(), help }
    }
}
