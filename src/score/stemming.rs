//! The stem of an English word, by Porter's algorithm (Porter 1980, "An algorithm for suffix stripping"), so
//! that "connected" and "connections" are one word.

/// The stem of a word in lower case; what is no word of ASCII letters stays as it is, as do words of one and
/// two letters.
///
/// ```
/// use niah::score::stem;
/// assert_eq!(["connected", "connections", "ponies"].map(stem), ["connect", "connect", "poni"]);
/// ```
#[must_use]
pub fn stem(word: &str) -> String {
    if word.len() <= 2 || !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return word.to_string();
    }
    let mut word = word.to_string();
    plurals(&mut word);
    past_and_gerund(&mut word);
    if word.ends_with('y') && has_vowel(&word[..word.len() - 1]) {
        replace_end(&mut word, 1, "i");
    }
    let of_measure = |least: usize| move |stem: &str| measure(stem) > least;
    replace_first(&mut word, DOUBLE_SUFFIXES, of_measure(0));
    replace_first(&mut word, SUFFIXES, of_measure(0));
    residual(&mut word);
    final_e_and_l(&mut word);
    word
}

/// Step 2.
const DOUBLE_SUFFIXES: &[(&str, &str)] = &[
    ("ational", "ate"),
    ("tional", "tion"),
    ("enci", "ence"),
    ("anci", "ance"),
    ("izer", "ize"),
    ("abli", "able"),
    ("alli", "al"),
    ("entli", "ent"),
    ("eli", "e"),
    ("ousli", "ous"),
    ("ization", "ize"),
    ("ation", "ate"),
    ("ator", "ate"),
    ("alism", "al"),
    ("iveness", "ive"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("aliti", "al"),
    ("iviti", "ive"),
    ("biliti", "ble"),
];

/// Step 3.
const SUFFIXES: &[(&str, &str)] = &[
    ("icate", "ic"),
    ("ative", ""),
    ("alize", "al"),
    ("iciti", "ic"),
    ("ical", "ic"),
    ("ful", ""),
    ("ness", ""),
];

/// Step 4; `ion` goes behind s and t alone.
const RESIDUAL: &[&str] = &[
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism",
    "ate", "iti", "ous", "ive", "ize",
];

/// Whether the letter at `at` is a consonant: y is one at the beginning and behind a vowel.
fn is_consonant(word: &[u8], at: usize) -> bool {
    match word[at] {
        b'a' | b'e' | b'i' | b'o' | b'u' => false,
        b'y' => at == 0 || !is_consonant(word, at - 1),
        _ => true,
    }
}

/// How often a run of consonants follows a run of vowels.
fn measure(stem: &str) -> usize {
    let kinds: Vec<bool> = (0..stem.len()).map(|at| is_consonant(stem.as_bytes(), at)).collect();
    kinds.windows(2).filter(|pair| !pair[0] && pair[1]).count()
}

fn has_vowel(stem: &str) -> bool {
    (0..stem.len()).any(|at| !is_consonant(stem.as_bytes(), at))
}

fn ends_with_double_consonant(word: &str) -> bool {
    let bytes = word.as_bytes();
    let n = bytes.len();
    n >= 2 && bytes[n - 1] == bytes[n - 2] && is_consonant(bytes, n - 1)
}

/// Whether it ends with consonant, vowel and consonant, the last of which is not w, x or y.
fn ends_short(word: &str) -> bool {
    let bytes = word.as_bytes();
    let n = bytes.len();
    n >= 3
        && is_consonant(bytes, n - 3)
        && !is_consonant(bytes, n - 2)
        && is_consonant(bytes, n - 1)
        && !matches!(bytes[n - 1], b'w' | b'x' | b'y')
}

fn replace_end(word: &mut String, letters: usize, by: &str) {
    word.truncate(word.len() - letters);
    word.push_str(by);
}

/// Replaces the longest suffix of the table that the word has, where what stands before it is `fit`.
fn replace_first(word: &mut String, table: &[(&str, &str)], fit: impl Fn(&str) -> bool) {
    let found =
        table.iter().filter(|(suffix, _)| word.ends_with(suffix)).max_by_key(|(suffix, _)| suffix.len());
    if let Some((suffix, by)) = found
        && fit(&word[..word.len() - suffix.len()])
    {
        replace_end(word, suffix.len(), by);
    }
}

/// Step 1a.
fn plurals(word: &mut String) {
    if word.ends_with("sses") || word.ends_with("ies") {
        replace_end(word, 2, "");
    } else if word.ends_with('s') && !word.ends_with("ss") {
        replace_end(word, 1, "");
    }
}

/// Step 1b.
fn past_and_gerund(word: &mut String) {
    if word.ends_with("eed") {
        if measure(&word[..word.len() - 3]) > 0 {
            replace_end(word, 1, "");
        }
        return;
    }
    let letters = match () {
        () if word.ends_with("ed") => 2,
        () if word.ends_with("ing") => 3,
        () => return,
    };
    if !has_vowel(&word[..word.len() - letters]) {
        return;
    }
    replace_end(word, letters, "");
    if ["at", "bl", "iz"].iter().any(|end| word.ends_with(end)) {
        word.push('e');
    } else if ends_with_double_consonant(word) && !word.ends_with(['l', 's', 'z']) {
        replace_end(word, 1, "");
    } else if measure(word) == 1 && ends_short(word) {
        word.push('e');
    }
}

/// Step 4.
fn residual(word: &mut String) {
    let found = RESIDUAL.iter().filter(|suffix| word.ends_with(**suffix)).max_by_key(|suffix| suffix.len());
    if let Some(suffix) = found {
        let stem = &word[..word.len() - suffix.len()];
        if measure(stem) > 1 && (*suffix != "ion" || stem.ends_with(['s', 't'])) {
            replace_end(word, suffix.len(), "");
        }
    }
}

/// Step 5.
fn final_e_and_l(word: &mut String) {
    if word.ends_with('e') {
        let stem = &word[..word.len() - 1];
        if measure(stem) > 1 || (measure(stem) == 1 && !ends_short(stem)) {
            replace_end(word, 1, "");
        }
    }
    if word.ends_with("ll") && measure(word) > 1 {
        replace_end(word, 1, "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of Porter's paper, with what the whole algorithm makes of them.
    #[test]
    fn stems_are_the_published_ones() {
        for (word, expected) in [
            ("caresses", "caress"),
            ("ponies", "poni"),
            ("ties", "ti"),
            ("caress", "caress"),
            ("cats", "cat"),
            ("feed", "feed"),
            ("agreed", "agre"),
            ("plastered", "plaster"),
            ("bled", "bled"),
            ("motoring", "motor"),
            ("sing", "sing"),
            ("conflated", "conflat"),
            ("troubled", "troubl"),
            ("sized", "size"),
            ("hopping", "hop"),
            ("tanned", "tan"),
            ("falling", "fall"),
            ("hissing", "hiss"),
            ("fizzed", "fizz"),
            ("failing", "fail"),
            ("filing", "file"),
            ("happy", "happi"),
            ("sky", "sky"),
            ("relational", "relat"),
            ("conditional", "condit"),
            ("rational", "ration"),
            ("valenci", "valenc"),
            ("hesitanci", "hesit"),
            ("digitizer", "digit"),
            ("conformabli", "conform"),
            ("radicalli", "radic"),
            ("differentli", "differ"),
            ("vileli", "vile"),
            ("analogousli", "analog"),
            ("vietnamization", "vietnam"),
            ("predication", "predic"),
            ("operator", "oper"),
            ("feudalism", "feudal"),
            ("decisiveness", "decis"),
            ("hopefulness", "hope"),
            ("callousness", "callous"),
            ("formaliti", "formal"),
            ("sensitiviti", "sensit"),
            ("sensibiliti", "sensibl"),
            ("triplicate", "triplic"),
            ("formative", "form"),
            ("formalize", "formal"),
            ("electriciti", "electr"),
            ("electrical", "electr"),
            ("hopeful", "hope"),
            ("goodness", "good"),
            ("revival", "reviv"),
            ("allowance", "allow"),
            ("inference", "infer"),
            ("airliner", "airlin"),
            ("gyroscopic", "gyroscop"),
            ("adjustable", "adjust"),
            ("defensible", "defens"),
            ("irritant", "irrit"),
            ("replacement", "replac"),
            ("adjustment", "adjust"),
            ("dependent", "depend"),
            ("adoption", "adopt"),
            ("homologou", "homolog"),
            ("communism", "commun"),
            ("activate", "activ"),
            ("angulariti", "angular"),
            ("homologous", "homolog"),
            ("effective", "effect"),
            ("bowdlerize", "bowdler"),
            ("probate", "probat"),
            ("rate", "rate"),
            ("cease", "ceas"),
            ("controll", "control"),
            ("roll", "roll"),
            ("generalizations", "gener"),
            ("oscillators", "oscil"),
        ] {
            assert_eq!(stem(word), expected, "{word}");
        }
    }

    #[test]
    fn what_is_no_english_word_stays() {
        for word in ["", "as", "1990s", "Cats", "cafés", "猫"] {
            assert_eq!(stem(word), word);
        }
    }
}
