//! The commands that set two checkpoints side by side: `compare` and `demo`.

use std::path::PathBuf;

use clap::Args;

use super::grid::GridArgs;
use super::help::first;
use super::model::{AttentionArgs, ChatArgs, MachineArgs};
use super::values::{choice, named};
use super::{FormArgs, TellingArgs};
use crate::attention::variant::VARIANTS;
use crate::model::kv_cache::{KV_DTYPES, KvDtype};
use crate::report::compared::letter;

/// Flags of `niah compare`.
#[derive(Debug, Clone, Args)]
#[command(
    before_help = "\
Examples:
  niah compare out/softmax-run out/ssmax-run out/logn-run
  niah compare shipped:softmax-scale shipped:ssmax --split held-out --trials 5
  niah compare model.gguf --variants softmax,ssmax,constant,topk:64",
    after_long_help = "\
Stored runs are compared as they are, without flags of a grid. Models run first, on the grid and the task \
of the flags; a stored run can stand beside a model. Identical prompts are compared pair by pair. Prompts \
that differ by their tokenizer, their template or how the answer begins alone are compared unpaired, and \
that is said; with any other difference nothing is compared.",
    mut_args(first(&["model", "context_lengths", "depths", "trials", "output"])),
    mut_arg("output_format", |arg| arg.help(
        "What goes to stdout: of csv and json, rows of cells, lengths, all beyond the training length, all"
    ))
)]
pub struct CompareArgs {
    /// Runs (niah run -o) or checkpoints: A, B and more
    #[arg(value_name = "RUN|MODEL", required_unless_present = "model")]
    sides: Vec<String>,
    /// The checkpoint of the first or second side not named
    #[arg(long, short, value_name = "MODEL", alias = "model-name", help_heading = "Model")]
    model: Option<String>,
    /// Attention variant of A [default: --variant]
    #[arg(long, value_name = "VARIANT", value_parser = named(VARIANTS).and("auto", "the checkpoint's own"), help_heading = "Model")]
    pub variant_a: Option<String>,
    /// Attention variant of B [default: --variant]
    #[arg(long, value_name = "VARIANT", value_parser = named(VARIANTS).and("auto", "the checkpoint's own"), help_heading = "Model")]
    pub variant_b: Option<String>,
    /// Attention variants of one checkpoint, a side each; the first is held against the others
    ///
    /// As in softmax,ssmax,constant,topk:64. Of --ssmax-scale and --attention-scale each takes its own.
    #[arg(
        long,
        value_name = "VARIANT,...",
        value_delimiter = ',',
        value_parser = named(VARIANTS).and("auto", "the checkpoint's own"),
        conflicts_with_all = ["variant", "variant_a", "variant_b"],
        help_heading = "Model"
    )]
    pub variants: Vec<String>,
    /// Precision of cached keys and values of A [default: --kv-dtype]
    #[arg(long, value_name = "DTYPE", value_parser = choice("dtype of a cache", KV_DTYPES), help_heading = "Model")]
    pub kv_dtype_a: Option<KvDtype>,
    /// Precision of cached keys and values of B [default: --kv-dtype]
    #[arg(long, value_name = "DTYPE", value_parser = choice("dtype of a cache", KV_DTYPES), help_heading = "Model")]
    pub kv_dtype_b: Option<KvDtype>,
    /// The attention of models.
    #[command(flatten)]
    pub attention: AttentionArgs,
    /// The form of their prompts.
    #[command(flatten)]
    pub chat: ChatArgs,
    /// The grid of models.
    #[command(flatten)]
    pub grid: GridArgs,
    /// Directory to keep runs of models in
    ///
    /// As DIR/a and DIR/b, or under the names of --variants; the same command continues them.
    ///
    /// [default: not kept]
    #[arg(long, short, value_name = "DIR", alias = "output-path", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// The forms of the report.
    #[command(flatten)]
    pub form: FormArgs,
    /// How much is said.
    #[command(flatten)]
    pub telling: TellingArgs,
    /// TOML file with any of these flags as keys; the command line wins
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub config: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub machine: MachineArgs,
}

impl CompareArgs {
    /// The runs or checkpoints, A first; `-m` stands for those of the first two that are not named. Under
    /// `--variants` every checkpoint stands once for each.
    #[must_use]
    pub fn sides(&self) -> Vec<&str> {
        let named = self.sides.iter().map(String::as_str);
        if !self.variants.is_empty() {
            let named = named.chain(self.model.as_deref());
            return named.flat_map(|name| std::iter::repeat_n(name, self.variants.len())).collect();
        }
        let missing = 2usize.saturating_sub(self.sides.len());
        named.chain(self.model.as_deref().into_iter().cycle().take(missing)).collect()
    }

