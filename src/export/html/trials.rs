//! The trials of a cell, in a section that its cell of a heatmap leads to.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::prompt;
use crate::export::svg::{Link, escaped};
use crate::grid::Cell;
use crate::printable::shortened;
use crate::report::answer::{Fate, matched};
use crate::report::document::{Block, TrialShown, Trials};
use crate::report::heatmap::Heatmap;
use crate::trial::Status;

/// Figures whose cells are those of the run.
const OF_CELLS: &[&str] = &["accuracy", "needle-mass", "outcome", "kinds"];

/// Where the trials of a cell stand, by the names of its column and its row.
pub(super) struct Places(HashMap<(String, String), Cell>);

impl Places {
    pub(super) fn of(blocks: &[Block]) -> Self {
        let cells = blocks.iter().filter_map(|block| match block {
            Block::Trials(trials) => Some(&trials.cells),
            _ => None,
        });
        let named = |(cell, _): &(Cell, Vec<TrialShown>)| {
            ((cell.context_length.to_string(), cell.depth.to_string()), *cell)
        };
        Self(cells.flatten().map(named).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has_links(&self, figure: &str) -> bool {
        !self.is_empty() && OF_CELLS.contains(&figure)
    }

    /// The link of a cell that has trials.
    pub(super) fn link(&self, map: &Heatmap, row: usize, column: usize) -> Option<Link> {
        let (length, depth) = (map.columns.get(column)?, map.rows.get(row)?);
        let cell = self.0.get(&(length.clone(), depth.clone()))?;
        let value = map.cells.get(row)?.get(column)?.map(|cell| map.unit.text(cell.value, false));
        let value = value.map_or("no value".to_string(), |value| format!("{} {value}", map.quantity));
        Some(Link {
            href: format!("#{}", id(*cell)),
            title: format!("{length} tokens, depth {depth}%: {value}; show its trials"),
        })
    }
}

fn id(cell: Cell) -> String {
    format!("cell-{}-{}", cell.context_length.0, cell.depth)
}

/// A section for every cell. Without a script, a browser shows the one that was linked to.
pub(super) fn sections(trials: &Trials) -> String {
    let mut html = String::new();
    for (cell, trials) in &trials.cells {
        let right = trials.iter().filter(|trial| trial.outcome.correct == Some(true)).count();
        let ran = trials.iter().filter(|trial| trial.outcome.status == Status::Ok).count();
        let (id, depth) = (id(*cell), cell.depth);
        let _ = writeln!(
            html,
            "<section class=\"trials\" id=\"{id}\" tabindex=\"-1\" aria-labelledby=\"{id}-name\">\n\
             <a class=\"close\" href=\"#closed\">Close</a>\n\
             <h2 id=\"{id}-name\">{} tokens, depth {depth}%</h2>\n<p>{right} of {ran} answers are right.</p>",
            cell.context_length
        );
        trials.iter().for_each(|trial| of_trial(&mut html, trial));
        html.push_str("</section>\n");
    }
    html
}

fn of_trial(html: &mut String, trial: &TrialShown) {
    let outcome = &trial.outcome;
    let fate = Fate::of(outcome);
    let (class, sign, words) = (class(fate), fate.sign(), fate.words());
    let _ = writeln!(
        html,
        "<article class=\"trial\">\n<h3>Trial {} <span class=\"{class}\">{sign} {words}</span></h3>\n<dl>",
        outcome.trial
    );
    let mut fact = |name: &str, text: String| {
        let _ = writeln!(html, "<dt>{name}</dt><dd>{text}</dd>");
    };
    let plain = |text: &str| escaped(&shortened(text));
    if let Some(error) = &outcome.error {
        fact("error", plain(error));
    }
    fact("question", plain(&outcome.question));
    fact("needle", plain(&outcome.needle));
    fact("expected", plain(&outcome.expected_answer));
    if let Some(answer) = &outcome.model_response {
        fact("answer", marked(&shortened(answer), &outcome.expected_answer));
    }
    if let Some(logprob) = outcome.answer_logprob {
        let rank = outcome.answer_rank.map_or(String::new(), |rank| format!(", rank {rank}"));
        // A minus that is as wide as a digit.
        let number = format!("{logprob:.3}").replace('-', "&minus;");
        fact("log-probability", format!("{number} nats{rank}"));
    }
    if let Some(mass) = outcome.needle_mass_top {
        let control = outcome.control_mass_top;
        let control = control.map_or(String::new(), |mass| format!("; on other spans at most {mass:.3}"));
        fact("needle mass", format!("{mass:.3} under the head with the most{control}"));
    }
    html.push_str("</dl>\n");
    if let Some(tokens) = &trial.prompt {
        let _ = writeln!(
            html,
            "<details><summary>Prompt: {} tokens, shaded by attention</summary>{}</details>",
            tokens.len(),
            prompt::draw_two(tokens, &outcome.row_id)
        );
    }
    html.push_str("</article>\n");
}

/// The class of what became of a trial.
fn class(fate: Fate) -> &'static str {
    match fate {
        Fate::Found => "found",
        Fate::Looked => "looked",
        Fate::Missed | Fate::Wrong | Fate::Failed => "missed",
        Fate::Skipped | Fate::Unscored => "soft",
    }
}

/// The answer with what was expected in it marked.
fn marked(answer: &str, expected: &str) -> String {
    match matched(answer, expected) {
        Some(range) => format!(
            "{}<mark>{}</mark>{}",
            escaped(&answer[..range.start]),
            escaped(&answer[range.clone()]),
            escaped(&answer[range.end..])
        ),
        None if answer.trim().is_empty() => "<i>nothing</i>".to_string(),
        None => escaped(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_match_is_marked_in_any_case_and_only_where_there_is_one() {
        assert_eq!(marked("the É SAND hill", "sand|x"), "the É <mark>SAND</mark> hill");
        assert_eq!(marked("1 < 2", "3"), "1 &lt; 2");
        assert_eq!(marked(" \n", "3"), "<i>nothing</i>");
        assert_eq!(marked("a", "|"), "a");
    }
}
