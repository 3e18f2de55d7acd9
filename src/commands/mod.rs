//! One file a subcommand, and what they share: drawing style, output, devices and threads.

mod answering;
mod answers;
pub mod attend;
pub mod bench;
mod bounded;
pub mod compare;
pub mod config_file;
mod controls;
pub mod demo;
mod dry;
pub mod environment;
pub mod fade;
mod filling;
pub mod gate;
pub mod heads;
pub mod import;
pub mod inspect;
mod kept;
pub mod list;
pub mod logits;
pub mod loss;
mod masked;
mod masking;
pub mod merge;
mod models;
mod picking;
pub mod prompts;
pub mod run;
pub mod score;
mod served;
mod shells;
mod shown;
mod tasks;
mod telling;
mod told;
pub mod train;
pub mod view;
mod watching;

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use candle_core::Device;
use serde_json::{Value, json};

pub use self::shown::Shown;
use self::told::warn;
pub use self::told::{refuse, tell};
use crate::cli::{Command, Drawing, GridArgs, MachineArgs, ModelArgs};
use crate::error::{self, Error, Result};
use crate::export::palette::PALETTES;
use crate::export::style::{Style, detect};
use crate::grid::{ContextLength, Depth, Grid, LONGEST, spaced_depths, spaced_lengths};
use crate::interactive::screen;
use crate::kernel::cpu;
use crate::laboratory;
use crate::plan::{Settings, forget_speeds};
use crate::process::processor;
use crate::registry;
use crate::store::directory::replace;

/// Runs a command; `given` are its flags that were typed ([`crate::cli::given_flags`]).
///
/// # Errors
/// Those of the command.
pub fn run(command: &Command, given: &[(String, String)], style: &Style) -> Result<()> {
    match command {
        Command::Run(args) => run::run(args, style),
        Command::View(args) => view::run(args, style),
        Command::Score(args) => score::run(args, style),
        Command::Import(args) => import::run(args, style),
        Command::Merge(args) => merge::run(args, style),
        Command::Compare(args) => compare::run(args, given, style),
        Command::Fade(args) => fade::run(args, style),
        Command::Gate(args) => gate::run(args, style),
        Command::Demo(args) => demo::run(args, style),
        Command::Heads(args) => heads::run(args, given, style),
        Command::Attend(args) => attend::run(args, style),
        Command::Prompts(args) => prompts::run(args),
        Command::Logits(args) => logits::run(args),
        Command::Loss(args) => loss::run(args, style),
        Command::Bench(args) => bench::run(args, style),
        Command::Train(args) => train::run(args, given),
        Command::Experiment(args) => laboratory::run(args),
        Command::Inspect(args) => inspect::run(args, style),
        Command::List(args) => list::run(args),
        Command::Completions(args) => shells::completions(args),
        Command::Man(args) => shells::man(args),
    }
}

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
        csv_safe: drawing.csv_safe,
    })
}

/// Writes to stdout. A reader that has gone away (`| head`) is no error.
fn print(text: &str) -> Result<()> {
    print_bytes(text.as_bytes())
}

fn print_bytes(bytes: &[u8]) -> Result<()> {
    match io::stdout().lock().write_all(bytes).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let reason = error::reason(&error);
            Err(Error::output("stdout", format!("cannot write: {reason}; send the output elsewhere")))
        }
        _ => Ok(()),
    }
}

/// Hands `write` a new file that takes the place of `path` once all is written. A pipe or a device takes the
/// bytes as they come.
fn write_file(path: &Path, write: impl FnOnce(File) -> Result<()>) -> Result<()> {
    let create = |file: &Path| File::create(file).map_err(|error| Error::file(path, cannot_write(&error)));
    match path.exists() && !path.is_file() {
        true => write(create(path)?),
        false => replace(path, |new| write(create(new)?)),
    }
}

fn cannot_write(error: &io::Error) -> String {
    format!("cannot write: {}; choose another file with -o", error::reason(error))
}

/// The error of a command whose directory was removed while it ran; its results are in it again.
fn made_again(directory: &Path) -> Error {
    Error::output(
        directory,
        "the directory was removed while the command ran; it was made again for the results, what else it \
         held is lost",
    )
}

/// The exit code of a command that Ctrl-C stopped.
pub const STOPPED: u8 = 130;

