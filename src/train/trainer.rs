//! The training loop: gradients of a batch, clipping, AdamW.

use std::sync::Mutex;
use std::time::Instant;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::data::{Mixture, Sequence};
use super::{Layout, Schedule, Trainable, Worker};
use crate::error::{Error, Result};
use crate::kernel::training::{AdamW, adamw, add_assign, sum_of_squares};

/// Groups of sequences whose gradients are summed on their own: the most threads that a batch can use.
const GROUPS: usize = 8;

/// Parameters that a thread updates at once.
const BLOCK: usize = 1 << 14;

/// How a model is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingSettings {
    /// Steps of the optimiser.
    pub steps: usize,
    /// Sequences of a step: those of one batch, times the batches whose gradients are added up.
    pub batch_size: usize,
    /// Batches of a step.
    pub accumulation: usize,
    /// Largest learning rate.
    pub lr: f64,
    /// What becomes of it.
    pub schedule: Schedule,
    /// Steps over which it rises.
    pub warmup_steps: usize,
    /// Weight decay of matrices; norms and scales have none.
    pub weight_decay: f64,
    /// Decay of the moments of AdamW.
    pub betas: (f64, f64),
    /// Largest norm of the gradient; 0 for no limit.
    pub clip: f64,
    /// Weight of the loss of an answer's token; that of others is 1.
    pub answer_weight: f64,
}

impl TrainingSettings {
    /// Sequences of a step.
    #[must_use]
    pub fn sequences(&self) -> usize {
        self.batch_size * self.accumulation
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] naming the setting.
    pub fn check(&self) -> Result<()> {
        for (name, count) in [("batch size", self.batch_size), ("accumulation", self.accumulation)] {
            if !(1..=1 << 20).contains(&count) {
                return Err(Error::invalid(name, count, "1 to 1048576"));
            }
        }
        if self.warmup_steps > self.steps {
            let expected = format!("at most `steps` {}", self.steps);
            return Err(Error::invalid("warmup steps", self.warmup_steps, expected));
        }
        let numbers = [
            ("lr", self.lr, self.lr > 0.0, "above 0"),
            ("weight decay", self.weight_decay, self.weight_decay >= 0.0, "at least 0"),
            ("clip", self.clip, self.clip >= 0.0, "above 0, or 0 for no limit"),
            ("answer weight", self.answer_weight, self.answer_weight > 0.0, "above 0"),
            ("betas", self.betas.0, (0.0..1.0).contains(&self.betas.0), "from 0 to below 1"),
            ("betas", self.betas.1, (0.0..1.0).contains(&self.betas.1), "from 0 to below 1"),
        ];
        match numbers.iter().find(|(_, number, holds, _)| !(number.is_finite() && *holds)) {
            None => Ok(()),
            Some((name, number, _, expected)) => {
                Err(Error::invalid(*name, number, format!("a number {expected}")))
            }
        }
    }
}

/// Everything that a training goes on from; sequences follow from the seed and the step.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Steps that are done.
    pub step: usize,
    /// The parameters, in the order of the layout.
    pub parameters: Vec<f32>,
    /// First and second moment of each.
    pub moments: [Vec<f32>; 2],
}

impl State {
    /// The state before the first step.
    #[must_use]
    pub fn new(parameters: Vec<f32>) -> Self {
        let zeros = || vec![0.0; parameters.len()];
        Self { step: 0, moments: [zeros(), zeros()], parameters }
    }
}

/// What a step gave: one row of `training.csv`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Number of the step, from 1.
    pub step: usize,
    /// Mean cross entropy over all tokens, in nats, before the step.
    pub loss: f64,
    /// Mean over the tokens of answers, when there are any.
    pub answer_loss: Option<f64>,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Tokens trained on, a second.
    pub tokens_per_second: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Mean of the learned scales after the step, when there are any.
    pub s_mean: Option<f64>,
    /// The smallest.
    pub s_min: Option<f64>,
    /// The largest.
    pub s_max: Option<f64>,
    /// The largest learned window in tokens after the step, when windows are learned.
    pub window_max: Option<f64>,
    /// How many learned windows are larger than the sequences.
    pub windows_beyond: Option<usize>,
}

