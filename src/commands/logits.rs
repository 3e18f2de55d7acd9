//! `niah logits`: the logits of every position and rows of attention, as safetensors.

use std::fs::File;
use std::io::BufWriter;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{cannot_write, prepare, stop_on_interrupt, tell, warn, write_file};
use crate::attention::AttentionRows;
use crate::checkpoint::{NamedTensor, Numbers, write_safetensors};
use crate::cli::{LogitsArgs, TokenArgs};
use crate::error::{Error, Result};
use crate::logits::{Logits, logits};
use crate::plan::{LogitsPlan, LogitsSettings, ModelChoice, TokenInput};
use crate::progress::{Bar, Progress};

/// Runs the command.
///
/// # Errors
/// When the plan cannot be made, the computation fails, or the file cannot be written.
pub fn run(args: &LogitsArgs) -> Result<()> {
    let (device, _) = prepare(&args.machine)?;
    let plan = LogitsPlan::resolve(&settings(args)?, &device)?;
    warn(&plan.warnings);
    let t = plan.tokens.len();
    let bos = plan.bos.map(|bos| format!(" (BOS {bos} in front)")).unwrap_or_default();
    tell(format_args!(
        "{}: {t} tokens{bos}, variant {}",
        args.checkpoint.name(),
        plan.model.describe_variant()
    ));
    let stop = stop_on_interrupt()?;
    let started = Instant::now();
    // The file is there before the weights load: where nothing can be written nothing is computed.
    write_file(&args.output, |file| {
        let decoder = plan.model.decoder()?;
        let mut bar = Bar::new(t);
        let found = logits(decoder.as_ref(), plan.model.variant.as_ref(), &plan.request(), &mut |tokens| {
            bar.advance(tokens);
            !stop.load(Ordering::Relaxed)
        });
        bar.finish();
        write(file, args, &plan, &found?)
    })?;
    let vocab = plan.model.spec().vocab_size;
    let attention = match &plan.attention_rows {
        None => String::new(),
        Some(rows) => format!(", attention of rows {}..{}", rows.start, rows.end),
    };
    let (output, seconds) = (args.output.display(), started.elapsed().as_secs_f64());
    tell(format_args!("{output}: logits [{t}, {vocab}]{attention} in {seconds:.1} s"));
    Ok(())
}

fn settings(args: &LogitsArgs) -> Result<LogitsSettings> {
    let attention = &args.attention;
    let input = match &args.tokens {
        TokenArgs { ids: Some(ids), .. } => TokenInput::list(ids)?,
        TokenArgs { ids_file: Some(file), .. } => TokenInput::file(file)?,
        TokenArgs { text, .. } => TokenInput::Text(text.clone().unwrap_or_default()),
    };
    Ok(LogitsSettings {
        model: ModelChoice {
            dtype: Some(attention.dtype.unwrap_or_default()),
            ..attention.of(args.checkpoint.name())
        },
        ssmax_scales: args.ssmax_scales.clone(),
        input,
        attentions: args.attentions.clone(),
    })
}

fn write(file: File, args: &LogitsArgs, plan: &LogitsPlan, found: &Logits) -> Result<()> {
    let ids: Vec<i64> = plan.tokens.iter().map(|&id| i64::from(id)).collect();
    let mut tensors = vec![
        NamedTensor { name: "input_ids", shape: vec![ids.len()], numbers: Numbers::I64(&ids) },
        NamedTensor {
            name: "logits",
            shape: vec![ids.len(), found.vocab_size],
            numbers: Numbers::F32(&found.logits),
        },
    ];
    tensors.extend(found.attentions.as_ref().map(attention_tensor));
    // Only where some layers have no attention does the first dimension need its numbers.
    let layers = found.attentions.as_ref().map_or(&[][..], AttentionRows::layers);
    let layers: Vec<i64> = layers.iter().map(|&layer| layer as i64).collect();
    if (1..plan.model.spec().num_hidden_layers).contains(&layers.len()) {
        let (shape, numbers) = (vec![layers.len()], Numbers::I64(&layers));
        tensors.push(NamedTensor { name: "attention_layers", shape, numbers });
    }
    let mut metadata = vec![("niah", env!("CARGO_PKG_VERSION").to_string())];
    metadata.extend(plan.model.in_logits()?);
    metadata.push(("variant_description", plan.model.variant.description()));
    let rows = plan.attention_rows.as_ref().map(|rows| format!("{}..{}", rows.start, rows.end));
    metadata.extend(rows.map(|rows| ("attention_rows", rows)));
    metadata.extend(plan.model.changed_in_logits());
    write_safetensors(BufWriter::new(file), &tensors, &metadata)
        .map_err(|error| Error::output(&args.output, cannot_write(&error)))
}

fn attention_tensor(rows: &AttentionRows) -> NamedTensor<'_> {
    NamedTensor { name: "attentions", shape: rows.shape().to_vec(), numbers: Numbers::F32(rows.weights()) }
}
