//! The expected answers of a trial as one text of a table, and back.

/// What stands between two expected answers in `expected_answer`.
const BETWEEN: char = '|';

/// Expected answers with `|` between them. One that holds a `|` has a backslash before it, and backslashes
/// that would then be taken for one are doubled; all others stay as they are.
#[must_use]
pub fn joined(expected: &[String]) -> String {
    let mut text = String::new();
    for (number, answer) in expected.iter().enumerate() {
        if number > 0 {
            // Those at the end of the answer before belong to it.
            double_backslashes(&mut text);
            text.push(BETWEEN);
        }
        let mut parts = answer.split(BETWEEN);
        text.push_str(parts.next().unwrap_or_default());
        for part in parts {
            double_backslashes(&mut text);
            text.push('\\');
            text.push(BETWEEN);
            text.push_str(part);
        }
    }
    text
}

/// Writes the backslashes that a text ends with twice.
fn double_backslashes(text: &mut String) {
    let count = text.len() - text.trim_end_matches('\\').len();
    text.extend(std::iter::repeat_n('\\', count));
}

/// The expected answers of what [`joined`] has written; none of an empty text.
#[must_use]
pub fn parted(text: &str) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    let mut answers = vec![String::new()];
    let mut pieces = text.split(BETWEEN).peekable();
    while let Some(piece) = pieces.next() {
        let Some(answer) = answers.last_mut() else { break };
        if pieces.peek().is_none() {
            answer.push_str(piece);
            break;
        }
        let plain = piece.trim_end_matches('\\');
        let backslashes = piece.len() - plain.len();
        answer.push_str(plain);
        answer.extend(std::iter::repeat_n('\\', backslashes / 2));
        match backslashes % 2 {
            0 => answers.push(String::new()),
            _ => answer.push(BETWEEN),
        }
    }
    answers
}

/// The same in a run with a question of the user's own, whose one answer earlier versions wrote as it is.
#[must_use]
pub fn parted_of(text: &str, own: Option<&str>) -> Vec<String> {
    match own {
        Some(own) if own.trim() == text => vec![text.to_string()],
        _ => parted(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_own_answer_stays_whole_as_earlier_versions_wrote_it() {
        assert_eq!(parted_of("a|b", None), ["a", "b"]);
        assert_eq!(parted_of("a|b", Some(" a|b ")), ["a|b"]);
        assert_eq!(parted_of("a\\|b", Some("a|b")), ["a|b"]);
        // Under a control that has another answer.
        assert_eq!(parted_of("none", Some("a|b")), ["none"]);
    }

    #[test]
    fn answers_come_back_whatever_they_hold() {
        let parts = [
            "",
            "a",
            "A|B",
            "|",
            "||",
            "\\",
            "\\\\",
            "a\\",
            "\\|",
            "\\\\|d",
            "grep x | wc -l",
            "\\frac{1}{2}",
        ];
        for first in parts {
            for second in parts {
                let both = [first.to_string(), second.to_string()];
                assert_eq!(parted(&joined(&both)), both, "{}", joined(&both));
            }
            if !first.is_empty() {
                assert_eq!(parted(&joined(&[first.to_string()])), [first]);
            }
        }
        assert_eq!(parted(""), [""; 0]);
    }

    #[test]
    fn what_holds_no_bar_is_written_as_it_is() {
        let answers = ["1,234", "\\frac{1}{2}", "a\\b"].map(str::to_string);
        assert_eq!(joined(&answers), "1,234|\\frac{1}{2}|a\\b");
        assert_eq!(parted("ab|cd"), ["ab", "cd"]);
    }
}
