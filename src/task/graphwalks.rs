//! `graphwalks`: a directed graph as a list of edges; which nodes are two steps away, or which lead to one?
//! The structure is that of OpenAI's GraphWalks.

use super::values::Values;
use super::{Item, Listed, Listing, ListingRequest, Question, Task, Wording};
use crate::error::Error;
use crate::needle::Needle;
use crate::rng::Rng;
use crate::span::SpanKind;

/// Letters of a node's name.
const LETTERS: usize = 6;

/// Edges from the node that is asked about, at most, and from each of those that they lead to.
const BRANCHES: (u64, u64) = (3, 2);

/// Nodes that lead to the one that is asked about, at most.
const PARENTS: u64 = 5;

pub(super) struct GraphWalks {
    name: &'static str,
    write: fn(&ListingRequest) -> Result<Listed, Error>,
}

impl GraphWalks {
    /// Nodes whose shortest way from the start has exactly two edges.
    pub(super) const TWO_STEPS: Self = Self { name: TWO_STEPS, write: write_two_steps };
    /// Nodes with an edge to the one that is asked about.
    pub(super) const PARENTS: Self = Self { name: PARENTS_NAME, write: write_parents };
}

const TWO_STEPS: &str = "graphwalks";
const PARENTS_NAME: &str = "graphwalks-parents";

impl Task for GraphWalks {
    fn name(&self) -> &'static str {
        self.name
    }

    fn default_scorer(&self) -> &'static str {
        "set-f1"
    }

    fn answer_budget(&self) -> usize {
        64
    }

    fn listing(&self) -> Option<Listing> {
        Some(Listing::new("edges", 12, self.write))
    }

    fn without_depth(&self) -> Option<&'static str> {
        Some("the edges stand in no order")
    }
}

/// Edges that matter, with what each is, and the nodes that the others may lead from and to.
struct Graph {
    edges: Vec<(String, String, SpanKind)>,
    /// Nodes that none of the other edges may begin at.
    closed: Vec<String>,
    expected: Vec<String>,
}

fn write_two_steps(request: &ListingRequest) -> Result<Listed, Error> {
    let (mut rng, mut values) = (request.own(TWO_STEPS), Values::new(request.split));
    let mut node = |rng: &mut Rng| values.letters(rng, LETTERS, b'a');
    let start = node(&mut rng);
    let mut graph = Graph { edges: Vec::new(), closed: vec![start.clone()], expected: Vec::new() };
    for _ in 0..rng.between(1, BRANCHES.0) {
        let next = node(&mut rng);
        graph.edges.push((start.clone(), next.clone(), SpanKind::Hop(1)));
        for _ in 0..rng.between(1, BRANCHES.1) {
            let end = node(&mut rng);
            graph.edges.push((next.clone(), end.clone(), SpanKind::Target));
            graph.expected.push(end);
        }
        graph.closed.push(next);
    }
    let asked = format!(
        "Follow the edges from {start} in their direction. Which nodes are exactly 2 steps away from it, by \
         the shortest way?"
    );
    listed(request, graph, &mut rng, values, &asked)
}

fn write_parents(request: &ListingRequest) -> Result<Listed, Error> {
    let (mut rng, mut values) = (request.own(PARENTS_NAME), Values::new(request.split));
    let node = values.letters(&mut rng, LETTERS, b'a');
    let expected: Vec<String> =
        (0..rng.between(1, PARENTS)).map(|_| values.letters(&mut rng, LETTERS, b'a')).collect();
    let edges = expected.iter().map(|parent| (parent.clone(), node.clone(), SpanKind::Target)).collect();
    let asked = format!("Which nodes have an edge to {node}?");
    listed(request, Graph { edges, closed: vec![node], expected }, &mut rng, values, &asked)
}

/// The edges that matter among others, in any order. The others lead from nodes of their own to any node but
/// the first closed one, so that they change no answer.
fn listed(
    request: &ListingRequest,
    graph: Graph,
    rng: &mut Rng,
    mut values: Values,
    asked: &str,
) -> Result<Listed, Error> {
    let Graph { edges, closed, mut expected } = graph;
    let own: Vec<String> = (0..request.items / 2).map(|_| values.letters(rng, LETTERS, b'a')).collect();
    let ends: Vec<&String> = own.iter().chain(&closed[1..]).chain(&expected).collect();
    let text = |from: &str, to: &str| format!("{from} -> {to}");
    let mut items = Vec::with_capacity(request.items);
    for (from, to, kind) in &edges {
        // What is asked for is at the end of an edge, or, of parents, at its beginning.
        let value = if expected.contains(from) { from } else { to };
        items.push(Item::needle(&Needle::new(text(from, to), value)?, *kind));
    }
    let mut written = std::collections::HashSet::new();
    while items.len() < request.items {
        let (from, to) = (rng.choose(&own), *rng.choose(&ends));
        if from != to && written.insert((from, to)) {
            items.push(Item::plain(text(from, to)));
        }
    }
    rng.shuffle(&mut items);
    expected.sort_unstable();
    Ok(Listed {
        items,
        between: "\n",
        question: Question {
            instruction: "Here is a directed graph, an edge on each line.\n\n".to_string(),
            question: format!("{asked} End your answer with a line such as Final Answer: [a, b]"),
            completion: "Final Answer: ".to_string(),
            completion_in_chat: true,
            expected,
            wording: Wording { before: "[", after: "]", ..Wording::default() },
            said_elsewhere: true,
            ..Question::default()
        },
        ..Listed::default()
    })
}
