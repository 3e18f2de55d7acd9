//! `docs/schema/report.schema.json` names what the JSON of every report holds. `fixtures/check_tables.py` has
//! a validator check values as well.

use crate::common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::bench::Bench;
use niah::grid::Grid;
use niah::plan::Settings;
use niah::report::compared::{SideBySide, side_by_side};
use niah::report::data::KINDS;
use niah::report::gate::Gate;
use niah::report::masked::MaskingReport;
use niah::report::run::{Ran, RunReport};
use niah::report::{Report, Summary, cells};
use serde_json::{Map, Value};

/// The schema.
struct Schema(Value);

impl Schema {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema/report.schema.json");
        Self(serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap())
    }

    /// What stands behind a `$ref`, or the schema itself.
    fn followed<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(place) => self.0.pointer(place.strip_prefix('#').unwrap()).unwrap(),
            None => schema,
        }
    }

    /// What the parts of a report of this kind must be.
    fn of(&self, kind: &str) -> &Value {
        let branches = self.0["allOf"].as_array().unwrap();
        let branch = branches.iter().find(|branch| branch["if"]["properties"]["report"]["const"] == kind);
        &branch.unwrap_or_else(|| panic!("no branch for {kind}"))["then"]["properties"]
    }

    /// The names of an object are those of the schema, in any order.
    #[track_caller]
    fn check(&self, what: &str, schema: &Value, object: &Map<String, Value>) {
        let schema = self.followed(schema);
        let names: BTreeSet<&str> = object.keys().map(String::as_str).collect();
        let required: BTreeSet<&str> =
            schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        match schema["additionalProperties"] == false {
            true => assert_eq!(names, required, "{what}"),
            false => assert!(required.is_subset(&names), "{what}: {required:?} in {names:?}"),
        }
    }

    fn columns(&self, kind: &str) -> Vec<String> {
        let row = self.followed(&self.of(kind)["rows"]["items"]);
        row["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_string()).collect()
    }
}

#[test]
fn the_json_of_every_report_holds_what_the_schema_names() {
    let schema = Schema::read();
    let bench = Bench::new();
    bench.grid(&["-o", "out", "--tokens", "--retrieval"]);
    fs::write(bench.path("names"), "tiny").unwrap();
    let mut seen = BTreeSet::from(["side-by-side", "gate", "masking"].map(String::from));
    for arguments in [
        &["view", "out"][..],
        &["view", "out", "--by=layer"],
        &["view", "out", "--by=head"],
        &["view", "out", "--by=trial"],
        &["view", "out", "--by=token"],
        &["compare", "out", "out"],
        &["loss", "-m=tiny", "--context-length=64", "-n=1"],
        &["fade", "-m=tiny", "--context-lengths=200", "--depths=50"],
        &["bench", "-m=tiny", "--context-lengths=32", "--max-new-tokens=1", "--repeats=1"],
        &["attend", "out"],
        &["heads", "out", "--all-answers"],
        &["inspect", "tiny"],
        &["run", "-m=tiny", "--context-lengths=1200", "--depths=50", "--controls", "-o=controls"],
        &["run", "-m=tiny", "--context-lengths=1200", "--depths=50", "--task=magic,passkey", "-o=tasks"],
        &["run", "--models=names", "--context-lengths=300", "--depths=50", "-o=models"],
    ] {
        let text = bench.stdout(&[arguments, &["--output-format=json"]].concat());
        let report: Map<String, Value> = serde_json::from_str(&text).unwrap();
        schema.check("report", &schema.0, &report);
        assert_eq!(report["schema_version"], schema.0["properties"]["schema_version"]["const"]);
        let kind = report["report"].as_str().unwrap();
        for part in ["ran", "totals"] {
            schema.check(
                &format!("{kind} {part}"),
                &schema.of(kind)[part],
                report[part].as_object().unwrap(),
            );
        }
        let first = report["rows"][0].as_object().unwrap();
        assert_eq!(first.keys().cloned().collect::<Vec<_>>(), schema.columns(kind), "{kind}: in this order");
        seen.insert(kind.to_string());
    }
    assert_eq!(seen, KINDS.iter().map(ToString::to_string).collect());
    let named = schema.0["properties"]["report"]["enum"].as_array().unwrap();
    assert_eq!(named, KINDS);
}

fn ran() -> Ran {
    Ran {
        title: "tiny".to_string(),
        run_id: "1".to_string(),
        config_hash: "12".to_string(),
        niah: "0".to_string(),
        started_utc: String::new(),
        variant: "softmax".to_string(),
        variant_description: String::new(),
        training_length: None,
        planned_trials: Grid::default().count(),
        settings: Settings::default(),
    }
}

#[test]
fn a_gate_is_as_the_schema_says() {
    let schema = Schema::read();
    let data = Gate { criteria: Vec::new(), conservative: false }.report(ran()).data;
    assert_eq!(data.table.columns(), schema.columns(data.kind));
    let of = schema.of(data.kind);
    for (part, object) in [("ran", data.ran().unwrap()), ("totals", data.totals().unwrap())] {
        schema.check(part, &of[part], &object);
    }
}

#[test]
fn masked_heads_are_as_the_schema_says() {
    let schema = Schema::read();
    let report = MaskingReport { title: "tiny".to_string(), notes: Vec::new(), runs: Vec::new() };
    let data = Report::from(report).data;
    assert_eq!(data.table.columns(), schema.columns(data.kind));
    let of = schema.of(data.kind);
    for (part, object) in [("ran", data.ran().unwrap()), ("totals", data.totals().unwrap())] {
        schema.check(part, &of[part], &object);
    }
}

#[test]
fn runs_beside_each_other_are_as_the_schema_says() {
    let schema = Schema::read();
    let run = RunReport {
        ran: ran(),
        notes: Vec::new(),
        cells: cells(&[], &[]),
        summary: Summary::of(&[]),
        training_length: None,
        verdict: None,
    };
    let part = SideBySide {
        title: "needles".to_string(),
        task: "magic".to_string(),
        runs: vec![("softmax".to_string(), run)],
        pairs: Vec::new(),
    };
    let data = side_by_side(vec![part]).data;
    assert_eq!(data.table.columns(), schema.columns(data.kind));
    let of = schema.of(data.kind);
    for (part, object) in [("ran", data.ran().unwrap()), ("totals", data.totals().unwrap())] {
        schema.check(part, &of[part], &object);
        schema.check(part, &of[part]["properties"]["runs"]["items"], object["runs"][0].as_object().unwrap());
    }
}
