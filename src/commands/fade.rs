//! `niah fade`: does attention fade as a context grows, and under which rule?

use std::sync::atomic::AtomicBool;

use serde_json::json;

use super::shown::{Shown, check};
use super::{prepare, settings, stop_on_interrupt, warn};
use crate::cli::FadeArgs;
use crate::error::Result;
use crate::evaluate::Evaluation;
use crate::export::style::Style;
use crate::plan::RunPlan;
use crate::progress::{Bar, Progress};
use crate::report::Report;
use crate::report::fade::{FadeReport, FadeRule, Reading};
use crate::runner::sharpness::{SharpTrial, check_weight, read_trials};
use crate::spec::Window;

/// Runs the command.
///
/// # Errors
/// When a plan cannot be made, prompts do not fit, or the computation fails.
pub fn run(args: &FadeArgs, style: &Style) -> Result<()> {
    check(&args.form, &["fade"])?;
    let models = args.models()?;
    let (device, _) = prepare(&args.machine)?;
    // Before the rules, which would say of a model without attention that it is not for them.
    args.model.attention.of(args.model.checkpoint.name()).check_attends()?;
    let plan = |model| Evaluation::new(RunPlan::resolve(settings(model, &args.grid)?, &device)?, true);
    let plans = models.iter().map(plan).collect::<Result<Vec<_>>>()?;
    // One grid and one checkpoint: what is told of the prompts of the first holds for all.
    if let Some(Evaluation { plan, .. }) = plans.first() {
        warn(&plan.warnings);
        warn(&plan.prompt_warnings);
    }
    let stop = stop_on_interrupt()?;
    let tokens = plans.iter().map(|of| of.estimate.tokens_of(&of.plan.trials())).sum();
    let mut bar = Bar::new(tokens);
    let rules = plans.iter().map(|of| rule(of, &mut bar, &stop)).collect::<Result<Vec<_>>>();
    bar.finish();
    Shown::of(&args.form, &Report::from(report(&plans, rules?)), None, style)?.out()
}

/// What one rule does to every prompt of the plan.
fn rule(of: &Evaluation, bar: &mut Bar, stop: &AtomicBool) -> Result<FadeRule> {
    let (plan, spec) = (&of.plan, of.plan.model.spec());
    let variant = plan.model.variant.as_ref();
    let mut model = plan.model.load()?.sharing_prefixes(of.estimate.longest_sequence);
    let read = read_trials((&plan.prompts, &plan.tokenizer), &plan.trials(), &mut model, bar, stop)?;
    let sees_all = |layer: &usize| spec.layers[*layer].window == Window::Full;
    let attending: Vec<usize> = spec.attention_layers().collect();
    let whole: Vec<usize> = attending.iter().copied().filter(sees_all).collect();
    let layers = if whole.is_empty() { &attending } else { &whole };
    let lengths = plan.settings.grid.context_lengths().iter().map(|length| length.0);
    let check = |n| Some((n, check_weight(variant, layers, spec.num_attention_heads, n)?));
    Ok(FadeRule {
        variant: variant.name().to_string(),
        description: variant.description(),
        readings: read.iter().flat_map(readings).collect(),
        checks: lengths.filter_map(check).collect(),
    })
}

/// The rows of one trial.
fn readings(of: &SharpTrial) -> impl Iterator<Item = Reading> {
    of.heads.iter().map(|head| Reading {
        context_length: of.trial.cell.context_length.0,
        trial: of.trial.index,
        layer: head.layer,
        keys_before: of.prompt_tokens,
        keys: head.keys,
        largest: head.largest,
        needle_mass: head.span_mass,
        entropy: head.entropy,
        scores: head.scores,
    })
}

fn report(plans: &[Evaluation], rules: Vec<FadeRule>) -> FadeReport {
    let first = plans.first().map(|of| &of.plan);
    let training_length = first.and_then(|plan| plan.model.spec().training_length());
    let title = first.map_or(String::new(), |plan| {
        let settings = &plan.settings;
        format!(
            "{}{}: the answering query of {} prompts of task {}",
            settings.model.name,
            settings.model.rounding(),
            plan.trials().len(),
            settings.task_name()
        )
    });
    let named = |rule: &FadeRule| json!({ "variant": rule.variant, "description": rule.description });
    let ran = json!({
        "title": title,
        "training_length": training_length,
        "variants": rules.iter().map(named).collect::<Vec<_>>(),
        "settings": first.map(|plan| &plan.settings),
    });
    FadeReport { title, ran, rules, training_length }
}
