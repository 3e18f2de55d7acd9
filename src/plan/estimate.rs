//! What a plan will cost: cells, tokens, memory and time, for `--dry-run` and the progress bar.

use std::collections::BTreeMap;
use std::time::Instant;

use candle_core::{Device, Tensor};

use super::shard::Cost;
use super::{DryRun, Measured, MemoryPlan, RunPlan};
use crate::error::Result;
use crate::grid::{Cell, ContextLength};
use crate::prefix;
use crate::prompt::Prompt;
use crate::trial::Trial;

/// The prompts of one trial, measured.
pub struct Estimate {
    /// Memory of the longest prompt.
    pub memory: MemoryPlan,
    /// Tokens of the longest sequence, prompt and answer together.
    pub longest_sequence: usize,
    /// Hash of the first prompt of every cell that was looked at, by `row_id`.
    pub prompt_hashes: BTreeMap<String, String>,
    cells: BTreeMap<Cell, Tokens>,
    /// Those of each prompt of a file.
    given: Vec<Tokens>,
    shared_tokens: usize,
    /// Tokens that neighbours share over what the places of their needles say.
    sharing: f64,
    /// How often the haystack begins again within a prompt, at most, by context length; none where it does
    /// not.
    pub haystack_loops: BTreeMap<usize, usize>,
    /// What the user should know of these prompts.
    pub notes: Vec<String>,
}

/// Tokens of a trial of one cell.
#[derive(Debug, Clone, Copy, Default)]
struct Tokens {
    /// Of the prompt.
    prompt: usize,
    /// That are generated at most, a thought among them.
    answer: usize,
}

impl Estimate {
    /// Builds the first trial of every cell, or where they are very many of some; prompts of a file have been
    /// measured already.
    ///
    /// # Errors
    /// When one of them cannot be built.
    pub fn new(plan: &RunPlan) -> Result<Self> {
        if let Some(given) = plan.prompts.task.given() {
            if let Some(spans) = &plan.settings.masking.spans {
                let kinds = given.rows().flat_map(|(given, _)| given.spans.iter().map(|span| span.kind));
                spans.check_present(&kinds.collect())?;
            }
            return Ok(Self::of_given(plan));
        }
        let prompts = plan.probe_prompts()?;
        let masking = &plan.settings.masking;
        if let Some(spans) = &masking.spans {
            let kinds = prompts.iter().flat_map(|(_, prompt)| prompt.spans.iter().map(|span| span.kind));
            spans.check_present(&kinds.collect())?;
        }
        let longest = prompts.iter().map(|(trial, _)| trial.cell.context_length.0).max().unwrap_or(0);
        let longest_sequence = prompts.iter().map(|(_, prompt)| prompt.longest()).max().unwrap_or(0);
        let spec = plan.model.spec();
        let kind = |(_, prompt): &(Trial, Prompt)| spec.planned_length(prompt.longest(), longest_sequence);
        let of_these = match spec.state_bytes() {
            _ if spec.reads_whole_prompts() => 0,
            0 => prefix::shared_tokens(
                prompts.iter().map(|row| (kind(row), row.1.tokens.as_slice(), masking.blocked(&row.1))),
            ),
            _ => prefix::shared_with_states(
                prompts.iter().map(|row| (kind(row), &row.1, masking.blocked(&row.1))),
            ),
        };
        let firsts: Vec<Trial> = plan.trials().into_iter().filter(|trial| trial.index == 0).collect();
        let looked_at: Vec<Trial> = prompts.iter().map(|(trial, _)| *trial).collect();
        let by_place = |trials: &[Trial]| shared_by_place(plan, trials).into_iter().sum::<usize>();
        let sharing = of_these as f64 / by_place(&looked_at).max(1) as f64;
        let shared_tokens = match firsts.len() == looked_at.len() {
            true => of_these,
            false => (sharing.min(1.0) * by_place(&firsts) as f64) as usize,
        };
        Ok(Self {
            memory: plan.model.memory(longest),
            longest_sequence,
            shared_tokens,
            sharing: sharing.min(1.0),
            prompt_hashes: prompts
                .iter()
                .map(|(trial, prompt)| (trial.row_id(), prompt.prompt_hash.clone()))
                .collect(),
            haystack_loops: haystack_loops(&prompts),
            notes: notes(&prompts),
            cells: prompts
                .iter()
                .map(|(trial, prompt)| {
                    (trial.cell, Tokens { prompt: prompt.tokens.len(), answer: generated(prompt) })
                })
                .collect(),
            given: Vec::new(),
        })
    }

