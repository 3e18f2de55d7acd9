//! How learning rate and curriculum of each configuration were chosen: every try, and what came of it.

use serde::{Deserialize, Serialize};

use super::number;
use crate::report::document::{Block, Table};

/// A try of a search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tried {
    /// Largest learning rate, as the flag has it.
    pub rate: String,
    /// Part of the steps over which key-value lines grew, in per cent.
    pub curriculum: usize,
    /// Mean loss of all tokens over the last steps, in nats; none where the training diverged.
    pub loss: Option<f64>,
    /// Of the answers' tokens.
    pub answer_loss: Option<f64>,
}

/// The search of a configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// Its name.
    pub name: String,
    /// Every try, in order.
    pub tried: Vec<Tried>,
}

impl Search {
    /// The try with the least loss, of several the first.
    #[must_use]
    pub fn chosen(&self) -> Option<&Tried> {
        let losses = self.tried.iter().filter_map(|tried| Some((tried.loss?, tried)));
        losses.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, tried)| tried)
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
                tried.rate.clone(),
                format!("{} %", tried.curriculum),
                tried.loss.map_or("diverged".to_string(), |loss| format!("{loss:.4}")),
                number(tried.answer_loss),
                if chosen { "chosen" } else { "" }.to_string(),
            ]
        })
    });
    vec![
        Block::Heading("Search for learning rate and curriculum".to_string()),
        Block::Paragraph(
            "Each configuration is trained with every learning rate and the first curriculum, and with the \
             best of these rates and every other curriculum: the same tries for all, of all steps, with one \
             seed, at the training length. Chosen is the least loss of all tokens at the end. Sequences \
             never come again, so that is a loss on what was not seen before; no context longer than in \
             training is looked at."
                .to_string(),
        ),
        Block::Table(Table {
            caption: "Every try: mean loss in nats a token over the last twentieth of its steps, of all \
                      tokens and of the answers'."
                .to_string(),
            header: ["configuration", "rate", "lines grow over", "loss", "answer loss", ""]
                .map(String::from)
                .to_vec(),
            rows: rows.collect(),
        }),
    ]
}
