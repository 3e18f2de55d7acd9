//! The command that asks whether attention fades: `fade`.

use std::path::PathBuf;

use clap::Args;

use super::FormArgs;
use super::grid::GridArgs;
use super::help::first;
use super::model::{AttentionArgs, MachineArgs, ModelArgs};
use super::values::named;
use crate::attention::variant::VARIANTS;
use crate::error::Result;

/// Flags of `niah fade`.
#[derive(Debug, Clone, Args)]
#[command(
    before_help = "\
Examples:
  niah fade model.gguf --context-lengths 512,1k,2k,4k --trials 4
  niah fade model.gguf --variants softmax,ssmax,constant,topk:64,entmax15
  niah fade shipped:ssmax --export fade.csv --export fade.svg --figure fade",
    after_long_help = "\
Every prompt of the grid is read under each rule, up to the query that predicts the answer; nothing is \
generated. Of the rows of that query the report has the largest weight, the mass on the needle, the entropy \
and the number of keys that it is worth, by length, beside the largest weight that a Softmax can give with \
the same smallest and largest score, and what each rule makes of scores that are -2 but one +3.",
    mut_args(first(&["context_lengths", "depths", "trials", "export"])),
    mut_arg("output_format", |arg| arg.help(
        "What goes to stdout: of csv and json, rows of variants and lengths"
    ))
)]
pub struct FadeArgs {
    /// Which, and how it is asked.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Attention variants to read prompts under [default: softmax,ssmax]
    ///
    /// As in softmax,ssmax,constant,topk:64. Of --ssmax-scale and --attention-scale each takes its own.
    #[arg(
        long,
        value_name = "VARIANT,...",
        value_delimiter = ',',
        value_parser = named(VARIANTS).and("auto", "the checkpoint's own"),
        conflicts_with = "variant",
        help_heading = "Model"
    )]
    pub variants: Vec<String>,
    /// The grid.
    #[command(flatten)]
    pub grid: GridArgs,
    /// The forms of the report.
    #[command(flatten)]
    pub form: FormArgs,
    /// TOML file with any of these flags as keys; the command line wins
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub config: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub machine: MachineArgs,
}

impl FadeArgs {
    /// The model under each variant, in their order.
    ///
    /// # Errors
    /// When one is named twice, and for a scale that none of them takes.
    pub fn models(&self) -> Result<Vec<ModelArgs>> {
        let AttentionArgs { variant, .. } = &self.model.attention;
        let variants = match (&self.variants[..], variant.as_str()) {
            ([], "auto") => ["softmax", "ssmax"].map(String::from).to_vec(),
            ([], one) => vec![one.to_string()],
            (several, _) => several.to_vec(),
        };
        self.model.attention.check_variants(&variants)?;
        let under = |variant: &String| ModelArgs {
            attention: self.model.attention.under(variant),
            ..self.model.clone()
        };
        Ok(variants.iter().map(under).collect())
    }
}