    fn of_given(plan: &RunPlan) -> Self {
        let (rows, longest) = (plan.given(), plan.longest);
        let kind = |row: &Measured| plan.model.spec().planned_length(row.sequence, longest);
        let answer = |row: &Measured| row.sequence.saturating_sub(row.tokens);
        let tokens = |row: &Measured| Tokens { prompt: row.tokens, answer: answer(row) };
        // One that fails takes nothing, and leaves what was there for the next.
        let asked: Vec<&Measured> = rows.iter().filter(|row| row.sequence > 0).collect();
        // Where spans are blocked it is known only as prompts are built how far they are alike.
        let is_known = plan.settings.masking.spans.is_none();
        let pairs = asked.windows(2).filter(|pair| is_known && kind(pair[0]) == kind(pair[1]));
        Self {
            memory: plan.model.memory(longest),
            longest_sequence: longest,
            prompt_hashes: plan
                .trials()
                .iter()
                .zip(rows)
                .map(|(trial, row)| (trial.row_id(), row.hash.clone()))
                .collect(),
            cells: BTreeMap::new(),
            shared_tokens: match plan.model.spec().reads_whole_prompts() {
                true => 0,
                false => pairs.map(|pair| pair[1].shared).sum(),
            },
            sharing: f64::from(u8::from(!plan.model.spec().reads_whole_prompts())),
            haystack_loops: BTreeMap::new(),
            notes: Vec::new(),
            given: rows.iter().map(tokens).collect(),
        }
    }

    /// Prompt tokens of these trials, taking those of a cell to be as long as its first.
    #[must_use]
    pub fn tokens_of(&self, trials: &[Trial]) -> usize {
        trials.iter().map(|trial| self.tokens(trial).prompt).sum()
    }

    /// Those of the trial, when it is a prompt of a file, or else of the first trial of its cell or of the
    /// nearest cell that was looked at, with the tokens that its length has more.
    fn tokens(&self, trial: &Trial) -> Tokens {
        if let Some(tokens) = self.given.get(trial.index).or_else(|| self.cells.get(&trial.cell)) {
            return *tokens;
        }
        let below = self.cells.range(..trial.cell).next_back();
        let Some((cell, near)) = below.or_else(|| self.cells.first_key_value()) else {
            return Tokens::default();
        };
        let of_answer = cell.context_length.0.saturating_sub(near.prompt);
        Tokens { prompt: trial.cell.context_length.0.saturating_sub(of_answer), answer: near.answer }
    }

    /// What each trial of the plan costs, in operations: alone, and behind the one before it. Without
    /// `sharing` both are the same.
    #[must_use]
    pub fn costs(&self, plan: &RunPlan, sharing: bool) -> Vec<Cost> {
        let (trials, work) = (plan.trials(), Work::of(plan));
        let shared = self.shared_by_each(plan, &trials);
        let cost = |(trial, shared): (&Trial, usize)| {
            let tokens = self.tokens(trial);
            let of = |shared: usize| work.prefill(plan, tokens.prompt, shared) + work.decode(tokens.answer);
            Cost { alone: of(0), behind: of(if sharing { shared } else { 0 }) }
        };
        trials.iter().zip(shared).map(cost).collect()
    }

    /// Tokens that each trial shares with the one before it.
    fn shared_by_each(&self, plan: &RunPlan, trials: &[Trial]) -> Vec<usize> {
        if self.given.is_empty() {
            let by_place = shared_by_place(plan, trials).into_iter();
            return by_place.map(|tokens| (tokens as f64 * self.sharing) as usize).collect();
        }
        let kind = |row: &Measured| plan.model.spec().planned_length(row.sequence, plan.longest);
        let mut last = None;
        let shared = plan.given().iter().map(|row| {
            let kind = (row.sequence > 0).then(|| kind(row));
            let same = kind.is_some() && kind == last;
            last = kind.or(last);
            if same && self.sharing > 0.0 { row.shared } else { 0 }
        });
        shared.collect()
    }

