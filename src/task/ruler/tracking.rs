//! `vt`: a chain of assignments in lines of noise; which variables have the value?

use super::super::values::Values;
use super::super::{Item, Listed, Listing, ListingRequest, Task};
use super::{LONG, SCORER, example, question};
use crate::error::Error;
use crate::haystack::noise;
use crate::needle::Needle;
use crate::rng::Rng;
use crate::span::SpanKind;
use crate::split::Split;

/// Variables of the chain: it has a hop fewer.
const VARIABLES: usize = 5;

const INSTRUCTION: &str =
    "Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n";

pub(in super::super) struct Tracking;

impl Task for Tracking {
    fn name(&self) -> &'static str {
        "ruler-vt"
    }

    fn default_scorer(&self) -> &'static str {
        SCORER
    }

    fn answer_budget(&self) -> usize {
        30
    }

    fn listing(&self) -> Option<Listing> {
        Some(Listing::new("lines", VARIABLES, write))
    }
}

/// A chain: its value, its variables and its lines.
struct Chain {
    value: String,
    names: Vec<String>,
    lines: Vec<Needle>,
}

impl Chain {
    fn draw(values: &mut Values, rng: &mut Rng, letters: usize) -> Result<Self, Error> {
        let value = values.number(rng, 5);
        let names: Vec<_> = (0..VARIABLES).map(|_| values.letters(rng, letters, b'A')).collect();
        let mut lines = vec![Needle::new(format!("VAR {} = {value}", names[0]), &names[0])?];
        for pair in names.windows(2) {
            lines.push(Needle::new(format!("VAR {} = VAR {} ", pair[1], pair[0]), &pair[1])?);
        }
        Ok(Self { value, names, lines })
    }

    fn question(&self) -> String {
        format!("Question: Find all variables that are assigned the value {} in the text above.", self.value)
    }

    fn prefix(&self) -> String {
        format!(
            " Answer: According to the chain(s) of variable assignment in the text above, {VARIABLES} \
             variables are assigned the value {}, they are: ",
            self.value
        )
    }
}

/// The solved example: a chain with names of three letters in a few lines of noise.
fn solved(rng: &mut Rng, noise_lines: usize) -> Result<String, Error> {
    let chain = Chain::draw(&mut Values::new(Split::All), rng, 3)?;
    let mut lines = vec![noise::LINE; noise_lines];
    for (number, line) in chain.lines.iter().enumerate() {
        lines.insert((2 * number).min(lines.len()), line.text());
    }
    let answer = format!("{}{}", chain.prefix(), chain.names.join(" "));
    Ok(example(INSTRUCTION, &lines.join("\n"), &chain.question(), &answer))
}

fn write(request: &ListingRequest) -> Result<Listed, Error> {
    let name = Tracking.name();
    let chain = Chain::draw(&mut Values::new(request.split), &mut request.own(name), 5)?;
    let noise_lines = if request.trial.cell.context_length.0 < LONG { 1 } else { VARIABLES };
    let solved = solved(&mut request.common(name), noise_lines)?;
    // The first line of the chain at the depth, the others evenly between it and the end, in their order.
    let noise_lines = request.items - VARIABLES;
    let first = request.place(noise_lines);
    let mut items = Vec::with_capacity(request.items);
    for step in 0..VARIABLES {
        let until = first + (noise_lines - first) * step / VARIABLES;
        while items.len() - step < until {
            items.push(Item::plain(noise::LINE));
        }
        items.push(Item::needle(&chain.lines[step], SpanKind::Hop(step + 1)));
    }
    items.resize(request.items, Item::plain(noise::LINE));
    let question = question(solved + INSTRUCTION, chain.question(), chain.prefix(), chain.names);
    Ok(Listed { items, between: "\n", question, ..Listed::default() })
}
