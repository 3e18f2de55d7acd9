//! `niah train`: a small decoder from scratch, or a checkpoint further.

mod resumed;

use std::io::{self, IsTerminal};
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::{machine_record, prepare, stop_on_interrupt, tell, warn};
use crate::checkpoint::{Checkpoint, RopeOverride};
use crate::cli::{MachineArgs, SaveDtype, TrainArgs, TrainedFamily};
use crate::clock;
use crate::error::{Error, Result};
use crate::progress::{Bar, Progress};
use crate::store::training::{TrainingDirectory, TrainingRecord};
use crate::train::{
    ModelSizes, Schedule, ScreeningSizes, Sizes, StepReport, Trainer, TrainingOptions, TrainingPlan,
    TrainingSettings, initializer_range,
};

/// Runs the command; `given` are the flags that were typed ([`crate::cli::given_flags`]).
///
/// # Errors
/// When the training cannot be made, its directory cannot be written, or the user stopped it.
pub fn run(args: &TrainArgs, given: &[(String, String)]) -> Result<()> {
    let machine = MachineArgs { threads: args.threads, ..MachineArgs::cpu() };
    let (_, threads) = prepare(&machine)?;
    if !args.resume {
        return go_on(args, options(args)?, &machine, threads);
    }
    let record = TrainingDirectory::record(&args.output)?;
    let args = resumed::flags(args, given, &record["settings"], &record["about"]);
    let options = resumed::options(&options(&args)?, given, &record["settings"])?;
    go_on(&args, options, &machine, threads)
}

