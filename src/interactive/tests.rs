//! Screens as a terminal shows them, after keys.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier};

use super::screen::{draw, run};
use super::{App, Going, Leave, Source};
use crate::error::{Error, Result};
use crate::export::style::{Charset, ColorMode, Style};
use crate::grid::{Cell, ContextLength, Depth, Grid};
use crate::plan::Settings;
use crate::report::document::{Part, PromptToken};
use crate::report::heads::{HeadSums, HeadTally};
use crate::report::tests::{failed, outcome};
use crate::report::verdict::Verdict;
use crate::span::SpanKind;
use crate::stats::LengthRule;
use crate::store::directory::RunRecord;
use crate::trial::{AttentionRow, Outcome};

/// A run in memory.
struct Rows {
    outcomes: RefCell<Vec<Outcome>>,
    prompt: Result<Option<Vec<PromptToken>>, String>,
}

impl Source for Rows {
    fn outcomes(&self) -> Result<Vec<Outcome>> {
        Ok(self.outcomes.borrow().clone())
    }

    fn heads(&self, outcomes: &[Outcome]) -> Result<Option<HeadSums<Cell>>> {
        let mut tally = HeadTally::default();
        for (place, outcome) in outcomes.iter().enumerate() {
            for head in 0..3 {
                let needle_mass = 0.125 * (1 + (place + head) % 4) as f64;
                let row_id = outcome.row_id.clone();
                let row = AttentionRow {
                    row_id,
                    layer: 1,
                    head,
                    needle_mass,
                    total_mass: 1.0,
                    ..AttentionRow::default()
                };
                tally.add(outcome.cell(), &row);
            }
        }
        Ok(Some(tally.sums()))
    }

    fn prompt(&self, _outcome: &Outcome) -> Result<Option<Vec<PromptToken>>> {
        self.prompt.clone().map_err(Error::Failed)
    }

    fn name(&self) -> String {
        "out/run".to_string()
    }
}

fn rows() -> Rows {
    let long = "the value is 7654321 or something like it. ".repeat(40);
    let wrong = Outcome { model_response: Some(long), ..outcome(2048, 50.0, 0, false, Some(0.5)) };
    let hostile = Outcome {
        model_response: Some("It is \x1b[31m1234567\x1b[0m.\nBecause\u{202e}".into()),
        ..outcome(2048, 0.0, 0, true, Some(0.75))
    };
    let outcomes = vec![
        outcome(1024, 0.0, 0, true, Some(0.875)),
        outcome(1024, 0.0, 1, true, Some(0.875)),
        outcome(1024, 50.0, 0, true, Some(0.5)),
        failed(1024, 50.0, 1),
        hostile,
        wrong,
        outcome(2048, 50.0, 1, false, Some(0.125)),
    ];
    let token = |place: usize| PromptToken {
        text: if place == 40 { " 1234567".into() } else { format!(" w{place}") },
        mean: if place == 40 { 0.5 } else { 0.001 },
        top: if place == 40 { 0.25 } else { 0.0 },
        part: (place == 40).then_some(Part { kind: SpanKind::Target, span: 0 }),
        in_value: place == 40,
    };
    Rows { outcomes: RefCell::new(outcomes), prompt: Ok(Some((0..80).map(token).collect())) }
}

fn record() -> RunRecord {
    let depths = [0.0, 50.0].map(|percent| Depth::from_percent(percent).unwrap());
    let grid = Grid::new([1024, 2048, 4096].map(ContextLength).to_vec(), depths.to_vec()).unwrap();
    let settings = Settings { grid, trials: 2, ..Settings::default() };
    let text = serde_json::json!({
        "niah": "0.1.0", "run_id": "run", "config_hash": "abc", "command": ["niah"], "started_utc": "",
        "settings": settings, "variant": "ssmax", "variant_description": "s = 0.5", "training_length": 1024,
        "model": {}, "tokens": {}, "warnings": [], "machine": {}, "identity": {},
    });
    serde_json::from_value(text).unwrap()
}

const PLAIN: Style = Style {
    color: ColorMode::None,
    charset: Charset::Unicode,
    palette: crate::export::palette::VIRIDIS,
    width: 80,
    csv_safe: false,
};

static NEVER: AtomicBool = AtomicBool::new(false);

fn app<'a>(source: &'a Rows, style: Style) -> App<'a> {
    App::new(source, record(), LengthRule::default(), style, &NEVER, None).unwrap()
}

