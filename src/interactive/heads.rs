//! The heads over a selection of cells: the map by layer, and their ranking.

use std::collections::BTreeSet;

use super::app::{App, View};
use super::grid::words;
use super::keys::Key;
use super::text::reversed;
use crate::evaluate::ran;
use crate::export::terminal;
use crate::grid::Cell;
use crate::report::document::Block;
use crate::report::run::ranking;

/// The cells whose heads are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Cell,
    Marked,
    Whole,
}

/// Heads.
pub(super) struct HeadsPage {
    cell: Cell,
    marked: BTreeSet<Cell>,
    scope: Scope,
    /// What was wrong when they were read.
    problem: Option<String>,
}

impl App<'_> {
    /// The heads of `cell`, or first those over the marked cells.
    pub(super) fn heads_page(&mut self, cell: Cell, of_marked: bool) -> HeadsPage {
        let mut problem = None;
        let trials = self.outcomes.len();
        if self.sums.as_ref().is_none_or(|(read, _)| *read != trials) {
            match self.source.heads(&self.outcomes) {
                Ok(sums) => self.sums = Some((trials, sums)),
                Err(error) => problem = Some(error.one_line()),
            }
        }
        let scope = if of_marked { Scope::Marked } else { Scope::Cell };
        HeadsPage { cell, marked: self.marked.clone(), scope, problem }
    }

    pub(super) fn press_on_heads(&mut self, mut page: HeadsPage, key: Key) -> HeadsPage {
        match key {
            Key::Next | Key::Before => {
                let scopes = page.scopes();
                let place = scopes.iter().position(|scope| *scope == page.scope).unwrap_or(0);
                let steps = if key == Key::Next { 1 } else { scopes.len() - 1 };
                page.scope = scopes[(place + steps) % scopes.len()];
                self.scroll = 0;
            }
            key => self.scroll_by(key),
        }
        page
    }

    pub(super) fn view_of_heads(&self, page: &HeadsPage) -> View {
        let tab = |scope: &Scope| {
            let name = format!(" {} ", page.name(*scope));
            if *scope == page.scope { reversed(&name) } else { name }
        };
        let tabs = page.scopes().iter().map(tab).collect::<Vec<_>>().join(" ");
        let chosen = |cell: &Cell| match page.scope {
            Scope::Cell => *cell == page.cell,
            Scope::Marked => page.marked.contains(cell),
            Scope::Whole => true,
        };
        let sums = self.sums.as_ref().and_then(|(_, sums)| sums.as_ref());
        let heads = sums.map(|sums| sums.ranked(chosen)).unwrap_or_default();
        let body = match &page.problem {
            Some(problem) => self.style.wrap(problem),
            None if sums.is_none() => vec!["What each head did was not kept, or is too much.".to_string()],
            None if heads.is_empty() => vec![format!("No trial has run: {}.", page.name(page.scope))],
            None => {
                let report = ranking(ran(&self.record), &page.name(page.scope), heads);
                // The first lines say what ran, as the screen does.
                let blocks: Vec<Block> = { report.document.blocks.into_iter() }
                    .filter(|block| !matches!(block, Block::Lines(_)))
                    .collect();
                terminal::blocks(&blocks, &self.style).lines().map(str::to_string).collect()
            }
        };
        let arrows = self.style.pick("\u{2191}\u{2193}", "up/down");
        let help = format!("{arrows} read on  Tab which cells  Esc back  ? keys  q quit");
        View { top: vec![tabs, String::new()], body, cursor: None, foot: Vec::new(), help }
    }
}

impl HeadsPage {
    fn scopes(&self) -> Vec<Scope> {
        let marked = (!self.marked.is_empty()).then_some(Scope::Marked);
        [Some(Scope::Cell), marked, Some(Scope::Whole)].into_iter().flatten().collect()
    }

    fn name(&self, scope: Scope) -> String {
        match scope {
            Scope::Cell => words(self.cell),
            Scope::Marked if self.marked.len() == 1 => "the marked cell".to_string(),
            Scope::Marked => format!("the {} marked cells", self.marked.len()),
            Scope::Whole => "the whole grid".to_string(),
        }
    }
}
