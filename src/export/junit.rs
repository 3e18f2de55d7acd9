//! A gate as JUnit's XML, which the pages of continuous integration read: a test case each criterion.

use crate::printable;
use crate::report::gate::Gate;

/// The document; `suite` names what was judged.
#[must_use]
pub fn write(gate: &Gate, suite: &str) -> String {
    let (all, failed) = (gate.criteria.len(), gate.failed().count());
    let suite = escaped(suite);
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"{all}\" failures=\"{failed}\">\n  \
         <testsuite name=\"niah gate\" tests=\"{all}\" failures=\"{failed}\" errors=\"0\" skipped=\"0\">\n"
    );
    for checked in &gate.criteria {
        let said = format!(
            "{}, 95% interval {}, need {}, n {} of {} trials",
            checked.value_words(),
            checked.interval_words(),
            checked.need_words(),
            checked.n,
            checked.n_trials
        );
        let (name, said) = (escaped(&checked.name), escaped(&said));
        let inner = match checked.passed {
            true => format!("      <system-out>{said}</system-out>\n"),
            false => format!("      <failure type=\"gate\" message=\"{said}\"/>\n"),
        };
        text += &format!("    <testcase classname=\"{suite}\" name=\"{name}\">\n{inner}    </testcase>\n");
    }
    text + "  </testsuite>\n</testsuites>\n"
}

/// Text for an attribute or an element. XML has no way to say most control characters.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in printable::line(text).chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\u{FFFE}' | '\u{FFFF}' => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}
