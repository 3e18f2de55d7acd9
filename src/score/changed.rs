//! Where a copy has the one word of its text that is another.

/// The place of the word that differs from all others, as the number of a word, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangedWord {
    /// In the text.
    pub place: usize,
    /// In the answer, where it stands first; missing where the answer lacks it.
    pub answered: Option<usize>,
}

impl ChangedWord {
    /// Of a text that is one word again and again with another one among them, and an answer that copies it;
    /// `None` of any other text. Marks around words count for nothing.
    ///
    /// ```
    /// use niah::score::ChangedWord;
    /// let text = "pear pear plum pear";
    /// let moved = ChangedWord::of(text, "pear, plum, pear").unwrap();
    /// assert_eq!((moved.place, moved.answered), (2, Some(1)));
    /// assert_eq!(ChangedWord::of(text, "pear pear pear").unwrap().answered, None);
    /// ```
    #[must_use]
    pub fn of(text: &str, response: &str) -> Option<Self> {
        let words: Vec<&str> = words(text).collect();
        let common = match words[..] {
            [first, second, third, ..] => {
                if first == second || first == third {
                    first
                } else {
                    second
                }
            }
            _ => return None,
        };
        let mut others = words.iter().enumerate().filter(|(_, word)| **word != common);
        let (Some((place, changed)), None) = (others.next(), others.next()) else { return None };
        let answered = self::words(response).position(|word| word == *changed);
        Some(Self { place, answered })
    }

    /// Whether the answer has it where the text has it.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.answered == Some(self.place)
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let bare = text.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
    bare.filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_changed_word_is_found_wherever_it_stands_and_whatever_stands_around_it() {
        let found = |text: &str, response: &str| {
            ChangedWord::of(text, response).map(|word| (word.place, word.answered, word.is_kept()))
        };
        assert_eq!(found("b a a a", "b a a a"), Some((0, Some(0), true)));
        assert_eq!(found("a b a a", " \"a b a a\"."), Some((1, Some(1), true)));
        assert_eq!(found("a a a b", "a a\nb"), Some((3, Some(2), false)));
        assert_eq!(found("a a a b", "b b b b"), Some((3, Some(0), false)), "the first of several");
        assert_eq!(found("a a a b", ""), Some((3, None, false)));
    }

    #[test]
    fn a_text_that_is_no_such_copy_has_none() {
        for text in ["", "a b", "a a a", "a b c a", "the text of a question"] {
            assert_eq!(ChangedWord::of(text, text), None, "{text}");
        }
    }
}
