//! What kind of character one is: scripts without spaces between words, digits, and parts of what is seen as
//! one character.

use unicode_normalization_alignments::char::{canonical_combining_class, is_combining_mark};

/// How the words of a script are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    /// By what stands between them.
    Spaced,
    /// By spaces, with particles behind them.
    Korean,
    /// Not at all in general, but a word in katakana ends with it.
    Katakana,
    /// Not at all: Chinese, hiragana, Thai, Lao, Tibetan, Burmese, Khmer, Javanese and others.
    Unspaced,
}

impl Script {
    pub(super) fn of(c: char) -> Self {
        match c {
            '\0'..='\u{DFF}' => Self::Spaced,
            '\u{1100}'..='\u{11FF}'
            | '\u{3130}'..='\u{318F}'
            | '\u{A960}'..='\u{A97F}'
            | '\u{AC00}'..='\u{D7FF}' => Self::Korean,
            '\u{30A0}'..='\u{30FF}' | '\u{31F0}'..='\u{31FF}' => Self::Katakana,
            '\u{E01}'..='\u{E4F}'
            | '\u{E5A}'..='\u{ECF}'
            | '\u{EDA}'..='\u{109F}'
            | '\u{1780}'..='\u{17FF}'
            | '\u{1950}'..='\u{19DF}'
            | '\u{1A20}'..='\u{1AAF}'
            | '\u{1B00}'..='\u{1B7F}'
            | '\u{2E80}'..='\u{2FDF}'
            | '\u{3005}'..='\u{309F}'
            | '\u{3100}'..='\u{312F}'
            | '\u{31A0}'..='\u{31BF}'
            | '\u{3400}'..='\u{4DBF}'
            | '\u{4E00}'..='\u{A4CF}'
            | '\u{A980}'..='\u{A9FF}'
            | '\u{AA60}'..='\u{AADF}'
            | '\u{F900}'..='\u{FAFF}'
            | '\u{1B000}'..='\u{1B16F}'
            | '\u{20000}'..='\u{3FFFF}' => Self::Unspaced,
            _ => Self::Spaced,
        }
    }
}

/// Whether a word or number may hold it.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || is_combining_mark(c)
}

/// Digits, and the numerals of Chinese, which multiply the digits before them.
pub(super) fn is_numeral(c: char) -> bool {
    c.is_ascii_digit() || "〇零一二三四五六七八九十百千万萬亿億兆两兩".contains(c)
}

/// The zeros of the scripts that have digits of their own; nine digits follow each.
#[rustfmt::skip]
const ZEROS: &[u32] = &[
    0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0,
    0xF20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50,
    0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136,
    0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50,
    0x11DA0, 0x16A60, 0x16AC0, 0x16B50, 0x1E140, 0x1E2F0, 0x1E950, 0x1FBF0,
];

/// The ASCII digit of the same value.
pub(super) fn digit(c: char) -> Option<char> {
    let code = u32::from(c);
    let zero = ZEROS[..ZEROS.partition_point(|&zero| zero <= code)].last()?;
    char::from_digit(code - zero, 10)
}

/// Whether it differs from its compatibility decomposition by its look alone: ligatures, joined shapes, half
/// and full width, mathematical alphabets, radicals, Roman numerals.
pub(super) fn is_styled(c: char) -> bool {
    matches!(c,
        '\u{132}'..='\u{133}' | '\u{1C4}'..='\u{1CC}' | '\u{1F1}'..='\u{1F3}' | '\u{2102}'..='\u{2116}'
        | '\u{2119}'..='\u{211D}' | '\u{2124}'..='\u{2131}' | '\u{2160}'..='\u{217F}'
        | '\u{2E80}'..='\u{2FDF}' | '\u{FB00}'..='\u{FDFF}' | '\u{FE50}'..='\u{FEFC}'
        | '\u{FF01}'..='\u{FFEF}' | '\u{1D400}'..='\u{1D7FF}')
}

/// Whether nothing is seen of it: soft hyphens, joiners, directions, variation selectors, byte order marks;
/// and the stroke that makes Arabic words longer.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{640}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{E0000}'..='\u{E0FFF}')
}

/// Whether it is a part of the character before it: marks, sound marks of half width, Korean vowels and
/// finals, and the vowels that Thai and Lao write behind a consonant.
pub(super) fn is_extending(c: char) -> bool {
    !c.is_ascii()
        && (is_combining_mark(c)
            || matches!(c,
                '\u{1160}'..='\u{11FF}' | '\u{D7B0}'..='\u{D7FF}' | '\u{E30}' | '\u{E32}'..='\u{E33}'
                | '\u{E45}' | '\u{EB0}' | '\u{EB2}'..='\u{EB3}' | '\u{FF9E}'..='\u{FF9F}'))
}

/// Whether the letter behind it is a part of the same character: signs that stack consonants, and the vowels
/// that Thai and Lao write before a consonant.
pub(super) fn joins_next(c: char) -> bool {
    const VIRAMA: u8 = 9;
    matches!(c, '\u{E40}'..='\u{E44}' | '\u{EC0}'..='\u{EC4}')
        || !c.is_ascii() && canonical_combining_class(c) == VIRAMA
}
