//! `niah bench`: how fast a checkpoint runs on this machine, and where the time goes.

use candle_core::Device;
use serde_json::json;

use super::shown::{Shown, check};
use super::{machine_record, made_again, prepare, warn};
use crate::attention::AttentionVariant;
use crate::cli::BenchArgs;
use crate::clock;
use crate::error::Result;
use crate::export::style::Style;
use crate::kernel::cpu;
use crate::model::causal_lm::CausalLm;
use crate::model::gemm_peak::GemmPeak;
use crate::plan::{BenchPlan, BenchSettings, BenchTokens, OpenModel};
use crate::progress::{Bar, Progress};
use crate::report::Report;
use crate::report::speed::{LengthSpeed, SpeedOf, SpeedReport, Spread};
use crate::spec::Dtype;
use crate::speed::{Peaks, Speed, measure, peak_memory};
use crate::stats::median;
use crate::store::bench::write_speeds;
use crate::store::directory::make;

/// Tokens of a prompt that is read once to warm up the machine where peak memory is not asked for: the first
/// use of its memory takes a part of the time of a short prompt that shows, and of a long one none.
const WARM_UP: usize = 8 * 1024;

/// Runs the command.
///
/// # Errors
/// When the plan cannot be made, or the computation fails.
pub fn run(args: &BenchArgs, style: &Style) -> Result<()> {
    check(&args.form, &["speed"])?;
    let (device, threads) = prepare(&args.machine)?;
    let plan = BenchPlan::resolve(&settings(args), &device)?;
    warn(&plan.warnings);
    // Made before the weights load: where nothing can be written nothing is computed.
    if let Some(directory) = &args.output {
        make(directory)?;
    }
    let started = clock::now_utc();
    let BenchPlan { model, lengths, tokens, .. } = plan;
    let (title, dtype) = (title(args, &model, threads), model.precision.dtype);
    let held = format!("Weights are held {}: {}.", model.precision.weights().name(), model.because);
    let token_bytes = |length: usize| {
        let before = length + args.max_new_tokens / 2;
        let memory = model.memory(before + 1);
        model.spec().token_bytes(before, memory.weights, memory.cache)
    };
    let token_bytes: Vec<_> = lengths.iter().map(|&length| token_bytes(length)).collect();
    let bench = Bench {
        decoder: model.decoder()?,
        // The checkpoint's metadata count as memory of this process, and are read no more.
        variant: model.into_variant(),
        lengths,
        tokens,
        peak_memory: !args.no_peak_memory,
        repeats: args.repeats,
    };
    let mut bar =
        Bar::new(args.repeats * bench.lengths.iter().sum::<usize>() + bench.first_pass().sum::<usize>());
    let measured = bench.run(dtype, &device, &mut bar);
    bar.finish();
    let spec = bench.decoder.spec();
    let length = |((&prompt_tokens, token_bytes), measured): ((&usize, Option<f64>), &Measured)| {
        let of = SpeedOf {
            prompt_tokens,
            new_tokens: args.max_new_tokens,
            operations_per_token: 2.0 * spec.linear_weights_per_token() as f64,
            prompt_operations: spec.prompt_operations(prompt_tokens),
            token_bytes,
            // Where another engine computes, nothing is seen of where its time goes.
            shares: device.is_cpu() && spec.extras.black_box.is_none(),
        };
        LengthSpeed::new(of, &measured.runs, measured.peak_memory)
    };
    let lengths: Vec<_> = bench.lengths.iter().zip(token_bytes).zip(&measured?).map(length).collect();
    let removed = args.output.as_ref().filter(|directory| !directory.exists());
    if let Some(directory) = &args.output {
        let about = json!({
            "niah": env!("CARGO_PKG_VERSION"),
            "command": std::env::args().collect::<Vec<_>>(),
            "started_utc": started,
            "machine": machine_record(&args.machine, threads),
        });
        make(directory)?;
        write_speeds(directory, &lengths, &about)?;
    }
    let ran = json!({
        "title": title,
        "settings": settings(args),
        "machine": machine_record(&args.machine, threads),
        "started_utc": started,
    });
    let notes = notes(args, &lengths, held);
    let report = Report::from(SpeedReport { title, ran, lengths, notes });
    Shown::of(&args.form, &report, None, style)?.out()?;
    removed.map_or(Ok(()), |directory| Err(made_again(directory)))
}

