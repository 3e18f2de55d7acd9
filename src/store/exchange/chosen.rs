//! The rows of one model and task among all that were read, each answer once, and the scale of their scores.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::imported::Importing;
use super::theirs::{Given, Notes, TheirRow};
use super::{SCALES, Scale};
use crate::error::{Error, Result};
use crate::hash::{sha256_hex, sha256_of_file};
use crate::printable::listed;

/// A file that was read.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) scorer: Option<String>,
    pub(super) notes: Notes,
}

/// A row with the number of its file.
pub(super) type RowOf = (usize, TheirRow);

/// Rows of one model and task.
pub(super) struct Chosen {
    pub(super) model: String,
    pub(super) task: String,
    pub(super) rows: Vec<RowOf>,
    /// The files that they are from.
    pub(super) files: Vec<String>,
    /// SHA-256 of those files.
    pub(super) hash: String,
    /// What gave the scores.
    pub(super) scorer: String,
    pub(super) scale: Scale,
}

/// Chooses the rows that are wanted. What is said of files that have none of them is not said.
///
/// # Errors
/// [`Error::InvalidValue`] when nobody says which model, task or scale it is, and [`Error::File`] when a file
/// cannot be read any more.
pub(super) fn chosen(
    sources: Vec<Source>,
    mut rows: Vec<RowOf>,
    importing: &Importing,
    notes: &mut Notes,
) -> Result<Chosen> {
    let with_rows = files_of(&rows);
    let task = only(&mut rows, "task", TheirRow::task, importing.task.as_ref(), notes)?;
    let model = only(&mut rows, "model", TheirRow::model, importing.model.as_ref(), notes)?;
    let model =
        model.ok_or_else(|| Error::invalid("model", "nothing", "a name for it: the files say none"))?;
    newest(&mut rows, &sources, notes);
    let hashes = each_once(&mut rows, &sources, notes)?;
    let scale = scale(&sources, &rows, importing.scale)?;
    let kept = files_of(&rows);
    let (mut files, mut scorers) = (Vec::new(), BTreeSet::new());
    for (number, source) in sources.into_iter().enumerate() {
        if kept.contains(&number) {
            files.push(source.path.display().to_string());
            scorers.extend(source.scorer);
        }
        if kept.contains(&number) || !with_rows.contains(&number) {
            notes.extend(source.notes);
        }
    }
    let scorer = if scorers.is_empty() { "none".to_string() } else { listed(&scorers) };
    Ok(Chosen {
        model,
        task: task.unwrap_or_else(|| "imported".to_string()),
        rows,
        files,
        hash: sha256_hex(hashes),
        scorer,
        scale,
    })
}

fn files_of(rows: &[RowOf]) -> BTreeSet<usize> {
    rows.iter().map(|(file, _)| *file).collect()
}

/// Keeps the rows of one name and says which: the only one, unless the user has another word for it, or of
/// several the one that is wanted. Which of several a row without a name is of, nobody knows.
fn only(
    rows: &mut Vec<RowOf>,
    kind: &str,
    name_of: fn(&TheirRow) -> Option<&String>,
    wanted: Option<&String>,
    notes: &mut Notes,
) -> Result<Option<String>> {
    let names: BTreeSet<String> = rows.iter().filter_map(|(_, row)| name_of(row).cloned()).collect();
    if names.len() < 2 {
        return Ok(wanted.or(names.first()).cloned());
    }
    let Some(wanted) = wanted.filter(|wanted| names.contains(*wanted)) else {
        let found = wanted.map_or("nothing", String::as_str);
        return Err(Error::invalid(kind, found, format!("one of {}", listed(&names))));
    };
    let nameless = rows.iter().filter(|(_, row)| name_of(row).is_none()).count();
    notes.count(nameless, format!("rows say no {kind}, where others are of several, and are left out"));
    rows.retain(|(_, row)| name_of(row) == Some(wanted));
    Ok(Some(wanted.clone()))
}