    /// Prompt tokens of the whole plan, and how many of them are computed when prompts share what they begin
    /// with.
    #[must_use]
    pub fn shared(&self, plan: &RunPlan) -> (usize, usize) {
        let tokens = self.tokens_of(&plan.trials());
        let times = if self.given.is_empty() { plan.settings.trials } else { 1 };
        (tokens, tokens - self.shared_tokens * times)
    }

    /// What the user should know of a haystack that is shorter than the prompts.
    #[must_use]
    pub fn repetition(&self, plan: &RunPlan) -> Option<String> {
        let times = self.haystack_loops.iter();
        let times: Vec<_> = times
            .map(|(length, loops)| format!("{} holds it {} times", ContextLength(*length), loops + 1))
            .collect();
        (!times.is_empty()).then(|| {
            format!(
                "the haystack {} is shorter than the prompts and begins again: {}; what is read twice is \
                 told apart more easily, so take a longer text, or --haystack synthetic",
                plan.prompts.haystack.name(),
                times.join(", ")
            )
        })
    }

    /// What a run of the plan takes; `sharing` says whether prompts share what they begin with, `limit` how
    /// many run now.
    ///
    /// # Errors
    /// When the device fails.
    pub fn dry_run(&self, plan: &RunPlan, sharing: bool, limit: Option<usize>) -> Result<DryRun> {
        let (prompts, grid, model) = (plan.trials().len(), &plan.settings.grid, &plan.model);
        let (tokens, computed) = self.shared(plan);
        let computed = if sharing { computed } else { tokens };
        let share = computed as f64 / tokens.max(1) as f64;
        Ok(DryRun {
            model: model.choice.name.clone(),
            family: model.checkpoint.family.to_string(),
            variant: model.variant.name().to_string(),
            variant_description: model.variant.description(),
            task: plan.prompts.task.name().to_string(),
            form: plan.form_name().to_string(),
            haystack: plan.prompts.haystack.name().to_string(),
            haystack_loops: self.haystack_loops.values().max().copied().unwrap_or(0),
            context_lengths: grid.context_lengths().to_vec(),
            depths_percent: grid.depths().to_vec(),
            cells: grid.cells().count(),
            trials: plan.settings.trials,
            prompts,
            shard: None,
            prompts_now: limit.unwrap_or(prompts).min(prompts),
            prompt_tokens: tokens,
            computed_tokens: computed,
            shares_prefixes: sharing,
            new_tokens_at_most: plan.trials().iter().map(|trial| self.tokens(trial).answer).sum(),
            memory: self.memory,
            seconds: self.seconds(plan, share)?,
        })
    }

    /// Expected wall time: the operations of all prompts at the speed of a matrix multiply of the model's own
    /// size. Attention runs at a third of that speed; decoding reads every weight (of a mixture of experts,
    /// those that a token meets) once a token, at 1/60 of the prefill's speed. `share` of the prompts' tokens
    /// are computed.
    fn seconds(&self, plan: &RunPlan, share: f64) -> Result<f64> {
        let (spec, work) = (plan.model.spec(), Work::of(plan));
        let rate = matmul_rate(spec.hidden_size, spec.intermediate_size, plan.model.device())?;
        let operations = plan.trials().into_iter().map(|trial| {
            let Tokens { prompt, answer } = self.tokens(&trial);
            share * work.prefill(plan, prompt, 0) + work.decode(answer)
        });
        Ok(operations.sum::<f64>() / rate)
    }
}

/// Tokens that each trial shares with the one before it by the places of their needles: prompts of one trial
/// number are equal up to the earlier needle.
fn shared_by_place(plan: &RunPlan, trials: &[Trial]) -> Vec<usize> {
    let place = |trial: &Trial| trial.cell.depth.fraction() * trial.cell.context_length.0 as f64;
    let kind = |trial: &Trial| {
        let length = trial.cell.context_length.0;
        (trial.index, plan.model.spec().planned_length(length, plan.longest))
    };
    let shared = trials.windows(2).map(|pair| match kind(&pair[0]) == kind(&pair[1]) {
        true => place(&pair[0]).min(place(&pair[1])) as usize,
        false => 0,
    });
    (!trials.is_empty()).then_some(0).into_iter().chain(shared).collect()
}

