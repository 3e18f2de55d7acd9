//! Settings of a `tokenizer.json` on which the library panics, takes all memory or does not end, found before
//! it sees them.
//!
//! What is not found here is the business of [`crate::isolation`]; these checks say what is wrong by name.

use serde_json::Value;

/// Steps of a normalizer, pre-tokenizer, decoder or post-processor, at most. Published ones have up to a
/// dozen.
const MOST_STEPS: usize = 64;
/// How much longer the steps of a normalizer could make a text, if each went on with all that the last one
/// wrote.
const MOST_GROWTH: f64 = 1e6;
/// Bytes of a number that nothing repeats, at most.
const LONGEST_PREFIX: usize = 256;

/// Refuses what the library cannot handle.
pub(super) fn settings(json: &Value) -> Result<(), String> {
    for part in ["normalizer", "pre_tokenizer", "decoder", "post_processor"] {
        let mut steps = Vec::new();
        collect(&json[part], &mut steps);
        let wrong = |problem: String| format!("{part}: {problem}; download the file again");
        if steps.len() > MOST_STEPS {
            return Err(wrong(format!("{} steps, and at most {MOST_STEPS} can be", steps.len())));
        }
        for step in &steps {
            check_step(step).map_err(wrong)?;
        }
        let growth: f64 = steps.iter().map(|step| growth(step)).product();
        if growth > MOST_GROWTH {
            return Err(wrong("its steps make every text many times longer".to_string()));
        }
    }
    Ok(())
}

/// The steps of a part, those of sequences within sequences as well.
fn collect<'a>(step: &'a Value, steps: &mut Vec<&'a Value>) {
    let inner = ["normalizers", "pretokenizers", "decoders", "processors"];
    match inner.iter().find_map(|name| step[*name].as_array()) {
        Some(list) => list.iter().for_each(|step| collect(step, steps)),
        None if step.is_object() => steps.push(step),
        None => {}
    }
}

fn check_step(step: &Value) -> Result<(), String> {
    let text = |name: &str| step[name].as_str().unwrap_or_default();
    let pattern = step["pattern"]["String"].as_str().or(step["pattern"]["Regex"].as_str());
    match text("type") {
        "FixedLength" if step["length"] == 0 => Err("FixedLength of 0 characters".to_string()),
        kind @ ("Replace" | "Split") if pattern == Some("") => Err(format!("{kind} of an empty pattern")),
        "Prepend" if text("prepend").len() > LONGEST_PREFIX => {
            Err(format!("Prepend of {} bytes", text("prepend").len()))
        }
        "Precompiled" if !is_charsmap(text("precompiled_charsmap")) => {
            Err("Precompiled: its map of characters is cut off".to_string())
        }
        "TemplateProcessing" => template_tokens(step),
        _ => Ok(()),
    }
}

/// How many bytes a step makes of one.
fn growth(step: &Value) -> f64 {
    let content = step["content"].as_str().unwrap_or_default().len() as f64;
    // A regular expression matches one byte at least, an empty match apart.
    let pattern = step["pattern"]["String"].as_str().map_or(1.0, |pattern| pattern.len().max(1) as f64);
    if step["type"] == "Replace" { (content / pattern).max(1.0) } else { 1.0 }
}

/// Whether the map is as long as its first number says: the bytes of a table, little-endian.
fn is_charsmap(base64: &str) -> bool {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let Some(digits) = base64.bytes().take(6).map(digit).collect::<Option<Vec<u8>>>() else { return false };
    // Six digits are the first four bytes and four bits.
    let bits = digits.iter().fold(0u64, |bits, digit| bits << 6 | u64::from(*digit)) >> 4;
    let size = u64::from((bits as u32).swap_bytes());
    digits.len() == 6 && size >= 4 && size.is_multiple_of(4) && size <= base64.len() as u64 / 4 * 3
}

/// Every special token that a template of the post-processor names must be defined beside it.
fn template_tokens(step: &Value) -> Result<(), String> {
    let pieces = ["single", "pair"].iter().filter_map(|name| step[*name].as_array()).flatten();
    for id in pieces.filter_map(|piece| piece["SpecialToken"]["id"].as_str()) {
        if step["special_tokens"].get(id).is_none() {
            return Err(format!("TemplateProcessing names the token {id:?}, which it does not define"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_that_the_library_fails_on_are_named() {
        let replace = |pattern: Value, content: &str| json!({"type": "Replace", "pattern": pattern, "content": content});
        let sequence = |steps: Vec<Value>| json!({"type": "Sequence", "normalizers": steps});
        let doubling = replace(json!({"Regex": "(.)"}), "xx");
        let template = json!({
            "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}], "pair": [],
            "special_tokens": {}
        });
        for (part, step, expected) in [
            ("pre_tokenizer", json!({"type": "FixedLength", "length": 0}), "FixedLength"),
            ("normalizer", replace(json!({"String": ""}), "x"), "empty pattern"),
            ("decoder", replace(json!({"Regex": ""}), "x"), "empty pattern"),
            ("pre_tokenizer", json!({"type": "Split", "pattern": {"String": ""}}), "empty pattern"),
            ("normalizer", sequence(vec![doubling; 20]), "longer"),
            ("normalizer", sequence(vec![json!({"type": "NFC"}); 65]), "65 steps"),
            ("normalizer", sequence(vec![sequence(vec![json!({"type": "NFC"}); 40]); 2]), "80 steps"),
            ("normalizer", json!({"type": "Prepend", "prepend": "x".repeat(300)}), "Prepend"),
            ("normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "////////"}), "cut off"),
            ("normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "AAA"}), "cut off"),
            ("post_processor", template, "\"<s>\""),
        ] {
            let problem = settings(&json!({part: step})).unwrap_err();
            assert!(problem.contains(part) && problem.contains(expected), "{problem}");
        }
    }

    #[test]
    fn what_published_tokenizers_have_passes() {
        let space = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
        let normalizer =
            json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, space]});
        // A table of one unit, then the text of the replacements.
        let map = json!({"type": "Precompiled", "precompiled_charsmap": "BAAAAAAAAABhAA=="});
        for normalizer in [normalizer, map, Value::Null] {
            assert_eq!(settings(&json!({"normalizer": normalizer})), Ok(()));
        }
    }
}