/// A training on its way.
pub struct Trainer<'a> {
    model: &'a dyn Trainable,
    data: &'a Mixture<'a>,
    settings: &'a TrainingSettings,
    state: State,
    workers: Mutex<Vec<Box<dyn Worker + 'a>>>,
    gradients: Vec<Vec<f32>>, // [groups][parameters]
}

/// Sums of losses over the sequences of a group.
#[derive(Debug, Clone, Copy, Default)]
struct Losses {
    all: (f64, usize),
    answers: (f64, usize),
}

impl<'a> Trainer<'a> {
    /// Goes on from `state`.
    #[must_use]
    pub fn new(
        model: &'a dyn Trainable,
        data: &'a Mixture<'a>,
        settings: &'a TrainingSettings,
        state: State,
    ) -> Self {
        let groups = GROUPS.min(settings.sequences());
        let gradients = vec![vec![0.0; model.layout().len()]; groups];
        Self { model, data, settings, state, workers: Mutex::default(), gradients }
    }

    /// What the training goes on from.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What the training goes on from, under another model with the same parameters.
    #[must_use]
    pub fn into_state(self) -> State {
        self.state
    }

    /// Trains one step.
    ///
    /// # Errors
    /// When a sequence cannot be made, or the gradient is not finite.
    pub fn step(&mut self) -> Result<StepReport> {
        let (started, step) = (Instant::now(), self.state.step);
        let count = self.settings.sequences();
        let sequences = (0..count).into_par_iter().map(|index| self.data.sequence(step, index));
        let sequences = sequences.collect::<Result<Vec<_>>>()?;
        let tokens: usize = sequences.iter().map(|sequence| sequence.tokens.len() - 1).sum();
        let losses = self.accumulate(&sequences)?;
        let gradient_norm = self.sum_gradients();
        if !gradient_norm.is_finite() {
            return Err(Error::Compute(format!(
                "the gradient of step {} is not finite: lower `lr` or `clip`",
                step + 1
            )));
        }
        let factor = self.settings.schedule.factor(step, self.settings.steps, self.settings.warmup_steps);
        let learning_rate = self.settings.lr * factor;
        self.update(learning_rate, gradient_norm);
        self.state.step += 1;
        let scales: Vec<f64> =
            self.model.scales(&self.state.parameters).concat().iter().map(|&s| f64::from(s)).collect();
        let windows = self.model.windows(&self.state.parameters);
        let rows = sequences.first().map_or(0, |sequence| sequence.tokens.len() - 1) as f64;
        let of_scales = |value: f64| (!scales.is_empty()).then_some(value);
        Ok(StepReport {
            step: step + 1,
            loss: losses.all.0 / losses.all.1 as f64,
            answer_loss: (losses.answers.1 > 0).then(|| losses.answers.0 / losses.answers.1 as f64),
            learning_rate,
            tokens_per_second: tokens as f64 / started.elapsed().as_secs_f64(),
            gradient_norm,
            s_mean: of_scales(scales.iter().sum::<f64>() / scales.len() as f64),
            s_min: of_scales(scales.iter().copied().fold(f64::INFINITY, f64::min)),
            s_max: of_scales(scales.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
            window_max: windows.iter().copied().reduce(f64::max),
            windows_beyond: (!windows.is_empty())
                .then(|| windows.iter().filter(|&&window| window > rows).count()),
        })
    }

    /// Puts the gradient of the weighted mean loss of each group of sequences into its buffer.
    fn accumulate(&mut self, sequences: &[Sequence]) -> Result<Losses> {
        let weights: Vec<Vec<f32>> =
            sequences.iter().map(|sequence| weights(sequence, self.settings.answer_weight)).collect();
        let total: f64 = weights.iter().flatten().map(|&weight| f64::from(weight)).sum();
        let (groups, count) = (self.gradients.len(), sequences.len());
        let (model, workers, parameters) = (self.model, &self.workers, &self.state.parameters);
        let group = |(number, gradients): (usize, &mut Vec<f32>)| {
            gradients.fill(0.0);
            let mut worker = taken(workers).unwrap_or_else(|| model.worker());
            let mut losses = Losses::default();
            for index in number * count / groups..(number + 1) * count / groups {
                let (sequence, weights) = (&sequences[index], &weights[index]);
                let factors: Vec<f32> = weights.iter().map(|&w| (f64::from(w) / total) as f32).collect();
                let found = worker.gradients(parameters, &sequence.tokens, &factors, gradients)?;
                losses.add(sequence, &found);
            }
            if let Ok(mut workers) = workers.lock() {
                workers.push(worker);
            }
            Ok(losses)
        };
        let losses = self.gradients.par_iter_mut().enumerate().map(group).collect::<Result<Vec<_>>>()?;
        Ok(losses.iter().fold(Losses::default(), Losses::plus))
    }

    /// Adds the gradients of all groups to those of the first and returns their norm.
    fn sum_gradients(&mut self) -> f64 {
        let (first, others) = self.gradients.split_at_mut(1);
        let blocks = first[0].par_chunks_mut(BLOCK).enumerate().map(|(number, sum)| {
            for other in others.iter() {
                add_assign(sum, &other[number * BLOCK..][..sum.len()]);
            }
            f64::from(sum_of_squares(sum))
        });
        blocks.collect::<Vec<_>>().iter().sum::<f64>().sqrt()
    }

    /// One step of AdamW.
    fn update(&mut self, learning_rate: f64, gradient_norm: f64) {
        let Self { settings, state, gradients, model, .. } = self;
        let (b1, b2) = settings.betas;
        let steps = i32::try_from(state.step + 1).unwrap_or(i32::MAX);
        let clipped = settings.clip > 0.0 && gradient_norm > settings.clip;
        let step = AdamW {
            lr: learning_rate as f32,
            betas: (b1 as f32, b2 as f32),
            eps: 1e-8,
            weight_decay: 0.0,
            corrections: ((1.0 - b1.powi(steps)) as f32, (1.0 - b2.powi(steps)) as f32),
            gradient_scale: if clipped { (settings.clip / gradient_norm) as f32 } else { 1.0 },
        };
        let decay = settings.weight_decay as f32;
        let [m, v] = &mut state.moments;
        for tensor in model.layout().tensors() {
            let weight_decay = if tensor.decays() { decay } else { 0.0 };
            let step = AdamW { lr: step.lr * tensor.rate, weight_decay, ..step };
            let at = tensor.range.clone();
            state.parameters[at.clone()]
                .par_chunks_mut(BLOCK)
                .zip(gradients[0][at.clone()].par_chunks(BLOCK))
                .zip(m[at.clone()].par_chunks_mut(BLOCK).zip(v[at].par_chunks_mut(BLOCK)))
                .for_each(|((w, g), (m, v))| adamw(w, g, m, v, step));
        }
    }

    /// Names, shapes and places of the parameters.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        self.model.layout()
    }
}

