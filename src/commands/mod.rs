//! One file a subcommand, and what they share: drawing style, output, devices and threads.

pub mod attend;
pub mod config_file;
pub mod list;
pub mod prompts;
pub mod run;
pub mod view;

use std::io::{self, IsTerminal, Write};

use candle_core::Device;
use serde_json::{Value, json};

use crate::cli::{Drawing, GridArgs, MachineArgs, ModelArgs};
use crate::error::{Error, Result};
use crate::export::directory::RunRecord;
use crate::export::palette::PALETTES;
use crate::export::style::{Style, detect};
use crate::export::{Exporter, RunReport};
use crate::grid::{ContextLength, Depth, Grid, spaced_depths, spaced_lengths};
use crate::plan::Settings;
use crate::registry;
use crate::report::{self, Summary};
use crate::trial::Outcome;

/// Width of drawings where no terminal says its own.
const DEFAULT_WIDTH: usize = 100;

/// How to draw, from the flags, the environment and the terminal.
///
/// # Errors
/// [`Error::UnknownChoice`] for an unknown palette.
pub fn style(drawing: &Drawing) -> Result<Style> {
    let variable = |name: &str| std::env::var(name).ok();
    let (color, charset) = detect(drawing.color.into(), drawing.ascii, variable, io::stdout().is_terminal());
    let terminal = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    Ok(Style {
        color,
        charset,
        palette: registry::find("palette", PALETTES, &drawing.palette)?.value,
        width: drawing.width.or(terminal).unwrap_or(DEFAULT_WIDTH),
    })
}

/// Writes to stdout. A reader that has gone away (`| head`) is no error.
fn print(text: &str) -> Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::file("stdout", error)),
        _ => Ok(()),
    }
}

/// The results of a run in the form that was asked for.
fn results(outcomes: &[Outcome], record: &RunRecord, exporter: Exporter, style: &Style) -> Result<String> {
    let planned: Vec<_> = record.settings.grid.cells().collect();
    let report = RunReport {
        title: record.title(),
        cells: report::cells(outcomes, &planned),
        summary: Summary::of(outcomes),
        training_length: record.training_length,
    };
    exporter(&report, style)
}

/// What was typed, as settings.
fn settings(model: &ModelArgs, grid: &GridArgs) -> Result<Settings> {
    Ok(Settings {
        model: model.model.clone(),
        variant: model.variant.clone(),
        ssmax_scale: model.ssmax_scale,
        rope_theta: model.rope_theta,
        rope_theta_scale: model.rope_theta_scale,
        grid: Grid::new(context_lengths(grid)?, depths(grid))?,
        trials: grid.trials,
        seed: grid.seed,
        task: grid.task.clone(),
        needle: grid.needle.clone(),
        question: grid.question.clone(),
        answer: grid.answer.clone(),
        haystack: grid.haystack.clone(),
        snap: grid.snap,
        apply_chat_template: model.apply_chat_template,
        system_instruction: model.system_instruction.clone(),
        scorer: grid.scorer.clone(),
        max_new_tokens: grid.max_new_tokens,
    })
}

fn context_lengths(args: &GridArgs) -> Result<Vec<ContextLength>> {
    match (args.context_lengths_min, args.context_lengths_max) {
        (Some(min), Some(max)) if min > max => {
            Err(Error::invalid("--context-lengths-min", min, format!("at most --context-lengths-max {max}")))
        }
        (Some(min), Some(max)) => Ok(spaced_lengths(min, max, args.context_lengths_num)),
        _ if args.context_lengths.is_empty() => Ok([1024, 2048, 4096].map(ContextLength).to_vec()),
        _ => Ok(args.context_lengths.clone()),
    }
}

fn depths(args: &GridArgs) -> Vec<Depth> {
    match args.depths_num {
        Some(count) => spaced_depths(count, args.depth_spacing),
        None if args.depths.is_empty() => spaced_depths(5, args.depth_spacing),
        None => args.depths.clone(),
    }
}

/// Sets the number of threads and opens the device. Must run before the first tensor.
fn prepare(machine: &MachineArgs) -> Result<(Device, usize)> {
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = machine.threads.unwrap_or(available);
    if threads == 0 {
        return Err(Error::invalid("--threads", 0, "at least 1"));
    }
    // SAFETY: no other thread runs yet: this is called before the first tensor, bar or signal handler.
    // candle reads both: the first sizes its matrix multiplies, the second turns off its spinning worker threads.
    unsafe {
        std::env::set_var("RAYON_NUM_THREADS", threads.to_string());
        std::env::set_var("CANDLE_NUM_THREADS", "1");
    }
    let number = |text: &str| text.parse().map_err(|_| Error::invalid("--device", text, "a device number"));
    let device = match machine.device.split_once(':').unwrap_or((machine.device.as_str(), "0")) {
        ("cpu", _) => Device::Cpu,
        ("cuda", ordinal) => Device::new_cuda(number(ordinal)?)?,
        ("metal", ordinal) => Device::new_metal(number(ordinal)?)?,
        _ => return Err(Error::invalid("--device", &machine.device, "cpu, cuda, cuda:N or metal")),
    };
    Ok((device, threads))
}

/// The machine, for `run.json`.
fn machine_record(machine: &MachineArgs, threads: usize) -> Value {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    json!({
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "cpu": model.map(|(_, name)| name.trim()),
        "device": machine.device,
        "threads": threads,
        "dtype": "f32",
    })
}
