//! Where sentences end, found in the text itself, so that every tokenizer sees the same sentences.

/// Abbreviations that a sentence goes on after, although a capital or a digit may follow.
const ABBREVIATIONS: &[&str] = &[
    "al", "approx", "ca", "capt", "cf", "col", "dr", "eq", "fig", "ft", "gen", "gov", "hon", "lt", "messrs",
    "mr", "mrs", "ms", "mt", "prof", "rep", "rev", "sen", "sgt", "sr", "st", "viz", "vol", "vs",
];

/// Byte offsets just past the end of every sentence of `text`, ascending, each before the white space that
/// follows.
///
/// A sentence ends at `. ! ?` (with closing quotes and brackets) before white space or the end, at a CJK full
/// stop, and at a paragraph break; not after an initial or a common abbreviation, nor where a lower-case
/// letter follows.
///
/// ```
/// use niah::haystack::sentences::sentence_ends;
/// assert_eq!(sentence_ends("Mr. A. Bell rang. \"Who?\" he said.\n\nTitle\n\nEnd"), [17, 33, 40, 45]);
/// ```
#[must_use]
pub fn sentence_ends(text: &str) -> Vec<usize> {
    let mut ends: Vec<usize> = Vec::new();
    let mut end_at = |end: usize| {
        if ends.last().is_none_or(|&last| last < end) && end > 0 {
            ends.push(end);
        }
    };
    // Where the text before `from` ends, white space left out: it is kept, since looking back for it from
    // every line break would take a time that grows with the square of a run of them.
    let (mut from, mut content) = (0, 0);
    while let Some(found) = text[from..].find(|c| c == '\n' || is_stop(c)) {
        let start = from + found;
        match text[from..start].trim_end().len() {
            0 => {}
            length => content = from + length,
        }
        let marks = text[start..].find(|c| !is_stop(c) && !is_closing(c)).unwrap_or(text.len() - start);
        let (run, rest) = text[start..].split_at(marks);
        if run.is_empty() {
            // A line break: it ends a sentence when an empty line follows.
            if begins_paragraph(&rest[1..]) {
                end_at(content);
            }
            from = start + 1;
        } else {
            if run.contains(is_wide_stop) || ends_sentence(&text[..start], run, rest) {
                end_at(start + marks);
            }
            from = start + marks;
            content = from;
        }
    }
    end_at(text.trim_end().len());
    ends
}

fn ends_sentence(before: &str, run: &str, rest: &str) -> bool {
    let goes_on = || {
        let space = rest.len() - rest.trim_start().len();
        rest[space..].starts_with(char::is_lowercase) && rest[..space].matches('\n').count() < 2
    };
    let abbreviated = || run.trim_end_matches(is_closing) == "." && is_abbreviation(before);
    (rest.is_empty() || rest.starts_with(char::is_whitespace)) && !goes_on() && !abbreviated()
}

