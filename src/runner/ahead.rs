//! Prompts that are built while requests are out.
//!
//! One thread builds the prompts of all workers, each before its worker has need of it, so that no request
//! waits for a prompt. It keeps the haystack of every trial that a worker is at, which workers at the same
//! trial share. What a tokenizer takes while it works, many times the prompt, is taken once and not by every
//! worker.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use super::RunContext;
use crate::error::Result;
use crate::prompt::{Prompt, PromptSequence};
use crate::trial::Trial;

/// A prompt that a worker has ordered.
struct Order<'t> {
    worker: usize,
    trial: &'t Trial,
}

/// A prompt without its tokens. A server is told the text, and two prompts wait or are out for each worker:
/// what is recorded of their tokens is how many there were.
pub(super) struct Counted {
    /// The prompt, whose `tokens` are empty.
    pub(super) prompt: Prompt,
    /// Their number.
    pub(super) tokens: usize,
}

impl From<Prompt> for Counted {
    fn from(mut prompt: Prompt) -> Self {
        let tokens = std::mem::take(&mut prompt.tokens).len();
        prompt.text.shrink_to_fit();
        Self { prompt, tokens }
    }
}

/// Where a worker orders its prompts.
pub(super) struct Desk<'t> {
    worker: usize,
    orders: Sender<Order<'t>>,
    built: Receiver<Result<Counted>>,
    /// What was ordered and not fetched yet.
    ordered: Option<&'t Trial>,
}

/// Who builds them.
pub(super) struct Builder<'t> {
    orders: Receiver<Order<'t>>,
    desks: Vec<SyncSender<Result<Counted>>>,
}

/// A builder, and a desk for each of so many workers.
pub(super) fn desks<'t>(workers: usize) -> (Builder<'t>, Vec<Desk<'t>>) {
    let (orders, taken) = channel();
    // No worker has more than one prompt in the making, so the builder never waits for one.
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| sync_channel(1)).unzip();
    let desk = |(worker, built)| Desk { worker, orders: orders.clone(), built, ordered: None };
    (Builder { orders: taken, desks: senders }, receivers.into_iter().enumerate().map(desk).collect())
}

impl<'t> Desk<'t> {
    /// The prompt of this trial, or why it cannot be built; `None` when the builder has gone.
    pub(super) fn fetch(&mut self, trial: &'t Trial) -> Option<Result<Counted>> {
        if let Some(ordered) = self.ordered.take() {
            let built = self.built.recv().ok()?;
            if ordered == trial {
                return Some(built);
            }
        }
        self.order(trial);
        self.ordered = None;
        self.built.recv().ok()
    }

    /// Has the prompt of the trial built that is likely to be fetched next.
    pub(super) fn order(&mut self, trial: &'t Trial) {
        let order = Order { worker: self.worker, trial };
        self.ordered = self.orders.send(order).is_ok().then_some(trial);
    }
}

impl Builder<'_> {
    /// Builds what is ordered, until every desk has gone.
    pub(super) fn work(self, context: &RunContext<'_>) {
        let mut prompts = PromptSequence::several(context.prompts, context.tokenizer, self.desks.len());
        for Order { worker, trial } in self.orders {
            // A worker that has gone needs no prompt.
            let _ = self.desks[worker].send(prompts.build(trial).map(Counted::from));
        }
    }
}
