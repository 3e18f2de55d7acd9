//! The command that joins runs of one plan: `merge`.

use std::path::PathBuf;

use clap::Args;

use super::FormArgs;
use super::help::first;
use super::verdict::RuleArgs;

/// Flags of `niah merge`.
#[derive(Debug, Clone, Args)]
#[command(
    before_help = "\
Examples:
  niah merge out/shard-1 out/shard-2 -o out/whole
  niah merge out/shard-* -o out/whole --export report.html",
    after_long_help = "\
Runs are joined that the same niah run command made with other --shard I/N; runs that several tasks, \
controls or models lie below are joined one by one. A trial that ran twice is kept once, and refused where \
the results differ. The same command again, also into a directory that holds runs of the plan already, adds \
what is new.",
    mut_args(first(&["output", "export"]))
)]
pub struct MergeArgs {
    /// Directories of the runs
    #[arg(value_name = "DIR", required = true)]
    pub directories: Vec<PathBuf>,
    /// Directory of the joined run
    #[arg(long, short, value_name = "DIR", required = true, alias = "output-path")]
    pub output: PathBuf,
    /// The forms of the report.
    #[command(flatten)]
    pub form: FormArgs,
    /// How it is judged.
    #[command(flatten)]
    pub rule: RuleArgs,
}
