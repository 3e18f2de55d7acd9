//! What a command shows: a report in every form that was asked for, on stdout and in files.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{print_bytes, tell, warn, write_file};
use crate::cli::FormArgs;
use crate::error::{self, Error, Result};
use crate::export::style::{Charset, ColorMode, Style};
use crate::export::{Exporter, figures};
use crate::report::{Report, latest};
use crate::store::directory::RunRecord;
use crate::trial::Outcome;

/// What a command shows, as bytes.
#[derive(Default)]
pub struct Shown {
    /// For stdout.
    pub output: Vec<u8>,
    /// For files: what stands in each, or why nothing does.
    pub files: Vec<(PathBuf, Result<Vec<u8>>)>,
    /// Folders that are made for them.
    pub folders: Vec<PathBuf>,
    /// For stderr, a line each.
    pub warnings: Vec<String>,
}

impl Shown {
    /// The report in the forms that were asked for; `page` stands in its place where there is room for more,
    /// as in HTML, and has figures that the report lacks.
    ///
    /// # Errors
    /// When the form of stdout cannot be made. What cannot be made for a file is an error of that file.
    pub(super) fn of(form: &FormArgs, report: &Report, page: Option<&Report>, style: &Style) -> Result<Self> {
        let in_file = Style { color: ColorMode::None, charset: Charset::Unicode, ..*style };
        let file = |(path, exporter): (&PathBuf, Exporter)| {
            (path.clone(), bytes(form, exporter, (report, page), &in_file))
        };
        Ok(Self {
            output: bytes(form, form.output_format, (report, page), style)?,
            files: form.files().map(file).collect(),
            folders: Vec::new(),
            warnings: Vec::new(),
        })
    }

    /// The same with the rows of a run in the files of other tools that were asked for.
    ///
    /// # Errors
    /// When a row cannot be written.
    pub(super) fn with_theirs(
        mut self,
        form: &FormArgs,
        record: &RunRecord,
        outcomes: &[Outcome],
    ) -> Result<Self> {
        let rows = latest(outcomes);
        for (path, exchange) in form.theirs() {
            for (below, bytes) in (exchange.write)(record, &rows)? {
                let place = if below.as_os_str().is_empty() { path.clone() } else { path.join(&below) };
                self.folders.extend(place.parent().filter(|_| place != *path).map(Path::to_path_buf));
                self.files.push((place, Ok(bytes)));
            }
        }
        Ok(self)
    }

    /// The same with warnings.
    pub(super) fn warning(self, warnings: Vec<String>) -> Self {
        Self { warnings, ..self }
    }

    /// Warns, prints, and writes every file, whatever becomes of the others.
    ///
    /// # Errors
    /// What was wrong with the first file that could not be written; the others are told of.
    pub(super) fn out(self) -> Result<()> {
        warn(&self.warnings);
        let mut wrong: Vec<Error> = print_bytes(&self.output).err().into_iter().collect();
        for folder in &self.folders {
            if let Err(error) = fs::create_dir_all(folder) {
                wrong.push(Error::output(
                    folder,
                    format!("cannot make this folder: {}; choose another", error::reason(&error)),
                ));
            }
        }
        for (path, made) in self.files {
            match made.and_then(|bytes| write(&path, &bytes)) {
                Ok(()) => tell(format_args!("written: {}", path.display())),
                Err(error) => wrong.push(error),
            }
        }
        let mut wrong = wrong.into_iter();
        let first = wrong.next();
        wrong.for_each(|error| tell(format_args!("niah: {}", crate::cli::with_flags(error).one_line())));
        first.map_or(Ok(()), Err)
    }
}

fn bytes(
    form: &FormArgs,
    exporter: Exporter,
    (report, page): (&Report, Option<&Report>),
    style: &Style,
) -> Result<Vec<u8>> {
    let page = page.unwrap_or(report);
    match (form.figure, exporter.figure) {
        (Some(name), Some(draw)) => draw(figures::named(&page.document, name)?, style),
        _ => (exporter.write)(if exporter.name == "html" { page } else { report }, style),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let wrong = |reason: String| {
        Error::output(path, format!("cannot write: {reason}; choose another file with --export"))
    };
    let written =
        write_file(path, |mut file| file.write_all(bytes).map_err(|error| wrong(error::reason(&error))));
    written.map_err(|error| match error {
        // What becomes of a file is an error of the output, as the command has done all else.
        Error::File { path, problem } => Error::output(
            path,
            problem.replace("; choose another file with -o", "; choose another with --export"),
        ),
        other => other,
    })
}

/// Refuses what cannot be shown, before anything is computed: a figure that is none of `made`, one that no
/// form takes, and files where there is no directory.
pub(super) fn check(form: &FormArgs, made: &[&str]) -> Result<()> {
    if let Some((_, exchange)) = form.theirs().next() {
        let expected =
            "the report in a form of ours, or one run to view --by cell: its rows go to other tools";
        return Err(Error::invalid("--export", exchange.name, expected));
    }
    check_ours(form, made)
}

/// The same, where the rows of a run may go to other tools.
pub(super) fn check_ours(form: &FormArgs, made: &[&str]) -> Result<()> {
    if let Some(name) = form.figure {
        if !made.contains(&name) {
            return Err(figures::not_made(name, made));
        }
        if !form.forms().any(|exporter| exporter.figure.is_some()) {
            let expected = "a picture to draw it into: --export FILE.svg, or --output-format svg";
            return Err(Error::invalid("--figure", name, expected));
        }
    }
    for (path, _) in form.files() {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if path.is_dir() {
            return Err(Error::file(path, "a directory; name a file in it with --export"));
        }
        if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
            return Err(Error::file(
                parent,
                "no such directory; make it first, or choose another with --export",
            ));
        }
    }
    Ok(())
}