/// Keeps of rows that answer the same those of the newest file.
fn newest(rows: &mut Vec<RowOf>, sources: &[Source], notes: &mut Notes) {
    // Of one time the file that comes last.
    let mut last: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for (file, asked) in rows.iter().filter_map(|(file, row)| Some((*file, row.asked.as_ref()?))) {
        let of = last.entry(asked.what.clone()).or_default();
        let this = (asked.time.clone(), file);
        if *of < this {
            *of = this;
        }
    }
    let last_of = |row: &TheirRow| Some(last.get(&row.asked.as_ref()?.what)?.1);
    let (before, mut newer, mut older) = (rows.len(), BTreeSet::new(), BTreeSet::new());
    rows.retain(|(file, row)| match last_of(row) {
        Some(last) if last != *file => {
            newer.insert(last);
            older.insert(*file);
            false
        }
        _ => true,
    });
    if let Some(example) = newer.last() {
        let words = format!(
            "rows of {} files are left out: the same was asked again later, as {} has it; import older files by \
             themselves",
            older.len(),
            sources[*example].path.display()
        );
        notes.count(before - rows.len(), words);
    }
}

/// Keeps of files that hold the same the first, and gives the hashes of those that are kept, one after the
/// other. The path of a file may say its length, so that files of two lengths are never the same.
fn each_once(rows: &mut Vec<RowOf>, sources: &[Source], notes: &mut Notes) -> Result<String> {
    let mut lengths: BTreeMap<usize, Option<usize>> = BTreeMap::new();
    for (file, row) in rows.iter() {
        lengths.entry(*file).or_insert(row.context_length);
    }
    let (mut hashes, mut copies) = (String::new(), BTreeSet::new());
    let mut first: BTreeMap<(String, Option<usize>), usize> = BTreeMap::new();
    for (file, length) in lengths {
        let path = &sources[file].path;
        let hash = sha256_of_file(path).map_err(|error| Error::file(path, crate::files::problem(&error)))?;
        match first.get(&(hash.clone(), length)) {
            None => {
                hashes += &hash;
                first.insert((hash, length), file);
            }
            Some(same) => {
                let (path, same) = (path.display(), sources[*same].path.display());
                notes.say(format!("{path} is the same as {same} and is left out"));
                copies.insert(file);
            }
        }
    }
    rows.retain(|(file, _)| !copies.contains(file));
    Ok(hashes)
}

/// The scale of the numbers among the scores, which must be one for all.
fn scale(sources: &[Source], rows: &[RowOf], wanted: Option<Scale>) -> Result<Scale> {
    let mut found: Vec<(Option<Scale>, usize)> = Vec::new();
    for (file, row) in rows.iter().filter(|(_, row)| row.our_score().is_none()) {
        match row.score {
            Some(Given::Number(_, scale)) if found.iter().all(|(other, _)| *other != scale) => {
                found.push((scale, *file));
            }
            _ => {}
        }
    }
    let path = |file: usize| sources[file].path.display();
    match (found.as_slice(), wanted) {
        ([], _) => Ok(Scale::One),
        (_, Some(wanted)) => Ok(wanted),
        ([(Some(scale), _)], None) => Ok(*scale),
        (several, None) => match several.iter().find(|(scale, _)| scale.is_none()) {
            Some((_, file)) => {
                let unknown = format!("{} does not say on which scale its scores are", path(*file));
                Err(Error::invalid("scale", "nothing", format!("0-1, 1-10 or 0-100: {unknown}")))
            }
            None => {
                let of = |(scale, file): &(Option<Scale>, usize)| {
                    format!("{} in {}", scale.map_or("none", Scale::name), path(*file))
                };
                let found: Vec<String> = several.iter().map(of).collect();
                let known: Vec<&str> = SCALES.iter().map(|scale| scale.name).collect();
                let expected = format!("files of one scale, or which of {} it is for all", known.join(", "));
                Err(Error::invalid("scale", found.join(" and "), expected))
            }
        },
    }
}