fn taken<'a>(workers: &Mutex<Vec<Box<dyn Worker + 'a>>>) -> Option<Box<dyn Worker + 'a>> {
    workers.lock().ok()?.pop()
}

/// The weight of each predicted token.
fn weights(sequence: &Sequence, answer_weight: f64) -> Vec<f32> {
    let mut weights = vec![1.0; sequence.tokens.len() - 1];
    for answer in &sequence.answers {
        // Token i is predicted by row i - 1.
        weights[answer.start.max(1) - 1..answer.end - 1].fill(answer_weight as f32);
    }
    weights
}

impl Losses {
    fn add(&mut self, sequence: &Sequence, losses: &[f32]) {
        let sum = |losses: &[f32]| losses.iter().map(|&loss| f64::from(loss)).sum::<f64>();
        self.all.0 += sum(losses);
        self.all.1 += losses.len();
        for answer in &sequence.answers {
            let losses = &losses[answer.start.max(1) - 1..answer.end - 1];
            self.answers.0 += sum(losses);
            self.answers.1 += losses.len();
        }
    }

    fn plus(self, other: &Self) -> Self {
        let add = |a: (f64, usize), b: (f64, usize)| (a.0 + b.0, a.1 + b.1);
        Self { all: add(self.all, other.all), answers: add(self.answers, other.answers) }
    }
}
