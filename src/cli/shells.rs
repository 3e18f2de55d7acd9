//! The commands for shells and manuals: `completions` and `man`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// Flags of `niah completions`.
#[derive(Debug, Clone, Args)]
#[command(before_help = "\
Examples:
  niah completions bash > ~/.local/share/bash-completion/completions/niah
  niah completions zsh > ~/.zfunc/_niah
  niah completions fish > ~/.config/fish/completions/niah.fish")]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// Flags of `niah man`.
#[derive(Debug, Clone, Args)]
#[command(before_help = "\
Examples:
  niah man | man -l -
  niah man run | man -l -")]
pub struct ManArgs {
    /// Command whose page is written [default: that of niah]
    #[arg(value_name = "COMMAND")]
    pub page: Option<String>,
    /// Directory of all pages as files, for packages
    #[arg(long, short, value_name = "DIR", hide = true, conflicts_with = "page")]
    pub output: Option<PathBuf>,
}
