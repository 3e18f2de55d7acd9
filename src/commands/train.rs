//! `niah train`: a small decoder from scratch, or a checkpoint further.

use std::io::{self, IsTerminal};
use std::sync::atomic::Ordering;

use serde_json::json;

use super::{machine_record, prepare, stop_on_interrupt, tell};
use crate::cli::{MachineArgs, SaveDtype, TrainArgs};
use crate::clock;
use crate::error::{Error, Result};
use crate::export::training::{TrainingDirectory, TrainingRecord};
use crate::progress::{Bar, Progress};
use crate::train::{
    Sizes, StepReport, Trainer, TrainingOptions, TrainingPlan, TrainingSettings, initializer_range,
};

/// Runs the command.
///
/// # Errors
/// When the training cannot be made, its directory cannot be written, or the user stopped it.
pub fn run(args: &TrainArgs) -> Result<()> {
    let machine = MachineArgs { device: "cpu".to_string(), threads: args.threads };
    let (_, threads) = prepare(&machine)?;
    let plan = TrainingPlan::resolve(options(args))?;
    let identity = plan.identity()?;
    let (mut directory, mut state) = if args.resume {
        TrainingDirectory::resume(&args.output, &identity, plan.model().layout())?
    } else {
        let about = json!({
            "niah": env!("CARGO_PKG_VERSION"),
            "command": std::env::args().collect::<Vec<_>>(),
            "started_utc": clock::now_utc(),
            "parameters": plan.model().layout().len(),
            "machine": machine_record(&machine, threads),
        });
        let record = TrainingRecord { settings: identity, about, tokenizer: plan.tokenizer_json.clone() };
        (TrainingDirectory::create(&args.output, &record)?, plan.initial_state()?)
    };
    let mut config = plan.config.clone();
    if args.save_dtype == SaveDtype::Bf16 {
        config["dtype"] = json!("bfloat16");
    }
    directory.describe(&config)?;
    let (settings, rows) = (&plan.options.training, plan.options.context_length);
    let data = plan.mixture()?;
    tell(format_args!(
        "{}: {} parameters, attention {}, steps {} to {}, {} tokens a step",
        args.output.display(),
        plan.model().layout().len(),
        plan.config["attention_variant"],
        state.step + 1,
        settings.steps,
        settings.sequences() * rows,
    ));
    let stop = stop_on_interrupt()?;
    let mut bar = Bar::new((settings.steps - state.step) * settings.sequences() * rows);
    let mut stopped = false;
    while state.step < settings.steps && !stopped {
        let (model, end) = plan.leg(state.step);
        let mut trainer = Trainer::new(model, &data, settings, state);
        while trainer.state().step < end && !stopped {
            let row = trainer.step()?;
            bar.advance(settings.sequences() * rows);
            bar.at(&described(&row));
            directory.push(row);
            stopped = stop.load(Ordering::Relaxed);
            if row.step.is_multiple_of(args.save_every.max(1)) && row.step < settings.steps {
                directory.save(trainer.state(), trainer.layout())?;
                if !io::stderr().is_terminal() {
                    tell(format_args!("step {} of {}: {}", row.step, settings.steps, described(&row)));
                }
            }
        }
        state = trainer.into_state();
    }
    bar.finish();
    directory.save(&state, plan.model().layout())?;
    if let Some(row) = directory.rows().last() {
        tell(format_args!("step {} of {}: {}", row.step, settings.steps, described(row)));
    }
    match state.step >= settings.steps {
        true => Ok(()),
        false => Err(Error::Failed(format!(
            "stopped after {} of {} steps; they are kept in {}. The same command with --resume goes on",
            state.step,
            settings.steps,
            args.output.display()
        ))),
    }
}

fn described(row: &StepReport) -> String {
    let answers = row.answer_loss.map(|loss| format!(", of answers {loss:.3}")).unwrap_or_default();
    format!("loss {:.3}{answers}, {:.0} tokens/s", row.loss, row.tokens_per_second)
}

fn options(args: &TrainArgs) -> TrainingOptions {
    TrainingOptions {
        init: args.init.clone(),
        variant: args.variant.clone(),
        ssmax_init: args.ssmax_init,
        swap_at_step: args.swap_at_step,
        sizes: Sizes {
            hidden_size: args.hidden_size,
            intermediate_size: args.intermediate_size,
            num_hidden_layers: args.num_hidden_layers,
            num_attention_heads: args.num_attention_heads,
            num_key_value_heads: args.num_key_value_heads.unwrap_or(args.num_attention_heads),
            layer_pattern: args.layer_pattern.clone(),
            sliding_window: args.sliding_window,
            qk_norm: args.qk_norm.clone(),
            rope_theta: args.rope_theta,
            initializer_range: args.initializer_range.unwrap_or_else(|| initializer_range(args.hidden_size)),
        },
        vocab_size: args.vocab_size,
        tokenizer: args.tokenizer.clone(),
        context_length: args.context_length.0,
        haystacks: args.haystack.clone(),
        task: args.task.clone(),
        mix: args.mix.clone(),
        seed: args.seed,
        training: TrainingSettings {
            steps: args.steps,
            batch_size: args.batch_size,
            accumulation: args.accumulation,
            lr: args.lr,
            schedule: args.schedule,
            warmup_steps: args.warmup_steps.unwrap_or((args.steps / 20).min(100)),
            weight_decay: args.weight_decay,
            betas: (args.beta1, args.beta2),
            clip: args.clip,
            answer_weight: args.answer_weight,
        },
    }
}
