//! `niah bench`: how fast a checkpoint runs on this machine, and where the time goes.

use candle_core::Device;

use super::{prepare, print, tell};
use crate::checkpoint::RopeOverride;
use crate::cli::BenchArgs;
use crate::error::Result;
use crate::export::speed::SpeedReport;
use crate::export::style::Style;
use crate::model::decoder::Decoder;
use crate::model::gemm_peak::GemmPeak;
use crate::plan::{BenchPlan, BenchSettings};
use crate::progress::{Bar, Progress};
use crate::report::speed::{LengthSpeed, SpeedOf};
use crate::speed::{Speed, measure};

/// Runs the command.
///
/// # Errors
/// When the plan cannot be made, or the computation fails.
pub fn run(args: &BenchArgs, style: &Style) -> Result<()> {
    let (device, threads) = prepare(&args.machine)?;
    let plan = BenchPlan::resolve(&settings(args))?;
    for warning in &plan.warnings {
        tell(format_args!("warning: {warning}"));
    }
    let decoder = plan.checkpoint.decoder(&device, args.attention.dtype)?;
    let runs = measurements(args, &plan, &decoder, &device)?;
    let of = |prompt_tokens: usize| SpeedOf {
        prompt_tokens,
        new_tokens: args.max_new_tokens,
        operations_per_token: 2.0 * decoder.spec().linear_weights_per_token() as f64,
        shares: device.is_cpu(),
    };
    let lengths: Vec<LengthSpeed> =
        plan.lengths.iter().zip(&runs).map(|(&length, runs)| LengthSpeed::new(of(length), runs)).collect();
    let report = SpeedReport { title: title(args, &plan, threads), notes: notes(args), lengths };
    print(&(args.output_format)(&report, style)?)
}

/// All measurements of each length. Each repetition goes through all lengths, so that a machine that becomes slower for a
/// while does so for all of them.
fn measurements(
    args: &BenchArgs,
    plan: &BenchPlan,
    decoder: &Decoder,
    device: &Device,
) -> Result<Vec<Vec<Speed>>> {
    let mut gemm = GemmPeak::new(args.attention.dtype, device)?;
    // Buffers, threads and clocks are as they stay from the first measurement on.
    let shortest = plan.request(plan.lengths[0].min(args.attention.chunk_size));
    measure(decoder, plan.variant.as_ref(), shortest, &mut gemm)?;
    let mut runs = vec![Vec::new(); plan.lengths.len()];
    let mut bar = Bar::new(args.repeats * plan.lengths.iter().sum::<usize>());
    for repeat in 1..=args.repeats {
        for (&length, runs) in plan.lengths.iter().zip(&mut runs) {
            bar.at(&format!("length {length}, {repeat} of {}", args.repeats));
            runs.push(measure(decoder, plan.variant.as_ref(), plan.request(length), &mut gemm)?);
            bar.advance(length);
        }
    }
    bar.finish();
    Ok(runs)
}

fn settings(args: &BenchArgs) -> BenchSettings {
    let attention = &args.attention;
    BenchSettings {
        model: args.model.clone(),
        variant: attention.variant.clone(),
        dtype: attention.dtype,
        ssmax_scale: attention.ssmax_scale,
        rope: RopeOverride { theta: attention.rope_theta, theta_scale: attention.rope_theta_scale },
        chunk: attention.chunk_size,
        context_lengths: args.context_lengths.clone(),
        new_tokens: args.max_new_tokens,
        repeats: args.repeats,
        seed: args.seed,
    }
}

fn title(args: &BenchArgs, plan: &BenchPlan, threads: usize) -> String {
    let threads = if threads == 1 { "1 thread".to_string() } else { format!("{threads} threads") };
    format!(
        "{} ({}), {}, weights {} ({}), {} with {threads}, chunks of {}",
        args.model,
        plan.checkpoint.family,
        plan.variant.name(),
        args.attention.dtype.name(),
        args.attention.dtype.matmul(),
        args.machine.device,
        args.attention.chunk_size
    )
}

fn notes(args: &BenchArgs) -> Vec<String> {
    let BenchArgs { repeats, max_new_tokens, seed, .. } = args;
    let times = if *repeats == 1 {
        "once".to_string()
    } else {
        format!("{repeats} times, medians (smallest-largest)")
    };
    vec![
        format!(
            "Prompts are random tokens (seed {seed}), and {max_new_tokens} more are decoded one by one behind each. \
             Measured {times}."
        ),
        "attention = share of the prefill's time in attention. GEMM = speed of the blocks' linear maps during the \
         prefill, over that of the best matrix multiply alone, which runs between its chunks."
            .to_string(),
    ]
}