/// Trains from the beginning, or from where the directory stopped.
fn go_on(args: &TrainArgs, options: TrainingOptions, machine: &MachineArgs, threads: usize) -> Result<()> {
    let plan = TrainingPlan::resolve(options)?;
    warn(plan.warnings());
    let identity = plan.identity()?;
    let (mut directory, mut state) = if args.resume {
        TrainingDirectory::resume(&args.output, &identity, plan.model().layout())?
    } else {
        let about = json!({
            "niah": env!("CARGO_PKG_VERSION"),
            "command": std::env::args().collect::<Vec<_>>(),
            "started_utc": clock::now_utc(),
            "save_every": args.save_every,
            "parameters": plan.model().layout().len(),
            "machine": machine_record(machine, threads),
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
    let steps = match state.step < settings.steps {
        true => format!("steps {} to {}", state.step + 1, settings.steps),
        false if settings.steps == 0 => "no steps".to_string(),
        false => format!("all {} steps are done", settings.steps),
    };
    tell(format_args!(
        "{}: {} parameters, {}, {steps}, {} tokens a step",
        args.output.display(),
        plan.model().layout().len(),
        rule(&plan.config),
        settings.sequences() * rows,
    ));
    let stop = stop_on_interrupt()?;
    let mut bar = Bar::new((settings.steps - state.step) * settings.sequences() * rows);
    let mut stopped = false;
    while state.step < settings.steps && !stopped {
        let (model, end) = plan.leg(state.step);
        let mut trainer = Trainer::new(model, &data, settings, state);
        while trainer.state().step < end && !stopped {
            let row = match trainer.step() {
                Ok(row) => row,
                // A state to go on from would only end here again; the steps before say what went wrong.
                Err(error) => return directory.save_table().and(Err(error)),
            };
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
        false => Err(Error::Stopped(format!(
            "stopped after {} of {} steps; they are kept in {}. The same command with --resume goes on",
            state.step,
            settings.steps,
            args.output.display()
        ))),
    }
}

/// The rule by which keys are weighed.
fn rule(config: &Value) -> String {
    match config.get("attention_variant") {
        Some(variant) => format!("attention {variant}"),
        None => "screening tiles".to_string(),
    }
}

fn described(row: &StepReport) -> String {
    let answers = row.answer_loss.map(|loss| format!(", of answers {loss:.3}")).unwrap_or_default();
    let windows = row
        .window_max
        .zip(row.windows_beyond)
        .map(|(largest, beyond)| format!(", windows to {largest:.0}, {beyond} beyond the sequence"))
        .unwrap_or_default();
    format!("loss {:.3}{answers}{windows}, {:.0} tokens/s", row.loss, row.tokens_per_second)
}

fn options(args: &TrainArgs) -> Result<TrainingOptions> {
    let screening = args.family == TrainedFamily::Multiscreen;
    // With --init the sizes are those of the checkpoint, which may be of either family.
    let paper = screening || args.init().is_some_and(is_multiscreen);
    let (lr, schedule, weight_decay, clip) = match paper {
        true => (0.0625, Schedule::Constant, 0.0, 0.0),
        false => (3e-3, Schedule::Cosine, 0.1, 1.0),
    };
    Ok(TrainingOptions {
        init: args.init().map(str::to_string),
        variant: args.variant.clone(),
        ssmax_init: args.ssmax_init,
        swap_at_step: args.swap_at_step,
        sizes: sizes(args)?,
        vocab_size: args.vocab_size,
        tokenizer: args.tokenizer.clone(),
        context_length: args.context_length.0,
        haystacks: args.haystack.clone(),
        task: args.task.clone(),
        mix: args.mix.clone(),
        curriculum_steps: args.curriculum_steps,
        seed: args.seed,
        training: TrainingSettings {
            steps: args.steps,
            batch_size: args.batch_size,
            accumulation: args.accumulation,
            lr: args.lr.unwrap_or(lr),
            schedule: args.schedule.unwrap_or(schedule),
            warmup_steps: args.warmup_steps.unwrap_or((args.steps / 20).min(100)),
            weight_decay: args.weight_decay.unwrap_or(weight_decay),
            betas: (args.beta1, args.beta2),
            clip: args.clip.unwrap_or(clip),
            answer_weight: args.answer_weight,
        },
    })
}

/// Whether a checkpoint directory holds screening tiles; what is wrong with one is said where it is read.
fn is_multiscreen(directory: &str) -> bool {
    Checkpoint::open(directory, RopeOverride::default())
        .is_ok_and(|checkpoint| checkpoint.spec.screening.is_some())
}

/// The sizes of a model from scratch, without flags of the other family.
fn sizes(args: &TrainArgs) -> Result<ModelSizes> {
    let of_decoders = [
        ("--intermediate-size", args.intermediate_size.is_some()),
        ("--num-key-value-heads", args.num_key_value_heads.is_some()),
        ("--layer-pattern", args.layer_pattern.is_some()),
        ("--sliding-window", args.sliding_window.is_some()),
        ("--qk-norm", args.qk_norm.is_some()),
        ("--differential", args.differential),
        ("--rope-theta", args.rope_theta.is_some()),
        ("--initializer-range", args.initializer_range.is_some()),
    ];
    let of_tiles = [
        ("--key-dim", args.key_dim.is_some()),
        ("--value-dim", args.value_dim.is_some()),
        ("--mipe-threshold", args.mipe_threshold.is_some()),
        ("--acceptance-init", args.acceptance_init.is_some()),
    ];
    let (foreign, family) = match args.family {
        TrainedFamily::Multiscreen => (&of_decoders[..], "niah"),
        TrainedFamily::Niah => (&of_tiles[..], "multiscreen"),
    };
    if let Some((flag, _)) = foreign.iter().find(|(_, given)| *given) {
        return Err(Error::invalid(
            *flag,
            "a size of another family",
            format!("--family {family} beside it"),
        ));
    }
    let (hidden_size, num_hidden_layers) = (args.hidden_size, args.num_hidden_layers);
    let num_attention_heads = args.num_attention_heads;
    Ok(match args.family {
        TrainedFamily::Multiscreen => ModelSizes::Multiscreen(ScreeningSizes {
            hidden_size,
            num_hidden_layers,
            num_attention_heads,
            key_dim: args.key_dim.unwrap_or(16),
            value_dim: args.value_dim.unwrap_or(64),
            mipe_threshold: args.mipe_threshold.unwrap_or(256.0),
            acceptance_init: args.acceptance_init.unwrap_or(0.0),
        }),
        TrainedFamily::Niah => {
            let default = Sizes::default();
            ModelSizes::Decoder(Sizes {
                hidden_size,
                intermediate_size: args.intermediate_size.unwrap_or(default.intermediate_size),
                num_hidden_layers,
                num_attention_heads,
                num_key_value_heads: args.num_key_value_heads.unwrap_or(num_attention_heads),
                layer_pattern: args.layer_pattern.clone().unwrap_or(default.layer_pattern),
                sliding_window: args.sliding_window.unwrap_or(default.sliding_window),
                qk_norm: args.qk_norm.map_or(default.qk_norm, str::to_string),
                differential: args.differential,
                rope_theta: args.rope_theta.unwrap_or(default.rope_theta),
                initializer_range: args.initializer_range.unwrap_or_else(|| initializer_range(hidden_size)),
            })
        }
    })
}
