//! `niah run`: a grid on a checkpoint.

use std::path::{Path, PathBuf};

use super::evaluation::{Evaluation, failures};
use super::{machine_record, prepare, print, results, settings, stop_on_interrupt, tell, warn};
use crate::checkpoint::SHIPPED_PREFIX;
use crate::cli::RunArgs;
use crate::error::Result;
use crate::export::style::Style;
use crate::model::dtype::Dtype;
use crate::plan::RunPlan;
use crate::printable;
use crate::store::directory::RunDirectory;

/// Runs the command.
///
/// # Errors
/// When the plan cannot be made, when results cannot be kept, when a trial failed, or when the user stopped it.
pub fn run(args: &RunArgs, style: &Style) -> Result<()> {
    let (device, threads) = prepare(&args.machine)?;
    let plan = RunPlan::resolve(settings(&args.model, &args.grid)?)?;
    warn(&plan.warnings);
    let sharing = !args.no_prefix_sharing;
    let evaluation = Evaluation::new(plan, sharing)?;
    warn(&evaluation.plan.prompt_warnings);
    let plan = &evaluation.plan;
    if args.dry_run {
        return print(&printable::lines(&evaluation.estimate.describe(plan, &device, sharing, args.limit)?));
    }

    let directory = args.output.clone().unwrap_or_else(|| default_directory(plan));
    let record = evaluation.record(&device, machine_record(&args.machine, threads))?;
    let mut store = RunDirectory::open(&directory, &record, args.tokens)?;
    let stop = stop_on_interrupt()?;
    let what = (args.tokens, args.limit);
    let ran = evaluation.go_on((&mut store, &directory), &record, what, &device, &stop)?;
    print(&results(store.outcomes(), &record, args.output_format, style)?)?;
    tell(format_args!("results: {}", directory.display()));
    failures(store.outcomes(), &ran, plan.trials().len())
}

/// `niah-runs/MODEL-VARIANT-TASK`. Behind the variant stand windows as learned, the dtype when it is not f32, and that of the cache,
/// where they were asked for.
fn default_directory(plan: &RunPlan) -> PathBuf {
    let model = &plan.settings.model;
    let model = Path::new(model.strip_prefix(SHIPPED_PREFIX).unwrap_or(model));
    let model = model.file_name().map_or("model".into(), |name| name.to_string_lossy());
    let model = model.strip_suffix(".gguf").unwrap_or(&model);
    let variant = plan.variant().map_or("softmax", |variant| variant.name());
    let dtype = match plan.precision.dtype {
        Dtype::F32 => String::new(),
        other => format!("-{}", other.name()),
    };
    let cache = plan.settings.kv_dtype.map_or(String::new(), |cache| format!("-kv-{}", cache.name()));
    let windows = match plan.settings.screening_window_expansion {
        Some(false) => "-windows-as-learned",
        _ => "",
    };
    let task = plan.prompts.task.name();
    Path::new("niah-runs").join(format!("{model}-{variant}{windows}{dtype}{cache}-{task}"))
}