/// Parameters that a token meets.
struct Work {
    /// Without the embedding.
    weights: f64,
    embedding: f64,
}

impl Work {
    fn of(plan: &RunPlan) -> Self {
        let spec = plan.model.spec();
        let embedding = spec.vocab_size * spec.hidden_size * if spec.tie_word_embeddings { 1 } else { 2 };
        let weights = spec.active_parameter_count().saturating_sub(embedding) as f64;
        Self { weights, embedding: embedding as f64 }
    }

    /// Operations of a prompt of `n` tokens, of which the first `shared` are there.
    fn prefill(&self, plan: &RunPlan, n: usize, shared: usize) -> f64 {
        let (n, shared) = (n as f64, shared.min(n) as f64);
        let attention = attention_operations(plan, n) - attention_operations(plan, shared);
        2.0 * self.weights * (n - shared) + 3.0 * attention
    }

    /// Operations of so many tokens of an answer.
    fn decode(&self, tokens: usize) -> f64 {
        60.0 * 2.0 * (self.weights + self.embedding) * tokens as f64
    }
}

/// What is said of prompts, each with the lengths of which it is not said of all.
fn notes(prompts: &[(Trial, Prompt)]) -> Vec<String> {
    let mut said: BTreeMap<&str, Vec<ContextLength>> = BTreeMap::new();
    for (trial, prompt) in prompts {
        if let Some(note) = &prompt.note {
            said.entry(note).or_default().push(trial.cell.context_length);
        }
    }
    let note = |(note, mut lengths): (&str, Vec<ContextLength>)| {
        lengths.sort_unstable();
        lengths.dedup();
        let of_all = prompts.iter().all(|(trial, _)| lengths.contains(&trial.cell.context_length));
        let lengths = lengths.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if of_all { note.to_string() } else { format!("length {lengths}: {note}") }
    };
    said.into_iter().map(note).collect()
}

/// Tokens that are generated for a prompt, at most.
fn generated(prompt: &Prompt) -> usize {
    prompt.thought.as_ref().map_or(0, |thought| thought.budget) + prompt.answer_budget
}

/// The largest number of loops of each length that has any.
fn haystack_loops(prompts: &[(Trial, Prompt)]) -> BTreeMap<usize, usize> {
    let mut loops = BTreeMap::new();
    for (trial, prompt) in prompts.iter().filter(|(_, prompt)| prompt.haystack_loops > 0) {
        let most = loops.entry(trial.cell.context_length.0).or_insert(0);
        *most = prompt.haystack_loops.max(*most);
    }
    loops
}

/// Operations of the attention of a prompt of `n` tokens: a multiply and an add for every number of a key and
/// of a value that a query meets. Windows of screening tiles count; those of other layers do not.
fn attention_operations(plan: &RunPlan, n: f64) -> f64 {
    let spec = plan.model.spec();
    let pair = 2 * (spec.head_dim + spec.value_dim());
    let keys = match (&spec.screening, &plan.model.checkpoint.own_variant.screens) {
        (Some(screening), Some(screens)) => {
            let window = |screen| screening.in_sequence(screen, n as usize).window;
            screens.iter().flatten().map(|screen| window(*screen).min(n / 2.0)).sum()
        }
        _ => (spec.attention_layers().count() * spec.num_attention_heads) as f64 * n / 2.0,
    };
    pair as f64 * n * keys
}

/// Operations a second of `[256, hidden] x [hidden, intermediate]`, best of three.
fn matmul_rate(hidden: usize, intermediate: usize, device: &Device) -> Result<f64> {
    let rows = 256;
    let x = Tensor::ones((rows, hidden), candle_core::DType::F32, device)?;
    let weight = Tensor::ones((intermediate, hidden), candle_core::DType::F32, device)?;
    let mut best = f64::INFINITY;
    for _ in 0..4 {
        let started = Instant::now();
        x.matmul(&weight.t()?)?;
        device.synchronize()?;
        best = best.min(started.elapsed().as_secs_f64());
    }
    Ok(2.0 * (rows * hidden * intermediate) as f64 / best.max(1e-9))
}
