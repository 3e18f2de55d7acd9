//! The machine of a run that goes on: where numbers follow from the set of instructions, `run.json` keeps the
//! machines that earlier rows are of, below `earlier` of the one that the run goes on on.

use serde_json::{Value, json};

use super::directory::RunRecord;
use crate::spec::Dtype;

const EARLIER: &str = "earlier";

/// What the record of `new`, which goes on in the directory of `old`, says of machines.
pub(super) fn after(old: &RunRecord, new: &RunRecord) -> Value {
    let mut machines = earlier(&old.machine);
    let sets = [old, new].map(|record| record.machine["instructions"].as_str());
    if let [Some(of_old), Some(of_new)] = sets
        && of_old != of_new
        && depends_on_instructions(new)
    {
        let mut last = old.machine.clone();
        last.as_object_mut().and_then(|machine| machine.remove(EARLIER));
        machines.extend((!machines.contains(&last)).then_some(last));
    }
    let mut machine = new.machine.clone();
    if let (Some(machine), false) = (machine.as_object_mut(), machines.is_empty()) {
        machine.insert(EARLIER.to_string(), json!(machines));
    }
    machine
}

/// Whether the same run has rows of further machines than that of `machine`.
pub(super) fn has_moved(machine: &Value, after: &Value) -> bool {
    earlier(machine) != earlier(after)
}

fn earlier(machine: &Value) -> Vec<Value> {
    machine[EARLIER].as_array().cloned().unwrap_or_default()
}

/// Whether numbers are other ones on a processor that multiplies bf16 and on one that widens it first.
fn depends_on_instructions(record: &RunRecord) -> bool {
    let bf16 = Dtype::Bf16.name();
    [Dtype::Bf16, Dtype::Bf16x2].iter().any(|dtype| record.model["dtype"].as_str() == Some(dtype.name()))
        || record.model["kv_dtype"].as_str().is_some_and(|cache| cache.contains(bf16))
}