/// A checkpoint, and what is measured of it.
struct Bench {
    decoder: Box<dyn CausalLm>,
    variant: Box<dyn AttentionVariant>,
    lengths: Vec<usize>,
    tokens: BenchTokens,
    /// Whether the first pass is for the memory of all lengths.
    peak_memory: bool,
    repeats: usize,
}

/// The measurements of one length.
struct Measured {
    peak_memory: Option<usize>,
    runs: Vec<Speed>,
}

impl Bench {
    /// The lengths of the first pass.
    fn first_pass(&self) -> impl Iterator<Item = usize> {
        self.lengths.iter().copied().filter(|length| self.peak_memory || *length <= WARM_UP)
    }

    /// All lengths. The first pass over them is for their memory, before anything else takes some, and warms
    /// the machine up. Each further one goes through all lengths, so that a machine that is slower for a
    /// while is so for all of them.
    fn run(&self, dtype: Dtype, device: &Device, bar: &mut dyn Progress) -> Result<Vec<Measured>> {
        let mut peaks = Vec::new();
        for length in self.first_pass() {
            bar.at(&format!("length {length}, memory"));
            peaks.push(peak_memory(
                self.decoder.as_ref(),
                self.variant.as_ref(),
                self.tokens.request(length),
            )?);
            bar.advance(length);
        }
        if !self.peak_memory {
            peaks = vec![None; self.lengths.len()];
        }
        let measured = |peak_memory| Measured { peak_memory, runs: Vec::new() };
        let mut measured: Vec<Measured> = peaks.into_iter().map(measured).collect();
        let mut peaks = Peaks::new(GemmPeak::new(dtype, device)?);
        for repeat in 1..=self.repeats {
            for (&length, measured) in self.lengths.iter().zip(&mut measured) {
                bar.at(&format!("length {length}, {repeat} of {}", self.repeats));
                let request = self.tokens.request(length);
                measured.runs.push(measure(
                    self.decoder.as_ref(),
                    self.variant.as_ref(),
                    request,
                    &mut peaks,
                )?);
                bar.advance(length);
            }
        }
        Ok(measured)
    }
}

fn settings(args: &BenchArgs) -> BenchSettings {
    BenchSettings {
        model: args.attention.of(args.checkpoint.name()),
        context_lengths: args.context_lengths.clone(),
        new_tokens: args.max_new_tokens,
        repeats: args.repeats,
        seed: args.seed,
    }
}

fn title(args: &BenchArgs, model: &OpenModel, threads: usize) -> String {
    let threads = if threads == 1 { "1 thread".to_string() } else { format!("{threads} threads") };
    format!(
        "{}, {} with {threads}, chunks of {}",
        model.title(),
        args.machine.device,
        model.choice.chunk_size
    )
}

/// The instructions that kernels used.
fn instructions() -> String {
    match cpu::used() {
        (name, false) => format!("Kernels use the processor's instructions up to {name}."),
        (name, true) => format!("Kernels use instructions up to {name}, as NIAH_CPU says."),
    }
}

fn notes(args: &BenchArgs, lengths: &[LengthSpeed], held: String) -> Vec<String> {
    let BenchArgs { repeats, max_new_tokens, seed, .. } = args;
    let times = if *repeats == 1 {
        "once".to_string()
    } else {
        format!("{repeats} times, medians (smallest-largest)")
    };
    let rate = |of: fn(&LengthSpeed) -> Option<Spread>| {
        let rates: Vec<f64> = lengths.iter().filter_map(|speed| Some(of(speed)?.median / 1e9)).collect();
        median(&rates).map_or("-".to_string(), |rate| format!("{rate:.0}"))
    };
    let (gemm, copy) = (rate(|speed| speed.gemm_rate), rate(|speed| speed.copy_rate));
    vec![
        format!(
            "Prompts are random tokens (seed {seed}), and {max_new_tokens} more are decoded one by one after \
             each. Measured {times}."
        ),
        format!(
            "attention = share of the prefill's time in attention. GEMM = speed of the blocks' linear maps \
             during the prefill, over that of the best matrix multiply alone, which runs between its chunks: \
             {gemm} GFLOP/s. roof = share of that speed that the whole prefill reached: operations of its \
             linear maps and attention, over its time."
        ),
        format!(
            "bandwidth = bytes of weights and cache that a decoded token reads, over its time, as a share of \
             those that a copy in memory reads and writes: {copy} GB/s."
        ),
        held,
        instructions(),
    ]
}