    /// The variant that was named for the side at this place.
    #[must_use]
    pub fn variant(&self, place: usize) -> Option<&String> {
        let named = [&self.variant_a, &self.variant_b];
        self.variants.get(place).or_else(|| named.get(place).and_then(|variant| variant.as_ref()))
    }

    /// What the runs of models are kept as, below the directory for them.
    #[must_use]
    pub fn directory_name(&self, place: usize) -> String {
        // A colon is no part of a file's name everywhere.
        let named = self.variants.get(place).map(|variant| variant.replace(':', "-"));
        named.unwrap_or_else(|| letter(place).to_lowercase())
    }

    /// The attention of the model at this place: that of all models, but for what was named for this side.
    #[must_use]
    pub fn attention(&self, place: usize) -> AttentionArgs {
        let variant = self.variant(place).unwrap_or(&self.attention.variant);
        let attention = match self.variants.is_empty() {
            true => AttentionArgs { variant: variant.clone(), ..self.attention.clone() },
            false => self.attention.under(variant),
        };
        match [self.kv_dtype_a, self.kv_dtype_b].get(place).copied().flatten() {
            None => attention,
            kv_dtype => AttentionArgs { kv_dtype, k_dtype: None, v_dtype: None, ..attention },
        }
    }

    /// The flags that were given for the side at this place alone, with their values.
    #[must_use]
    pub fn of_side(&self, place: usize) -> Vec<(&'static str, String)> {
        let flags = [("--variant-a", "--kv-dtype-a"), ("--variant-b", "--kv-dtype-b")];
        let Some(&(variant, kv_dtype)) = flags.get(place) else { return Vec::new() };
        let cache = [self.kv_dtype_a, self.kv_dtype_b].get(place).copied().flatten();
        let given = [
            (variant, self.variant(place).cloned()),
            (kv_dtype, cache.map(|cache| cache.name().to_string())),
        ];
        given.into_iter().filter_map(|(flag, value)| Some((flag, value?))).collect()
    }

    /// The flag that gave the side at this place alone the value of a setting, such as `kv dtype`; `None`
    /// where it has that of all sides.
    #[must_use]
    pub fn flag_of_side(&self, place: usize, setting: &str) -> Option<String> {
        if setting == "variant" && !self.variants.is_empty() {
            return Some("--variants".to_string());
        }
        let flag = format!("--{}-", setting.replace(' ', "-"));
        let given = self.of_side(place).into_iter().map(|(given, _)| given);
        given.into_iter().find(|given| given.starts_with(&flag)).map(str::to_string)
    }

    /// Whether `-m` stands for no side.
    #[must_use]
    pub fn model_is_idle(&self) -> bool {
        self.model.is_some() && self.sides.len() >= 2
    }
}

/// Flags of `niah demo`.
#[derive(Debug, Clone, Args)]
#[command(
    before_help = "\
Examples:
  niah demo
  niah demo --trials 8 --palette rag
  niah demo --softmax out/softmax --ssmax out/ssmax",
    mut_args(first(&["softmax", "ssmax", "multiscreen", "trials", "seed"]))
)]
pub struct DemoArgs {
    /// Trained with Softmax, or with softmax-scale, whose sharpness is learned
    #[arg(long, value_name = "DIR", default_value = "shipped:softmax-scale")]
    pub softmax: String,
    /// Trained with SSMax
    ///
    /// Scalable-Softmax; the checkpoint has the tokenizer and the training length of the first.
    #[arg(long, value_name = "DIR", default_value = "shipped:ssmax")]
    pub ssmax: String,
    /// Multiscreen checkpoint, likewise
    ///
    /// [default: beside the shipped two shipped:multiscreen, else none]
    #[arg(long, value_name = "DIR")]
    pub multiscreen: Option<String>,
    /// Trials of each cell
    ///
    /// Each has a haystack and needles of its own.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 4, alias = "n-runs")]
    pub trials: usize,
    /// Seed of every random choice
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// The form of what goes to stdout.
    #[command(flatten)]
    pub form: FormArgs,
    /// Where to compute.
    #[command(flatten)]
    pub machine: MachineArgs,
}