/// Whether the word that ends `before` is an initial (`J`), letters with dots (`e.g`) or a known
/// abbreviation.
fn is_abbreviation(before: &str) -> bool {
    let word = before.rsplit(|c: char| !(c.is_alphanumeric() || c == '.')).next().unwrap_or_default();
    let last = word.rsplit('.').next().unwrap_or_default();
    let one_letter = last.chars().count() == 1 && last.starts_with(char::is_alphabetic);
    (one_letter && (word.contains('.') || last.starts_with(char::is_uppercase)))
        || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

fn begins_paragraph(rest: &str) -> bool {
    rest.trim_start_matches([' ', '\t', '\r']).starts_with('\n')
}

fn is_stop(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…' | '؟' | '۔' | '।') || is_wide_stop(c)
}

/// Stops of scripts that write no space after a sentence.
fn is_wide_stop(c: char) -> bool {
    matches!(c, '。' | '！' | '？' | '｡')
}

fn is_closing(c: char) -> bool {
    matches!(c, '"' | '\'' | ')' | ']' | '}' | '”' | '’' | '»' | '」' | '』' | '）' | '】' | '》')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sentences(text: &str) -> Vec<&str> {
        let mut from = 0;
        sentence_ends(text)
            .into_iter()
            .map(|end| {
                let sentence = text[from..end].trim();
                from = end;
                sentence
            })
            .collect()
    }

    #[test]
    fn stops_with_closing_quotes_and_brackets_end_a_sentence() {
        assert_eq!(
            sentences("He left. \"Why?\" Nobody knew (or said.) Really?! Yes… Then it rained."),
            ["He left.", "\"Why?\"", "Nobody knew (or said.)", "Really?!", "Yes…", "Then it rained."]
        );
    }

    #[test]
    fn abbreviations_initials_and_numbers_do_not_end_a_sentence() {
        for text in [
            "Mr. Bell and Dr. J. S. Stone met.",
            "Some fruit, e.g. Apples, i.e. Pomes, keep well.",
            "The U.S. Navy paid 3.5 crowns.",
            "\"Stop!\" she said.",
            "Well... perhaps not.",
        ] {
            assert_eq!(sentences(text), [text]);
        }
    }

    #[test]
    fn scripts_without_spaces_are_split_at_their_full_stops() {
        assert_eq!(
            sentences("今日は晴れ。「行く？」と彼は言った。"),
            ["今日は晴れ。", "「行く？」", "と彼は言った。"]
        );
    }

    /// The same with all of the text looked at again from every place, as the definition says it.
    fn plainly(text: &str) -> Vec<usize> {
        let mut ends = Vec::new();
        let mut from = 0;
        while let Some(found) = text[from..].find(|c| c == '\n' || is_stop(c)) {
            let (before, rest) = text.split_at(from + found);
            let marks = rest.find(|c| !is_stop(c) && !is_closing(c)).unwrap_or(rest.len());
            let (run, behind) = rest.split_at(marks);
            if run.is_empty() && begins_paragraph(&rest[1..]) {
                ends.push(before.trim_end().len());
            }
            if run.contains(is_wide_stop) || (!run.is_empty() && ends_sentence(before, run, behind)) {
                ends.push(before.len() + marks);
            }
            from = before.len() + marks.max(1);
        }
        ends.push(text.trim_end().len());
        ends.retain(|&end| end > 0);
        ends.sort_unstable();
        ends.dedup();
        ends
    }

    const PIECES: &[&str] = &[
        "\n", "\n", "\n", "\r\n", " ", "\t", "\u{A0}", "\u{2028}", ".", "...", "!", "。", "…", "\"", ")",
        "a", "B", "Mr", "e.g", "7", "word", "是", "é",
    ];

    proptest! {
        #[test]
        fn runs_of_anything_end_where_the_definition_says(
            pieces in proptest::collection::vec((proptest::sample::select(PIECES), 1..5_usize), 0..40)
        ) {
            let text: String = pieces.iter().map(|(piece, times)| piece.repeat(*times)).collect();
            prop_assert_eq!(sentence_ends(&text), plainly(&text));
        }
    }

    #[test]
    fn text_of_one_kind_of_character_without_end_is_read_once() {
        // Looking back over what was read from every place would take hours here.
        for piece in [
            "\n", " \n", "\t\n", "\r\n", "\u{A0}\n", " ", "a", "a. ", ".", "... ", ".\n\n", "\" ", "a.b.",
            "。",
        ] {
            let text = format!("Start.{}End.", piece.repeat(400_000 / piece.len()));
            let ends = sentence_ends(&text);
            assert_eq!(ends.last(), Some(&text.len()), "{piece:?}");
            assert!(ends.windows(2).all(|pair| pair[0] < pair[1]), "{piece:?}");
        }
    }

    #[test]
    fn paragraphs_end_sentences_but_lines_do_not() {
        assert_eq!(
            sentences("A title\n\nOne line\nand another\n \nlast"),
            ["A title", "One line\nand another", "last"]
        );
        assert!(sentences(" \n\n ").is_empty());
    }
}
