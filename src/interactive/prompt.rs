//! The prompt of a trial, shaded by the attention on its tokens.

use super::app::{App, View};
use super::grid::words;
use super::keys::Key;
use super::source::Source;
use super::text::bold;
use crate::export::terminal::shaded;
use crate::report::document::{PromptToken, ShadedToken};
use crate::trial::Outcome;

/// A prompt.
pub(super) struct PromptPage {
    outcome: Outcome,
    /// Its tokens; `None` where they were not kept, and else what is wrong with them.
    tokens: Result<Option<Vec<PromptToken>>, String>,
    /// Whether the shades are those of the head with the most on the needle, and not the mean over all.
    of_top: bool,
}

impl PromptPage {
    /// That of a trial.
    pub(super) fn of(outcome: Outcome, source: &dyn Source) -> Self {
        let tokens = source.prompt(&outcome).map_err(|error| error.one_line());
        Self { outcome, tokens, of_top: false }
    }

    fn shaded(&self, tokens: &[PromptToken]) -> Vec<ShadedToken> {
        let shaded = |token: &PromptToken| ShadedToken {
            text: token.text.clone(),
            mass: if self.of_top { token.top } else { token.mean },
            part: token.part,
            in_value: token.in_value,
        };
        tokens.iter().map(shaded).collect()
    }
}

impl App<'_> {
    pub(super) fn press_on_prompt(&mut self, mut page: PromptPage, key: Key) -> PromptPage {
        match key {
            Key::Next | Key::Before => page.of_top = !page.of_top,
            key => self.scroll_by(key),
        }
        page
    }

    pub(super) fn view_of_prompt(&self, page: &PromptPage) -> View {
        let PromptPage { outcome, tokens, of_top } = page;
        let cell = outcome.cell();
        let whose = if *of_top { "the head with the most on the needle" } else { "the mean over all heads" };
        let top = vec![
            bold(&format!("{}, trial {}", words(cell), outcome.trial)),
            format!("attention of the answering query: {whose}"),
            String::new(),
        ];
        let body = match tokens {
            Ok(Some(tokens)) => {
                shaded::draw(&page.shaded(tokens), &self.style).lines().map(str::to_string).collect()
            }
            Ok(None) => {
                let attend = format!(
                    "niah attend {} --context-length {} --depth {} --trial {}",
                    self.source.name(),
                    cell.context_length,
                    cell.depth,
                    outcome.trial
                );
                let mut lines = self.style.wrap(
                    "The attention on every token was not kept of this run. A run with --tokens keeps it; \
                     for this trial alone it is computed again by",
                );
                lines.extend([String::new(), self.style.clean(&attend)]);
                lines
            }
            Err(problem) => self.style.wrap(problem),
        };
        let arrows = self.style.pick("\u{2191}\u{2193}", "up/down");
        let help = format!("{arrows} read on  Tab mean or top head  h heads  Esc back  ? keys  q quit");
        View { top, body, cursor: None, foot: Vec::new(), help }
    }
}
