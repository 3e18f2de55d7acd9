//! How learning rate and curriculum of each configuration were chosen: every try, and what came of it.

use super::number;
use crate::report::document::{Block, Table};

/// A try of a search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tried {
    /// Steps that it was trained for.
    pub steps: usize,
    /// Largest learning rate.
    pub rate: &'static str,
    /// Part of the steps over which key-value lines grew, in per cent.
    pub curriculum: usize,
    /// Mean loss of all tokens over the last steps.
    pub loss: f64,
    /// Of the answers' tokens.
    pub answer_loss: Option<f64>,
}

/// The search of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// Its name.
    pub name: String,
    /// Every try, in order.
    pub tried: Vec<Tried>,
}

impl Search {
    /// Of the tries with the most steps the one with the least loss, of several the first.
    #[must_use]
    pub fn chosen(&self) -> Option<&Tried> {
        let most = self.tried.iter().map(|tried| tried.steps).max()?;
        self.tried.iter().filter(|tried| tried.steps == most).min_by(|a, b| a.loss.total_cmp(&b.loss))
    }
}

/// The section of the searches; nothing where there were none.
#[must_use]
pub fn section(searches: &[Search]) -> Vec<Block> {
    if searches.is_empty() {
        return Vec::new();
    }
    let rows = searches.iter().flat_map(|search| {
        search.tried.iter().map(|tried| {
            let chosen = search.chosen() == Some(tried);
            vec![
                search.name.clone(),
                tried.steps.to_string(),
                tried.rate.to_string(),
                format!("{} %", tried.curriculum),
                format!("{:.4}", tried.loss),
                number(tried.answer_loss),
                if chosen { "chosen" } else { "" }.to_string(),
            ]
        })
    });
    vec![
        Block::Heading("Search for learning rate and curriculum".to_string()),
        Block::Paragraph(
            "Each configuration is trained for half of the steps with every learning rate, and with the best \
             of these for all steps with every curriculum, as a curriculum is good for so many steps: the \
             same tries for all, with one seed, at the training length. Chosen is the least loss of all \
             tokens at the end of all steps. Sequences never come again, so that is a loss on what was not \
             seen before; no context longer than in training is looked at."
                .to_string(),
        ),
        Block::Table(Table {
            caption: "Every try: mean loss in nats a token over the last twentieth of its steps, of all \
                      tokens and of the answers'."
                .to_string(),
            header: ["configuration", "steps", "rate", "lines grow over", "loss", "answer loss", ""]
                .map(String::from)
                .to_vec(),
            rows: rows.collect(),
        }),
    ]
}
