//! `niah run`: a grid on a checkpoint.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{machine_record, prepare, print, results, settings, stop_on_interrupt, tell};
use crate::cli::RunArgs;
use crate::clock;
use crate::error::{Error, Result};
use crate::export::directory::{RunDirectory, RunRecord};
use crate::export::style::Style;
use crate::model::dtype::Dtype;
use crate::model::kv_cache::KvDtype;
use crate::plan::{Estimate, RunPlan};
use crate::progress::{Bar, Progress};
use crate::runner::run_trials;
use crate::trial::{Status, Trial};

/// Runs the command.
///
/// # Errors
/// When the plan cannot be made, when results cannot be kept, when a trial failed, or when the user stopped it.
pub fn run(args: &RunArgs, style: &Style) -> Result<()> {
    let (device, threads) = prepare(&args.machine)?;
    let plan = RunPlan::resolve(settings(&args.model, &args.grid)?)?;
    for warning in &plan.warnings {
        tell(format_args!("warning: {warning}"));
    }
    plan.check_memory()?;
    let estimate = Estimate::new(&plan)?;
    if args.dry_run {
        return print(&estimate.describe(&plan, &device, !args.no_prefix_sharing)?);
    }

    let directory = args.output.clone().unwrap_or_else(|| default_directory(&plan));
    let (prompt, computed) = estimate.shared(&plan);
    let computed = if args.no_prefix_sharing { prompt } else { computed };
    let tokens = json!({ "prompt": prompt, "computed": computed });
    let precision = plan.settings.precision();
    let kv_dtype = precision.kv_dtype.unwrap_or(KvDtype::following(precision.dtype, &device));
    let record = run_record(&plan, kv_dtype, tokens, machine_record(&args.machine, threads))?;
    let mut store = RunDirectory::open(&directory, &record, args.tokens)?;
    let done = store.done();
    let missing: Vec<Trial> =
        plan.trials().into_iter().filter(|trial| !done.contains(&trial.row_id())).collect();
    let todo = &missing[..missing.len().min(args.limit.unwrap_or(usize::MAX))];
    if !todo.is_empty() {
        tell(headline(&plan, &record, &done, todo));
        let stop = stop_on_interrupt()?;
        let mut model = plan.load_model(&device)?;
        if !args.no_prefix_sharing {
            model = model.sharing_prefixes(estimate.longest_sequence);
        }
        let mut bar = Bar::new(estimate.tokens_of(todo));
        let ran = run_trials(&plan.context(args.tokens)?, todo, &mut model, &mut store, &mut bar, &stop);
        bar.finish();
        match ran {
            Err(Error::Interrupted) => return Err(interrupted(&store, &plan, &directory)),
            other => other?,
        }
    }
    print(&results(store.outcomes(), &record, args.output_format, style)?)?;
    tell(format_args!("results: {}", directory.display()));
    failures(&store, &plan, todo)
}

fn headline(
    plan: &RunPlan,
    record: &RunRecord,
    done: &std::collections::HashSet<String>,
    todo: &[Trial],
) -> String {
    let continued = if done.is_empty() { String::new() } else { format!(" ({} already done)", done.len()) };
    format!(
        "{}: {} trials{continued}, {} prompts, variant {} ({})",
        plan.settings.model,
        todo.len(),
        plan.form_name(),
        record.variant,
        record.variant_description
    )
}

/// `niah-runs/MODEL-VARIANT-TASK`, with the dtype behind the variant when it is not f32, and that of the cache when it was asked for.
fn default_directory(plan: &RunPlan) -> PathBuf {
    let model = Path::new(&plan.settings.model);
    let model = model.file_name().map_or("model".into(), |name| name.to_string_lossy());
    let model = model.strip_suffix(".gguf").unwrap_or(&model);
    let variant = plan.variant().map_or("softmax", |variant| variant.name());
    let dtype = match plan.settings.dtype {
        Dtype::F32 => String::new(),
        other => format!("-{}", other.name()),
    };
    let cache = plan.settings.kv_dtype.map_or(String::new(), |cache| format!("-kv-{}", cache.name()));
    Path::new("niah-runs").join(format!("{model}-{variant}{dtype}{cache}-{}", plan.prompts.task.name()))
}

fn run_record(plan: &RunPlan, kv_dtype: KvDtype, tokens: Value, machine: Value) -> Result<RunRecord> {
    let identity = plan.identity()?;
    let variant = plan.variant()?;
    let spec = &plan.checkpoint.spec;
    let config_hash = identity.hash();
    Ok(RunRecord {
        niah: env!("CARGO_PKG_VERSION").to_string(),
        run_id: config_hash[..8].to_string(),
        config_hash,
        command: std::env::args().collect(),
        started_utc: clock::now_utc(),
        settings: plan.settings.clone(),
        variant: variant.name().to_string(),
        variant_description: variant.description(),
        training_length: spec.training_length(),
        model: json!({
            "family": plan.checkpoint.family,
            "form": plan.form_name(),
            "own_variant": plan.checkpoint.own_variant.name,
            "parameters": spec.parameter_count(),
            "dtype": plan.settings.dtype,
            "kv_dtype": kv_dtype,
            "matmul": plan.settings.dtype.matmul(),
            "files": plan.checkpoint.files(),
            "file_bytes": plan.checkpoint.file_bytes(),
            "spec": spec,
        }),
        tokens,
        warnings: plan.warnings.clone(),
        machine,
        identity,
    })
}

fn interrupted(store: &RunDirectory, plan: &RunPlan, directory: &Path) -> Error {
    Error::Failed(format!(
        "stopped after {} of {} trials; they are kept in {}. Run the same command again to go on",
        store.done().len(),
        plan.trials().len(),
        directory.display()
    ))
}

/// An error when trials of this run failed, with the reason of the first.
fn failures(store: &RunDirectory, plan: &RunPlan, todo: &[Trial]) -> Result<()> {
    let ran: std::collections::HashSet<String> = todo.iter().map(Trial::row_id).collect();
    let latest = crate::report::latest(store.outcomes());
    let failed: Vec<_> =
        latest.into_iter().filter(|row| row.status == Status::Error && ran.contains(&row.row_id)).collect();
    match failed.first() {
        None => Ok(()),
        Some(first) => Err(Error::Failed(format!(
            "{} of {} trials failed; the first ({}): {}",
            failed.len(),
            plan.trials().len(),
            first.row_id,
            first.error.as_deref().unwrap_or("no reason recorded")
        ))),
    }
}
