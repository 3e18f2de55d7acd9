//! `niah completions` and `niah man`: what shells complete, and the manual, both from the flags themselves.

use std::fs;
use std::path::Path;

use clap::Command;
use clap_mangen::Man;

use super::{cannot_write, print};
use crate::cli::{self, CompletionsArgs, ManArgs};
use crate::error::{Error, Result};
use crate::registry;

/// Runs `niah completions`.
///
/// # Errors
/// When stdout cannot be written.
pub(super) fn completions(args: &CompletionsArgs) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::with_every_command(), "niah", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Runs `niah man`.
///
/// # Errors
/// [`Error::UnknownChoice`] for a command that is none, and when the page cannot be written.
pub(super) fn man(args: &ManArgs) -> Result<()> {
    let pages = pages()?;
    if let Some(directory) = &args.output {
        return pages.iter().try_for_each(|(name, page)| write(directory, &file_name(name), page));
    }
    let wanted = args.page.as_deref().map_or("niah".to_string(), |page| format!("niah-{page}"));
    match pages.iter().find(|(name, _)| *name == wanted) {
        Some((_, page)) => print(page),
        None => {
            let known: Vec<&str> = pages.iter().filter_map(|(name, _)| name.strip_prefix("niah-")).collect();
            Err(registry::unknown("command", args.page.as_deref().unwrap_or_default(), &known))
        }
    }
}

fn file_name(page: &str) -> String {
    format!("{page}.1")
}

fn write(directory: &Path, name: &str, page: &str) -> Result<()> {
    let path = directory.join(name);
    let written = fs::create_dir_all(directory).and_then(|()| fs::write(&path, page));
    written.map_err(|error| Error::output(&path, cannot_write(&error)))
}

/// The page of the program and one of every command, by name.
fn pages() -> Result<Vec<(String, String)>> {
    let mut root = cli::with_every_command();
    root.build();
    let commands =
        root.get_subcommands().filter(|command| command.get_name() != "help" && !command.is_hide_set());
    let named = commands.map(|command| (format!("niah-{}", command.get_name()), command.clone()));
    let all = [("niah".to_string(), root.clone())].into_iter().chain(named);
    all.map(|(name, command)| Ok((name.clone(), page(&name, command)?))).collect()
}

/// A page in roff: what the long help says, examples last.
fn page(name: &str, command: Command) -> Result<String> {
    let examples = command.get_before_help().map(ToString::to_string).unwrap_or_default();
    // What short help leaves out has no words in a manual either.
    let command = command.display_name(name.to_string()).mut_args(|arg| arg.hide_short_help(false));
    let mut page = Vec::new();
    Man::new(command).render(&mut page).map_err(|error| Error::Message(format!("man page: {error}")))?;
    let page = String::from_utf8(page).map_err(|error| Error::Message(format!("man page: {error}")))?;
    let examples: Vec<&str> = examples.lines().filter(|line| line.starts_with("  ")).map(str::trim).collect();
    let examples = examples.join("\n").replace('\\', "\\\\").replace('-', "\\-");
    Ok(format!("{page}.SH EXAMPLES\n.nf\n{examples}\n.fi\n"))
}
