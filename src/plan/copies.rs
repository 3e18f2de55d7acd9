//! Plans whose trials are all the same prompt.

use crate::error::Result;
use crate::haystack::Haystack;
use crate::rng::Rng;
use crate::task::Task;

/// Questions that are looked at: a task with others among them asks about many things.
const LOOKED_AT: usize = 8;

/// What the user should know where every one of so many trials of a cell would be the same prompt.
///
/// # Errors
/// Those of the task.
pub(super) fn note(trials: usize, task: &dyn Task, haystack: &Haystack) -> Result<Option<String>> {
    let writes = task.listing().is_some() || task.given().is_some();
    if trials < 2 || writes || !haystack.is_same_for_all() {
        return Ok(None);
    }
    let question = |number: usize| task.numbered(number, &mut Rng::new(number as u64));
    let first = question(0)?;
    for number in 1..LOOKED_AT {
        if question(number)? != first {
            return Ok(None);
        }
    }
    Ok(Some(format!(
        "all {trials} trials of a cell are the same prompt, as haystack and needle are always the same: they count \
         as one, and --trials 1 tells as much"
    )))
}
