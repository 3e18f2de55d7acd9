//! The trials of a cell: a list, and the one that is chosen with its answer.

use super::app::{App, Page, View};
use super::grid::words;
use super::keys::Key;
use super::prompt::PromptPage;
use super::text::{bold, broken, cleaned, faint, fitted, reversed, with_mark};
use crate::grid::Cell;
use crate::report::answer::{Fate, matched};
use crate::trial::Outcome;

/// The trials of a cell.
pub(super) struct TrialsPage {
    pub(super) cell: Cell,
    /// Which of them.
    pub(super) selected: usize,
}

/// Columns of the names of facts.
const NAMES: usize = 17;

impl App<'_> {
    pub(super) fn press_on_trials(&mut self, mut page: TrialsPage, key: Key) -> Vec<Page> {
        let trials = self.trials(page.cell).len();
        match key {
            Key::Up | Key::Down => {
                let further =
                    if key == Key::Down { page.selected + 1 } else { page.selected.saturating_sub(1) };
                page.selected = further.min(trials.saturating_sub(1));
                self.scroll = 0;
            }
            Key::Enter => {
                let outcome = self.trials(page.cell).get(page.selected).copied().cloned();
                let opened = outcome.map(|outcome| PromptPage::of(outcome, self.source));
                self.scroll = 0;
                return [Page::Trials(page)]
                    .into_iter()
                    .chain(opened.map(|page| Page::Prompt(Box::new(page))))
                    .collect();
            }
            key => self.scroll_by(key),
        }
        vec![Page::Trials(page)]
    }

    pub(super) fn view_of_trials(&self, page: &TrialsPage, width: usize, height: usize) -> View {
        let style = &self.style;
        let trials = self.trials(page.cell);
        let selected = page.selected.min(trials.len().saturating_sub(1));
        let right = trials.iter().filter(|trial| trial.correct == Some(true)).count();
        let ran = trials.iter().filter(|trial| Fate::of(trial) != Fate::Failed).count();
        let mut top = vec![bold(&format!("{}: {right} of {ran} answers are right", words(page.cell)))];
        let listed = (height / 3).min(trials.len());
        let from = selected.saturating_sub(listed / 2).min(trials.len() - listed);
        for (place, trial) in trials.iter().enumerate().skip(from).take(listed) {
            let line = fitted(&self.row_of(trial), width, style);
            top.push(if place == selected { reversed(&line) } else { line });
        }
        let body = match trials.get(selected) {
            Some(trial) => self.facts(trial, width),
            None => vec!["no trial of it has run".to_string()],
        };
        if listed < trials.len() {
            top.push(faint(&format!("trials {} to {} of {}", from + 1, from + listed, trials.len())));
        }
        top.push(String::new());
        let arrows = style.pick("\u{2191}\u{2193}", "up/down");
        let help =
            format!("{arrows} trial  Page up/down read on  Enter prompt  h heads  Esc back  ? keys  q quit");
        View { top, body, cursor: None, foot: Vec::new(), help }
    }

    fn row_of(&self, trial: &Outcome) -> String {
        let fate = Fate::of(trial);
        let answer = trial.model_response.as_deref().or(trial.error.as_deref()).unwrap_or_default();
        let sign = self.style.pick(fate.sign(), " ");
        let word = fate.words().split([',', ':']).next().unwrap_or_default();
        let word = if fate == Fate::Looked { "looked" } else { word };
        let expected = fitted(&self.style.clean(&trial.expected_answer), 20, &self.style);
        let answer = self.style.clean(answer.trim());
        format!(" trial {:<4} {sign} {word:<10} expected {expected}  answer {answer}", trial.trial)
    }

    /// All that is known of a trial.
    fn facts(&self, trial: &Outcome, width: usize) -> Vec<String> {
        let style = &self.style;
        let room = width.saturating_sub(NAMES + 1);
        let mut lines = Vec::new();
        let mut fact = |name: &str, text: &str, mark: Option<std::ops::Range<usize>>| {
            for (place, line) in broken(text, room).into_iter().enumerate() {
                let name = if place == 0 { name } else { "" };
                lines.push(format!(
                    "{}{}",
                    faint(&format!("{name:<NAMES$}")),
                    with_mark(text, line, mark.as_ref())
                ));
            }
        };
        fact("outcome", Fate::of(trial).words(), None);
        if let Some(error) = &trial.error {
            fact("error", &cleaned(error, style), None);
        }
        fact("question", &cleaned(&trial.question, style), None);
        fact("needle", &cleaned(trial.needle.trim(), style), None);
        let expected = cleaned(&trial.expected_answer, style);
        fact("expected", &expected, None);
        if let Some(answer) = &trial.model_response {
            let answer = cleaned(answer.trim(), style);
            let mark = matched(&answer, &expected);
            fact("answer", if answer.is_empty() { "(nothing)" } else { &answer }, mark);
        }
        if let Some(logprob) = trial.answer_logprob {
            fact("log-probability", &format!("{logprob:.3} nats, of the expected answer"), None);
        }
        if let Some(rank) = trial.answer_rank {
            let greedy = if rank == 1 { ": the model's first choice throughout" } else { "" };
            fact("worst rank", &format!("{rank}{greedy}"), None);
        }
        if let Some(mass) = trial.needle_mass_top {
            let control = trial.control_mass_top;
            let control = control.map_or(String::new(), |mass| format!("; on other spans at most {mass:.3}"));
            fact("needle mass", &format!("{mass:.3} under the head with the most{control}"), None);
        }
        if let Some(seconds) = trial.duration_seconds {
            fact("time", &format!("{seconds:.1} s"), None);
        }
        lines
    }
}
