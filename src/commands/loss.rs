//! `niah loss`: the mean loss of text by position.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::shown::{Shown, check};
use super::{machine_record, made_again, prepare, stop_on_interrupt, tell, warn};
use crate::cli::LossArgs;
use crate::clock;
use crate::error::Result;
use crate::export::style::Style;
use crate::loss::losses;
use crate::model::causal_lm::CausalLm;
use crate::plan::{LossPlan, LossSettings};
use crate::progress::{Bar, Progress};
use crate::report::Report;
use crate::report::loss::{LossReport, by_position, position_buckets, text_means};
use crate::split;
use crate::stats::{LARGE, Method};
use crate::store::directory::make;
use crate::store::loss::write_losses;

/// Runs the command.
///
/// # Errors
/// When the plan cannot be made, the computation fails, or results cannot be written.
pub fn run(args: &LossArgs, style: &Style) -> Result<()> {
    check(&args.form, &["loss"])?;
    let (device, threads) = prepare(&args.machine)?;
    let started = clock::now_utc();
    let plan = LossPlan::resolve(settings(args), &device)?;
    warn(&plan.warnings);
    // Made before the weights load: where nothing can be written nothing is computed.
    if let Some(directory) = &args.output {
        make(directory)?;
    }
    let stop = stop_on_interrupt()?;
    let decoder = plan.model.decoder()?;
    let mut bar = Bar::new(plan.settings.trials * plan.settings.context_length);
    let measured = measure(&plan, decoder.as_ref(), &mut bar, &stop);
    bar.finish();
    let texts = measured?;
    let ranges = position_buckets(plan.settings.context_length, plan.settings.buckets);
    let means = text_means(&texts, &ranges);
    let buckets = by_position(&means, &ranges);
    let removed = args.output.as_ref().filter(|directory| !directory.exists());
    if let Some(directory) = &args.output {
        make(directory)?;
        let about = json!({ "started_utc": started, "machine": machine_record(&args.machine, threads) });
        write_losses(directory, &buckets, &record(&plan, &means, about)?)?;
    }
    let training_length = plan.model.spec().training_length();
    let ran = json!({
        "title": title(&plan),
        "variant": plan.model.variant.name(),
        "variant_description": plan.model.variant.description(),
        "training_length": training_length,
        "settings": plan.settings,
    });
    let (title, notes) = (title(&plan), notes(plan.settings.trials));
    let report = LossReport { title, ran, buckets, training_length, notes };
    let shown = Shown::of(&args.form, &Report::from(report), None, style)?.out();
    if let Some(directory) = &args.output {
        tell(format_args!("results: {}", directory.display()));
    }
    shown?;
    removed.map_or(Ok(()), |directory| Err(made_again(directory)))
}

/// The loss of every token of every text.
fn measure(
    plan: &LossPlan,
    decoder: &dyn CausalLm,
    bar: &mut dyn Progress,
    stop: &AtomicBool,
) -> Result<Vec<Vec<f64>>> {
    let text = |(number, tokens): (usize, &Vec<u32>)| {
        bar.at(&format!("text {} of {}", number + 1, plan.settings.trials));
        losses(decoder, plan.model.variant.as_ref(), tokens, plan.model.choice.chunk_size, &mut |tokens| {
            bar.advance(tokens);
            !stop.load(Ordering::Relaxed)
        })
    };
    plan.texts.iter().enumerate().map(text).collect()
}

fn settings(args: &LossArgs) -> LossSettings {
    LossSettings {
        model: args.attention.of(args.checkpoint.name()),
        context_length: args.context_length.0,
        trials: args.trials,
        seed: args.seed,
        haystack: args.haystack.clone(),
        split: args.split,
        buckets: args.buckets,
    }
}

fn title(plan: &LossPlan) -> String {
    let LossSettings { context_length, trials, haystack, split, .. } = &plan.settings;
    let part = split::SPLITS.iter().find(|entry| entry.value == *split).map_or("all", |entry| entry.name);
    let texts = if *trials == 1 { "1 text".to_string() } else { format!("{trials} texts") };
    format!(
        "{}, {}{}, {texts} of {context_length} tokens from {haystack} ({part})",
        plan.model.choice.name,
        plan.model.describe_variant(),
        plan.model.choice.rounding()
    )
}

fn notes(texts: usize) -> Vec<String> {
    let interval = match texts {
        1 => "One text has no interval; take more with --trials.".to_string(),
        _ => format!(
            "95% CI: {} over the means of the texts, which are the independent unit.",
            method(texts).words()
        ),
    };
    vec![
        "position = tokens that a prediction is made from. loss = mean cross entropy of the next token, in \
         nats."
            .to_string(),
        interval,
    ]
}

/// What gives the intervals over so many texts.
fn method(texts: usize) -> Method {
    if texts < LARGE { Method::Student } else { Method::StudentisedBootstrap }
}

/// `loss.json`: everything that the table does not say.
fn record(plan: &LossPlan, means: &[Vec<f64>], about: Value) -> Result<Value> {
    let by_text = |text: usize| means.iter().map(|means| means[text]).collect::<Vec<_>>();
    let hashes = plan.text_hashes();
    let texts = hashes.iter().enumerate().map(|(trial, hash)| {
        json!({ "trial": trial, "tokens_sha256": hash, "loss_mean_by_bucket": by_text(trial) })
    });
    Ok(json!({
        "niah": env!("CARGO_PKG_VERSION"),
        "command": std::env::args().collect::<Vec<_>>(),
        "about": about,
        "settings": plan.settings,
        "model": plan.model.in_loss()?,
        "variant": plan.model.variant.name(),
        "variant_description": plan.model.variant.description(),
        "tokenizer_sha256": plan.tokenizer_hash,
        "haystack_sha256": plan.haystack.hash(),
        "interval": format!("{}, 95 %, over texts", method(plan.settings.trials).words()),
        "warnings": plan.warnings,
        "texts": texts.collect::<Vec<_>>(),
    }))
}