fn key(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

/// The screen after keys.
fn after(app: &mut App<'_>, keys: &[KeyCode], (width, height): (u16, u16)) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(app, frame)).unwrap();
    for code in keys {
        app.key(key(*code));
        terminal.draw(|frame| draw(app, frame)).unwrap();
    }
    terminal
}

fn text(terminal: &Terminal<TestBackend>) -> String {
    let buffer = terminal.backend().buffer();
    let line = |cells: &[ratatui::buffer::Cell]| cells.iter().map(|cell| cell.symbol()).collect::<String>();
    let lines = buffer.content.chunks(usize::from(buffer.area.width)).map(line);
    lines.map(|line| line.trim_end().to_string() + "\n").collect()
}

/// The text of the screen after keys, 80 x 24.
fn shown(keys: &[KeyCode]) -> String {
    let source = rows();
    text(&after(&mut app(&source, PLAIN), keys, (80, 24)))
}

use KeyCode::{BackTab, Char, Down, End, Enter, Esc, Home, PageDown, Right, Tab, Up};

/// The screen below the verdict, whose words are tested where it is made, without empty lines; above it there
/// must be the title and the verdict of this run.
fn below_verdict(shown: &str, source: &Rows, height: usize) -> String {
    assert_eq!(shown.lines().count(), height);
    let (above, below) = shown.split_once("\n\n").unwrap();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let verdict = Verdict::of(&source.outcomes.borrow(), LengthRule::default()).unwrap();
    let title = "shipped:ssmax, ssmax (s = 0.5), task magic 7 of 12 trials have run ";
    assert_eq!(words(above), words(&format!("{title}{}", verdict.sentence)));
    below.lines().filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_grid_stands_on_80_by_24_with_its_verdict_and_the_cell_under_the_cursor() {
    let source = rows();
    assert_eq!(
        below_verdict(&shown(&[Right]), &source, 24),
        "\
\x20accuracy   needle mass   outcome
          context length (tokens)
depth %     1k │    2k     4k
      0   100% │[ 100%]     ·
     50   100% │    0%      ·
│ training length, 1k tokens: longer contexts stand to its right
2k tokens, depth 0%: 1 of 1 right (100%, 95% CI 21-100%); needle mass 0.750;
found 1, looked 0, missed 0
←↑→↓ cell  Tab what is shown  Enter trials  h heads  Space mark  ? keys  q quit
"
    );
}

#[test]
fn the_grid_stands_on_160_by_50_with_outcomes_and_marks() {
    let source = rows();
    let keys = [Right, Char(' '), Down, Char(' '), Tab, Tab];
    let shown = text(&after(&mut app(&source, PLAIN), &keys, (160, 50)));
    assert_eq!(
        below_verdict(&shown, &source, 50),
        "\
\x20accuracy   needle mass   outcome
          context length (tokens)
depth %      1k │     2k      4k
      0   2/0/0 │ *1/0/0       ·
     50   1/0/0 │[*0/2/0]      ·
found/looked/missed in a cell
│ training length, 1k tokens: longer contexts stand to its right
2k tokens, depth 50%: 0 of 2 right (0%, 95% CI 0-66%); needle mass 0.312; found 0, looked 2, missed 0
←↑→↓ cell  Tab what is shown  Enter trials  h heads  Space mark  Esc no marks  ? keys  q quit
"
    );
}

#[test]
fn tab_goes_round_what_cells_show_and_arrows_end_at_the_edges() {
    assert!(shown(&[Tab]).contains("[ 0.88]"), "{}", shown(&[Tab]));
    assert!(shown(&[Tab, Tab]).contains("[ 2/0/0]"), "{}", shown(&[Tab, Tab]));
    assert_eq!(shown(&[Tab, Tab, Tab]), shown(&[]));
    assert_eq!(shown(&[BackTab]), shown(&[Tab, Tab]));
    assert_eq!(shown(&[Up, Down, Down, Down, End, Right]), shown(&[PageDown, End]));
    assert!(shown(&[PageDown, End]).contains("4k tokens, depth 50%: no trial has run"));
    assert_eq!(shown(&[PageDown, End, Home, KeyCode::PageUp]), shown(&[]));
    assert_eq!(shown(&[Char(' '), Esc]), shown(&[]), "Esc takes marks away");
}

#[test]
fn enter_lists_the_trials_of_a_cell_and_a_long_answer_is_read_on() {
    let keys = [Right, Down, Enter];
    let first = shown(&keys);
    assert_eq!(
        first,
        "\
shipped:ssmax, ssmax (s = 0.5), task magic                      lines 1-18 of 39
2k tokens, depth 50%: 0 of 2 answers are right
 trial 0    ◐ looked     expected 1234567               answer the value is 765…
 trial 1    ◐ looked     expected 1234567               answer 1234567

outcome          wrong, though a head looked at the needle
question         What is the special magic Oslo number?
needle           The special magic Oslo number is: 1234567.
expected         1234567
answer           the value is 7654321 or something like it. the value is
                 7654321 or something like it. the value is 7654321 or
                 something like it. the value is 7654321 or something like it.
                 the value is 7654321 or something like it. the value is
                 7654321 or something like it. the value is 7654321 or
                 something like it. the value is 7654321 or something like it.
                 the value is 7654321 or something like it. the value is
                 7654321 or something like it. the value is 7654321 or
                 something like it. the value is 7654321 or something like it.
                 the value is 7654321 or something like it. the value is
                 7654321 or something like it. the value is 7654321 or
                 something like it. the value is 7654321 or something like it.
                 the value is 7654321 or something like it. the value is
                 7654321 or something like it. the value is 7654321 or
↑↓ trial  Page up/down read on  Enter prompt  h heads  Esc back  ? keys  q quit
"
    );
    let on = shown(&[&keys[..], &[PageDown]].concat());
    assert!(on.contains("lines 18-35 of 39\n") && !on.contains("outcome  "), "{on}");
    let end = shown(&[&keys[..], &[PageDown; 9]].concat());
    assert!(end.contains("log-probability  -0.500 nats") && end.contains("time             0.2"), "{end}");
    let other = shown(&[&keys[..], &[PageDown, Down]].concat());
    assert!(other.contains("answer           1234567\n"), "another trial begins at its top: {other}");
    assert_eq!(shown(&[&keys[..], &[Down, Up]].concat()), first);
}

#[test]
fn what_a_model_says_reaches_the_screen_as_escapes_and_what_was_expected_stands_out() {
    let source = rows();
    let terminal = after(&mut app(&source, PLAIN), &[Right, Enter], (80, 24));
    let shown = text(&terminal);
    assert!(shown.contains(r"It is \u{1b}[31m1234567\u{1b}[0m."), "{shown}");
    assert!(shown.contains(r"Because\u{202e}"), "{shown}");
    let strong =
        |cell: &&ratatui::buffer::Cell| cell.modifier.contains(Modifier::BOLD | Modifier::UNDERLINED);
    let marked: String =
        terminal.backend().buffer().content.iter().filter(strong).map(|cell| cell.symbol()).collect();
    assert_eq!(marked, "1234567");
}

#[test]
fn a_failed_trial_says_why_and_a_cell_without_trials_that_none_has_run() {
    let shown_failed = shown(&[Down, Enter, Down]);
    assert!(shown_failed.contains("error            out of memory"), "{shown_failed}");
    assert!(shown_failed.contains(" trial 1    ! failed "), "{shown_failed}");
    let none = shown(&[End, Enter, Enter]);
    assert!(none.contains("no trial of it has run"), "{none}");
}

#[test]
fn enter_again_shades_the_prompt_by_the_mean_or_by_the_head_with_the_most() {
    let keys = [Enter, Enter];
    let mean = shown(&keys);
    assert!(mean.contains("1k tokens, depth 0%, trial 0\n"), "{mean}");
    assert!(mean.contains("the mean over all heads") && mean.contains("[[**1234567{0.50}**]]"), "{mean}");
    assert!(mean.contains("tokens, mass"), "long stretches are folded: {mean}");
    let top = shown(&[Enter, Enter, Tab]);
    assert!(top.contains("the head with the most on the needle") && top.contains("{0.25}"), "{top}");
    assert_eq!(shown(&[Enter, Enter, Esc]), shown(&[Enter]));
    assert_eq!(shown(&[Enter, Enter, Esc, Esc]), shown(&[]));
}

#[test]
fn without_the_attention_on_tokens_it_says_how_to_get_it_and_damage_is_told_of() {
    let none = Rows { prompt: Ok(None), ..rows() };
    let shown = text(&after(&mut app(&none, PLAIN), &[Right, Down, Enter, Down, Enter], (80, 24)));
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    let command = "niah attend out/run --context-length 2k --depth 50 --trial 1";
    assert!(shown.contains("A run with --tokens keeps it") && shown.contains(command), "{shown}");
    let damaged = Rows { prompt: Err("tokens.csv: line 3 is torn".into()), ..rows() };
    let shown = text(&after(&mut app(&damaged, PLAIN), &[Enter, Enter], (80, 24)));
    assert!(shown.contains("tokens.csv: line 3 is torn"), "{shown}");
}

#[test]
fn heads_are_of_the_cell_of_the_marked_cells_or_of_the_whole_grid() {
    let of_cell = shown(&[Char('h')]);
    assert!(of_cell.contains("Needle mass by layer and head, 1k tokens, depth 0%"), "{of_cell}");
    assert!(of_cell.contains("n = 2 per cell") && of_cell.contains("rank   head"), "{of_cell}");
    let whole = shown(&[Char('h'), Tab]);
    assert!(whole.contains("the whole grid\n") && whole.contains("n = 7 per cell"), "{whole}");
    assert_eq!(shown(&[Char('h'), Tab, Tab]), of_cell);
    let marked = shown(&[Char(' '), Right, Char(' '), Char('h')]);
    assert!(marked.contains("the 2 marked cells\n") && marked.contains("n = 3 per cell"), "{marked}");
    assert_eq!(shown(&[Char('h'), Esc]), shown(&[]));
    let nothing = shown(&[End, Char('h')]);
    assert!(nothing.contains("No trial has run: 4k tokens, depth 0%."), "{nothing}");
    let of_trials = shown(&[Enter, Char('h')]);
    assert!(of_trials.contains("1k tokens, depth 0%"), "{of_trials}");
}

#[test]
fn keys_are_listed_on_one_screen_and_any_key_leads_back() {
    let keys = shown(&[Char('?')]);
    assert!(keys.contains("Trials of a cell") && keys.contains("q: leave; ?: these lines"), "{keys}");
    assert_eq!(shown(&[Char('?'), Right]), shown(&[]));
    assert_eq!(shown(&[Enter, Char('?'), Esc]), shown(&[Enter]), "Esc closes the keys alone");
}

#[test]
fn a_terminal_that_is_too_small_is_told_so_and_one_that_grows_shows_the_run() {
    let source = rows();
    let mut app = app(&source, PLAIN);
    let small = text(&after(&mut app, &[Enter], (40, 10)));
    assert!(small.starts_with("niah needs 80 x 24 characters here;\nthese are 40 x 10\n"), "{small}");
    assert!(text(&after(&mut app, &[], (1, 1))).starts_with('n'));
    assert_eq!(text(&after(&mut app, &[], (80, 24))), shown(&[Enter]));
    assert_eq!(app.key(key(Char('q'))), Leave::Now);
}

#[test]
fn columns_and_rows_that_have_no_room_come_with_the_cursor() {
    let many = (1..=40).flat_map(|length| (0..=30).map(move |depth| (length, depth)));
    let outcomes = many.map(|(length, depth)| outcome(1000 * length, f64::from(depth), 0, true, Some(0.5)));
    let source = Rows { outcomes: RefCell::new(outcomes.collect()), ..rows() };
    let first = text(&after(&mut app(&source, PLAIN), &[], (80, 24)));
    assert!(
        first.contains("context length (tokens), 1 to 8 of 43")
            && first.contains("lines 1-1")
            && first.contains(" of 32\n"),
        "{first}"
    );
    let last = text(&after(&mut app(&source, PLAIN), &[End, PageDown], (80, 24)));
    assert!(last.contains("36 to 43 of 43") && last.contains("-32 of 32\n"), "{last}");
    assert!(last.contains("40000 tokens, depth 50%: no trial"), "{last}");
    for line in first.lines().chain(last.lines()) {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn only_cells_and_tokens_have_colours_and_each_with_the_colour_of_its_text() {
    let source = rows();
    let style = Style { color: ColorMode::Truecolor, ..PLAIN };
    for keys in [&[][..], &[Tab], &[Tab, Tab], &[Enter], &[Enter, Enter], &[Char('h')], &[Char('?')]] {
        let terminal = after(&mut app(&source, style), keys, (80, 24));
        for cell in &terminal.backend().buffer().content {
            let both = [cell.fg == Color::Reset, cell.bg == Color::Reset];
            assert!(both == [true; 2] || both == [false; 2], "{keys:?}: {cell:?}");
        }
    }
    let terminal = after(&mut app(&source, PLAIN), &[], (80, 24));
    let cells = &terminal.backend().buffer().content;
    assert!(cells.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset), "no colours");
}

/// What a screen of a run that is going on shows, and what becomes of it.
fn going(steps: impl FnOnce(&mut App<'_>, &Going<'_>, &Rows)) -> (String, bool) {
    let stop = AtomicBool::new(false);
    let going = Going::new(&stop);
    going.say("7 of 12 trials, 67% right so far".to_string(), 7);
    let source = rows();
    let mut app = App::new(&source, record(), LengthRule::default(), PLAIN, &stop, Some(&going)).unwrap();
    app.patience = 0;
    app.tick();
    steps(&mut app, &going, &source);
    let shown = text(&after(&mut app, &[], (80, 24)));
    (shown, stop.load(Ordering::Relaxed))
}

#[test]
fn cells_fill_while_a_run_goes_on_and_the_screen_stays_when_it_is_over() {
    let (shown, _) = going(|app, going, source| {
        source.outcomes.borrow_mut().push(outcome(4096, 0.0, 0, true, Some(0.5)));
        app.tick();
        let before = text(&after(app, &[End], (80, 24)));
        assert!(before.contains("7 of 12 trials, 67% right so far\n"), "{before}");
        assert!(!before.contains("answers are right"), "no verdict before the end: {before}");
        going.say("8 of 12 trials, 71% right so far, 3 seconds left".to_string(), 8);
        app.tick();
        let filled = text(&after(app, &[], (80, 24)));
        assert!(filled.contains("4k tokens, depth 0%: 1 of 1 right"), "{filled}");
        going.over(true);
        app.tick();
        assert_eq!(app.leave(), Leave::Stay);
    });
    assert!(
        shown.contains("The run is over, q for its report; 8 of 12") && shown.contains("answers are right"),
        "{shown}"
    );
}

#[test]
fn q_stops_a_run_that_is_going_on_and_leaves_once_it_is_over() {
    let (shown, stopped) = going(|app, going, _| {
        assert_eq!(app.key(key(Char('q'))), Leave::Stay);
        going.over(false);
    });
    assert!(stopped && shown.contains("Stopping behind the token that is being computed"), "{shown}");
    going(|app, going, _| {
        assert_eq!(app.key(key(Char('q'))), Leave::Stay);
        going.over(false);
        app.tick();
        assert_eq!(app.leave(), Leave::Now);
    });
    going(|app, going, _| {
        going.over(true);
        app.tick();
        assert_eq!(app.key(key(Char('q'))), Leave::Now, "when it is over, q leaves");
    });
}

#[test]
fn ctrl_c_stops_a_run_as_well_and_the_second_time_everything() {
    let interrupt = KeyEvent::new(Char('c'), KeyModifiers::CONTROL);
    let (_, stopped) = going(|app, _, _| {
        assert_eq!(app.key(interrupt), Leave::Stay);
        assert_eq!(app.key(key(Char('q'))), Leave::Stay, "q is patient");
        assert_eq!(app.key(interrupt), Leave::Abandon);
    });
    assert!(stopped);
    let source = rows();
    assert_eq!(app(&source, PLAIN).key(interrupt), Leave::Now, "of a stored run it leaves");
}

#[test]
fn a_stop_from_outside_ends_the_screen_of_a_stored_run() {
    let (stop, source) = (AtomicBool::new(true), rows());
    let mut app = App::new(&source, record(), LengthRule::default(), PLAIN, &stop, None).unwrap();
    app.tick();
    assert_eq!(app.leave(), Leave::Now);
}

#[test]
fn the_loop_draws_after_every_event_and_ends_with_the_screen() {
    let source = rows();
    let mut app = app(&source, PLAIN);
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    let mut events =
        [None, Some(Event::Resize(80, 24)), Some(Event::Key(key(Enter))), Some(Event::Key(key(Char('q'))))]
            .into_iter();
    let left = run(&mut terminal, &mut app, &mut |_| Ok(events.next().expect("it has left before")));
    assert!(matches!(left, Ok(Leave::Now)));
    assert_eq!(text(&terminal), shown(&[Enter]));
}
