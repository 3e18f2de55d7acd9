//! What a run takes, said before it starts: in words, or as JSON.

use std::fmt;

use serde::Serialize;

use super::{MemoryPlan, Shard};
use crate::grid::{ContextLength, Depth};

/// What a plan asks for and takes.
#[derive(Debug, Clone, Serialize)]
pub struct DryRun {
    /// The checkpoint, as it was named.
    pub model: String,
    /// Its family.
    pub family: String,
    /// Name of the attention variant.
    pub variant: String,
    /// Its scale, in words.
    pub variant_description: String,
    /// Name of the task.
    pub task: String,
    /// Form of the prompts: chat or completion.
    pub form: String,
    /// Name of the haystack.
    pub haystack: String,
    /// How often the haystack begins again in the longest prompt.
    pub haystack_loops: usize,
    /// Lengths of the prompts, in tokens.
    pub context_lengths: Vec<ContextLength>,
    /// Depths of the needle, in per cent.
    pub depths_percent: Vec<Depth>,
    /// Cells of the grid.
    pub cells: usize,
    /// Trials of a cell.
    pub trials: usize,
    /// Prompts of the whole plan.
    pub prompts: usize,
    /// The part of the plan that runs, where not all of it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<OfShard>,
    /// Prompts that a limit, or a part of the plan, lets run now.
    pub prompts_now: usize,
    /// Tokens of all prompts.
    pub prompt_tokens: usize,
    /// Those that are computed; the rest is shared.
    pub computed_tokens: usize,
    /// Whether prompts share what they begin with.
    pub shares_prefixes: bool,
    /// Tokens that are generated, at most.
    pub new_tokens_at_most: usize,
    /// Memory, in bytes.
    #[serde(rename = "memory_bytes")]
    pub memory: MemoryPlan,
    /// Expected wall time, from this machine's matrix speed just now.
    pub seconds: f64,
}

/// What a part of a plan takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OfShard {
    /// Which part.
    pub shard: Shard,
    /// Its prompts.
    pub prompts: usize,
    /// Its share of what all parts compute, 0 to 1.
    pub share: f64,
}

impl DryRun {
    /// What several plans take together, in words.
    #[must_use]
    pub fn sum(runs: &[Self]) -> String {
        let sum = |count: fn(&Self) -> usize| runs.iter().map(count).sum::<usize>();
        let seconds: f64 = runs.iter().map(|run| run.seconds).sum();
        format!(
            "{} tasks, {} prompts, {} tokens to compute, at most {} to write, about {}",
            runs.len(),
            sum(|run| run.prompts),
            sum(|run| if run.shares_prefixes { run.computed_tokens } else { run.prompt_tokens }),
            sum(|run| run.new_tokens_at_most),
            duration(seconds)
        )
    }
}

impl fmt::Display for DryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, family, variant, variant_description, task, form, haystack, .. } = self;
        writeln!(f, "model      {model} ({family})")?;
        writeln!(f, "variant    {variant} ({variant_description})")?;
        write!(f, "task       {task}, {form} form, haystack {haystack}")?;
        match self.haystack_loops {
            0 => writeln!(f)?,
            loops => writeln!(f, " (repeated: the longest prompt goes round {} times)", loops + 1)?,
        }
        writeln!(f, "lengths    {}", joined(&self.context_lengths))?;
        writeln!(f, "depths     {}", joined(&self.depths_percent))?;
        write!(f, "cells      {}, ", self.cells)?;
        match self.cells * self.trials == self.prompts {
            true => write!(f, "{} trials each: {} prompts", self.trials, self.prompts)?,
            false => write!(f, "{} prompts", self.prompts)?,
        }
        let whole = self.shard.as_ref().map_or(self.prompts, |part| part.prompts);
        match self.prompts_now == whole {
            true => writeln!(f)?,
            false => writeln!(f, " (--limit: {} of them now)", self.prompts_now)?,
        }
        write!(f, "tokens     {} to read", self.prompt_tokens)?;
        if self.shares_prefixes {
            write!(f, " ({} computed, the rest is shared)", self.computed_tokens)?;
        }
        writeln!(f, ", at most {} to write", self.new_tokens_at_most)?;
        writeln!(f, "memory     {}", self.memory)?;
        if let Some(OfShard { shard, prompts, share }) = &self.shard {
            let of_it = duration(self.seconds * share);
            writeln!(
                f,
                "shard      {shard}: {prompts} of the prompts, {:.1}% of the work, about {of_it}",
                100.0 * share
            )?;
        }
        writeln!(f, "time       about {} (from this machine's matrix speed just now)", duration(self.seconds))
    }
}

fn joined<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// A time in the unit that fits it.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{:.0} s", s.max(1.0)),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}