/// A flag that the first Ctrl-C sets; the second one ends the process at once, as the end of a terminal does
/// whose screen is taken.
fn stop_on_interrupt() -> Result<Arc<AtomicBool>> {
    static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    if let Some(stop) = STOP.get() {
        return Ok(Arc::clone(stop));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let handler = move || {
        if flag.swap(true, Ordering::Relaxed) || screen::is_gone() {
            screen::give_back();
            std::process::exit(i32::from(STOPPED));
        }
    };
    ctrlc::set_handler(handler)
        .map_err(|error| Error::Failed(format!("cannot listen for Ctrl-C: {error}")))?;
    Ok(Arc::clone(STOP.get_or_init(|| stop)))
}

/// What was typed, as settings.
fn settings(model: &ModelArgs, grid: &GridArgs) -> Result<Settings> {
    let settings = Settings {
        model: model.attention.of(model.checkpoint.name()),
        grid: Grid::new(context_lengths(grid)?, depths(grid)?)?,
        trials: grid.trials,
        seed: grid.seed,
        task: grid.task.clone(),
        needle: grid.needle.clone(),
        question: grid.question.clone(),
        answer: grid.answer.clone(),
        needles: grid.needles.clone(),
        prompts: grid.prompts.clone(),
        haystack: grid.haystack.clone(),
        split: grid.split,
        haystack_order: grid.haystack_order,
        distractors: grid.distractors,
        control: grid.control.clone(),
        snap: grid.snap,
        apply_chat_template: model.chat.apply_chat_template,
        system_instruction: model.chat.system_instruction.clone(),
        thinking: model.chat.thinking,
        max_thinking_tokens: model.chat.max_thinking_tokens,
        answer_prefix: grid.answer_prefix,
        normalise: grid.scoring.normalise.unwrap_or_default(),
        correct_from: grid.scoring.correct_from,
        max_new_tokens: grid.max_new_tokens,
        ..Settings::default()
    };
    settings.scored_by(grid.scorer.as_deref())
}

fn context_lengths(args: &GridArgs) -> Result<Vec<ContextLength>> {
    check_count("--context-lengths-num", args.context_lengths_num)?;
    match (args.context_lengths_min, args.context_lengths_max) {
        (Some(min), Some(max)) if min > max => {
            Err(Error::invalid("--context-lengths-min", min, format!("at most --context-lengths-max {max}")))
        }
        (Some(min), Some(max)) => Ok(spaced_lengths(min, max, args.context_lengths_num)),
        // A question about the user's own text is about all of it.
        _ if args.context_lengths.is_empty() && args.asks_about_haystack() => {
            Ok(vec![ContextLength(LONGEST)])
        }
        _ if args.context_lengths.is_empty() => Ok([1024, 2048, 4096].map(ContextLength).to_vec()),
        _ => Ok(args.context_lengths.clone()),
    }
}

fn depths(args: &GridArgs) -> Result<Vec<Depth>> {
    check_count("--depths-num", args.depths_num.unwrap_or(1))?;
    Ok(match args.depths_num {
        Some(count) => spaced_depths(count, args.depth_spacing),
        None if args.depths.is_empty() => spaced_depths(5, args.depth_spacing),
        None => args.depths.clone(),
    })
}

/// Lengths or depths that are spaced evenly, at most: far more than a heatmap can show.
const MOST_SPACED: usize = 10_000;

fn check_count(flag: &str, count: usize) -> Result<()> {
    match count {
        1..=MOST_SPACED => Ok(()),
        _ => Err(Error::invalid(flag, count, format!("1 to {MOST_SPACED}"))),
    }
}

/// Threads, at most.
const MOST_THREADS: usize = 1024;

/// Refuses a number of threads that no command starts.
///
/// # Errors
/// [`Error::InvalidValue`] naming the flag.
pub(crate) fn check_threads(threads: usize) -> Result<()> {
    match threads {
        1..=MOST_THREADS => Ok(()),
        _ => Err(Error::invalid("--threads", threads, format!("1 to {MOST_THREADS}"))),
    }
}

/// Sets the number of threads and opens the device. Must run before the first tensor.
fn prepare(machine: &MachineArgs) -> Result<(Device, usize)> {
    // A command of several parts prepares for each, and the first of them counts.
    static THREADS: OnceLock<usize> = OnceLock::new();
    cpu::check()?;
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = machine.threads.unwrap_or(available);
    check_threads(threads)?;
    if THREADS.get() != Some(&threads) {
        // SAFETY: no other thread runs yet: this is called before the first tensor, bar or signal handler.
        // candle reads both: the first sizes its matrix multiplies, the second turns off its spinning worker
        // threads.
        unsafe {
            std::env::set_var("RAYON_NUM_THREADS", threads.to_string());
            std::env::set_var("CANDLE_NUM_THREADS", "1");
        }
        // A pool that cannot be built would panic at its first use.
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().map_err(|error| {
            Error::invalid("--threads", threads, format!("as many as this machine can start ({error})"))
        })?;
        THREADS.get_or_init(|| threads);
        if machine.recalibrate {
            forget_speeds()?;
        }
    }
    let name = machine.device.as_str();
    let wrong = |expected: &str| Error::invalid("--device", format!("{name:?}"), expected);
    let number = |text: &str| text.parse::<usize>().map_err(|_| wrong("a device number, such as cuda:0"));
    let opened = match name.split_once(':').unwrap_or((name, "0")) {
        ("cpu", _) => Ok(Device::Cpu),
        ("cuda", ordinal) => Device::new_cuda(number(ordinal)?),
        ("metal", ordinal) => Device::new_metal(number(ordinal)?),
        _ => return Err(wrong("cpu, cuda, cuda:N or metal")),
    };
    let device = opened.map_err(|error| {
        let error = Error::from(error);
        wrong(&format!("a device of this machine that the binary was built for ({error}); use --device cpu"))
    })?;
    Ok((device, threads))
}

/// The machine, for `run.json`.
fn machine_record(machine: &MachineArgs, threads: usize) -> Value {
    let (instructions, forced) = cpu::used();
    let mut record = json!({
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "cpu": processor(),
        "instructions": instructions,
        "device": machine.device,
        "threads": threads,
    });
    if forced {
        record["instructions_forced"] = json!(true);
    }
    record
}
