//! A prompt's text with every token shaded by the attention it received, so that one sees where the model
//! looked.
//!
//! The scale is logarithmic over [`DECADES`] powers of ten below the largest mass: a needle that holds a
//! hundredth of what the first token holds is still seen. Long stretches that hold little are folded into one
//! line.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::export::kinds;
use crate::export::palette::VIRIDIS;
use crate::export::style::{ColorMode, Style};
use crate::report::document::ShadedToken;
use crate::span::SpanKind;

/// Powers of ten between the faintest shade and the strongest.
pub const DECADES: f64 = 3.0;
/// Stretches shorter than this are shown whatever they hold.
const FOLD_AT_LEAST: usize = 24;
/// Tokens shown on both sides of what is worth showing.
const CONTEXT: usize = 8;

/// Draws the prompt with its legend.
///
/// With colours the background is the mass (purple to yellow, whatever the palette of heatmaps: mass has no
/// good or bad end), needles are underlined and values bold; spans of other kinds are underlined behind a
/// letter. Without, needles stand in `[[..]]`, spans of other kinds in `[letter:..]`, values in `**..**`, and
/// the mass of a token stands behind it in `{..}` when it is at least [`threshold`].
#[must_use]
pub fn draw(tokens: &[ShadedToken], style: &Style) -> String {
    let threshold = threshold(tokens);
    let largest = largest(tokens);
    let mut flow = Flow { style, lines: legend(tokens, style), line: String::new(), used: 0 };
    let mut next = 0;
    for fold in folds(tokens, threshold).into_iter().chain(std::iter::once(tokens.len()..tokens.len())) {
        for index in next..fold.start {
            token(&mut flow, tokens, index, largest, threshold);
        }
        if !fold.is_empty() {
            let mass: f64 = tokens[fold.clone()].iter().map(|token| token.mass).sum();
            flow.end_line();
            flow.put(&format!("[... {} tokens, mass {} ...]", fold.len(), digits(mass)), "2");
            flow.end_line();
        }
        next = fold.end;
    }
    flow.end_line();
    flow.lines.join("\n") + "\n"
}

/// The mass from which a token is worth showing: a hundredth of the largest, and at least twice the mean,
/// which is what attention spread evenly would give.
#[must_use]
pub fn threshold(tokens: &[ShadedToken]) -> f64 {
    let total: f64 = tokens.iter().map(|token| token.mass).sum();
    (largest(tokens) / 100.0).max(2.0 * total / tokens.len() as f64)
}

fn largest(tokens: &[ShadedToken]) -> f64 {
    tokens.iter().map(|token| token.mass).fold(0.0, f64::max)
}

fn is_lit(mass: f64, threshold: f64) -> bool {
    mass > 0.0 && mass >= threshold
}

/// Stretches of tokens to leave out: none is in a span, above the threshold, or near one that is.
pub(in crate::export) fn folds(tokens: &[ShadedToken], threshold: f64) -> Vec<std::ops::Range<usize>> {
    let shown = |token: &ShadedToken| token.part.is_some() || is_lit(token.mass, threshold);
    let anchors = tokens.iter().enumerate().filter(|(_, token)| shown(token)).map(|(index, _)| index);
    let mut folds = Vec::new();
    let mut start = CONTEXT;
    for anchor in anchors.chain([tokens.len()]) {
        let end = anchor.saturating_sub(CONTEXT);
        if end >= start + FOLD_AT_LEAST {
            folds.push(start..end);
        }
        start = start.max(anchor + 1 + CONTEXT);
    }
    folds
}

fn token(flow: &mut Flow, tokens: &[ShadedToken], index: usize, largest: f64, threshold: f64) {
    let token = &tokens[index];
    let style = flow.style;
    if token.text.starts_with(char::is_whitespace) {
        flow.make_room(word_width(&tokens[index..]));
    }
    let before = index.checked_sub(1).map(|before| &tokens[before]);
    let after = tokens.get(index + 1);
    let plain = style.color == ColorMode::None;
    // A span ends where its neighbour begins, and a value with its span.
    let same = |other: Option<&ShadedToken>| other.is_some_and(|other| other.part == token.part);
    let part = |other| token.part.filter(|_| !same(other)).map(|part| part.kind);
    let (begins, ends) = (part(before), part(after));
    let value = |other: Option<&ShadedToken>| {
        plain && token.in_value && !(same(other) && other.is_some_and(|other| other.in_value))
    };

    let mut codes = Vec::new();
    let shade = 1.0 + (token.mass / largest).log10() / DECADES;
    if !plain && shade > 0.0 {
        codes.push(style.background(VIRIDIS.color(shade)));
    }
    if !plain && token.in_value {
        codes.push("1".to_string());
    }
    if !plain && token.part.is_some() {
        codes.push("4".to_string());
    }
    let codes = codes.join(";");

    // Marks stand behind the white space that many tokens begin with, where a writer would put them.
    let letter = begins.and_then(kinds::letter);
    let marked = plain || letter.is_some();
    let white = if marked { token.text.len() - token.text.trim_start().len() } else { 0 };
    let (white, rest) = token.text.split_at(white);
    flow.put_lines(white, if plain { &codes } else { "" });
    match (begins, letter) {
        (Some(kind), Some(letter)) if !plain => {
            flow.put(&format!("{letter}:"), &style.background(kinds::color(kind)));
        }
        (Some(_), Some(letter)) => flow.put(&format!("[{letter}:"), ""),
        (Some(_), None) if plain => flow.put("[[", ""),
        _ => {}
    }
    if value(before) {
        flow.put("**", "");
    }
    flow.put_lines(rest, &codes);
    if plain && is_lit(token.mass, threshold) {
        flow.put(&format!("{{{}}}", digits(token.mass)), "");
    }
    if value(after) {
        flow.put("**", "");
    }
    if let Some(kind) = ends.filter(|_| plain) {
        flow.put(if kind == SpanKind::Target { "]]" } else { "]" }, "");
    }
}

/// Columns of the word that begins with the first token: up to the next token that begins with white space.
fn word_width(tokens: &[ShadedToken]) -> usize {
    let word = tokens
        .iter()
        .enumerate()
        .take_while(|(i, token)| *i == 0 || !token.text.starts_with(char::is_whitespace));
    word.map(|(_, token)| token.text.width()).sum()
}

fn legend(tokens: &[ShadedToken], style: &Style) -> Vec<String> {
    let total: f64 = tokens.iter().map(|token| token.mass).sum();
    let largest = largest(tokens);
    let present = kinds::present(tokens);
    let needle = present.is_empty() || present.contains(&SpanKind::Target);
    let others: Vec<(SpanKind, String)> =
        present.into_iter().filter_map(|kind| Some((kind, kinds::letter(kind)?))).collect();
    let counts = format!("{} tokens, attention mass {}", tokens.len(), digits(total));
    let mut lines = if style.color == ColorMode::None {
        let rule = format!("mass in {{..}} from {} on", digits(threshold(tokens)));
        let others = others.iter().map(|(kind, letter)| format!("{kind} in [{letter}:..], "));
        let needle = if needle { "needle in [[..]], " } else { "" };
        style.wrap(&format!("{counts}; {needle}{}value in **..**, {rule}", others.collect::<String>()))
    } else {
        let words = match (needle, others.is_empty()) {
            (_, true) => "needle underlined, value bold",
            (true, false) => "needle underlined, other spans behind their letter, values bold",
            (false, false) => "spans underlined behind their letter, values bold",
        };
        let mut lines = style.wrap(&format!("{counts}; {words}"));
        let row = |(kind, letter): &(SpanKind, String)| {
            format!("{} {kind}", style.on(kinds::color(*kind), &format!("{letter}:")))
        };
        lines.extend(others.iter().map(row));
        let (low, high) = (digits(largest / 10f64.powf(DECADES)), digits(largest));
        let steps = style.columns().saturating_sub(low.len() + high.len() + 2).min(20);
        let bar: String =
            (1..=steps).map(|step| style.on(VIRIDIS.color(step as f64 / steps as f64), " ")).collect();
        lines.push(format!("{low} {bar} {high}"));
        lines.extend(style.wrap("mass of a token, logarithmic scale"));
        lines
    };
    lines.push(String::new());
    lines
}

/// Two significant digits.
pub(in crate::export) fn digits(mass: f64) -> String {
    if mass > 0.0 && mass < 1e-4 {
        return format!("{mass:.1e}");
    }
    let decimals = if mass > 0.0 { (1.0 - mass.log10().floor()).max(0.0) as usize } else { 0 };
    format!("{mass:.decimals$}")
}

/// Text that runs on from line to line.
struct Flow<'a> {
    style: &'a Style,
    lines: Vec<String>,
    line: String,
    used: usize,
}

impl Flow<'_> {
    /// Adds `text`; its line ends are shown and end the line.
    fn put_lines(&mut self, text: &str, codes: &str) {
        let mut segments = text.split('\n');
        self.put(segments.next().unwrap_or_default(), codes);
        for segment in segments {
            self.put(self.style.pick("↵", "\\n"), codes);
            self.end_line();
            self.put(segment, codes);
        }
    }

    /// Adds `text`, which has no line ends, with the escape `codes`. It begins a new line when it does not
    /// fit, and is broken when it does not fit into one.
    fn put(&mut self, text: &str, codes: &str) {
        let text = self.style.clean(text);
        if self.used + text.width() > self.style.columns() && self.used > 0 {
            self.end_line();
        }
        let mut piece = String::new();
        for c in text.chars() {
            let width = c.width().unwrap_or(0);
            if self.used + width > self.style.columns() {
                self.push(&piece, codes);
                piece.clear();
                self.end_line();
            }
            piece.push(c);
            self.used += width;
        }
        self.push(&piece, codes);
    }

    /// Ends the line when a word of this width does not fit on it any more but fits on one of its own.
    fn make_room(&mut self, width: usize) {
        let columns = self.style.columns();
        if self.used + width > columns && width <= columns && self.used > 0 {
            self.end_line();
        }
    }

    fn push(&mut self, piece: &str, codes: &str) {
        if self.style.color == ColorMode::None || codes.is_empty() || piece.is_empty() {
            self.line.push_str(piece);
        } else {
            self.line.push_str(&format!("\x1b[{codes}m{piece}\x1b[0m"));
        }
    }

    /// Ends the line if anything is on it.
    fn end_line(&mut self) {
        if !self.line.is_empty() {
            self.lines.push(std::mem::take(&mut self.line));
        }
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::export::palette::{RAG, Rgb};
    use crate::export::style::{Charset, visible};
    use crate::report::document::Part;

    const NEEDLE: Option<Part> = Some(Part { kind: SpanKind::Target, span: 0 });

    fn tokens() -> Vec<ShadedToken> {
        let plain = |text: &str, mass| ShadedToken { text: text.into(), mass, part: None, in_value: false };
        let needle =
            |text: &str, mass, in_value| ShadedToken { text: text.into(), mass, part: NEEDLE, in_value };
        let mut tokens = vec![plain("<s>", 0.5)];
        tokens.extend((0..50).map(|i| plain(&format!(" w{i}"), 0.001)));
        tokens.extend([needle(" Key", 0.05, false), needle(" is", 0.0, false), needle(" 7", 0.25, true)]);
        tokens.extend([
            needle(" 8", 0.125, true),
            needle(".", 0.0, false),
            plain("\nAsk", 0.025),
            plain(":", 0.0),
        ]);
        tokens
    }

    const TRUECOLOR: Style = Style {
        color: ColorMode::Truecolor,
        charset: Charset::Unicode,
        palette: RAG,
        width: 80,
        csv_safe: false,
    };

    #[test]
    fn without_colours_needle_value_and_masses_are_marked() {
        assert_eq!(
            draw(&tokens(), &Style::plain(72)),
            "\
58 tokens, attention mass 1.0; needle in [[..]], value in **..**, mass
in {..} from 0.034 on

<s>{0.50} w0 w1 w2 w3 w4 w5 w6 w7
[... 34 tokens, mass 0.034 ...]
 w42 w43 w44 w45 w46 w47 w48 w49 [[Key{0.050} is **7{0.25} 8{0.12}**.]]
\\n
Ask:
"
        );
    }

    #[test]
    fn with_colours_mass_is_the_background_and_the_needle_is_underlined() {
        let drawing = draw(&tokens(), &TRUECOLOR);
        // 0.05 is one decade below 0.5, a third of the way down; 0.0 has no background at all.
        let Rgb(r, g, b) = VIRIDIS.color(2.0 / 3.0);
        assert!(
            drawing.contains(&format!("\x1b[48;2;{r};{g};{b};38;2;0;0;0;4m Key\x1b[0m\x1b[4m is\x1b[0m")),
            "{drawing:?}"
        );
        assert!(drawing.contains(";1;4m 7\x1b[0m"), "{drawing:?}");
        assert!(drawing.contains("\x1b[2m[... 34 tokens, mass 0.034 ...]\x1b[0m\n"));
        assert!(visible(&drawing).contains("<s> w0 w1 w2 w3 w4 w5 w6 w7\n[..."));
        assert!(visible(&drawing).contains("w49 Key is 7 8.↵\nAsk:"), "{}", visible(&drawing));
    }

    /// Two spans side by side, each of a kind of its own, and the needle.
    fn several() -> Vec<ShadedToken> {
        let token = |text: &str, part: Option<(SpanKind, usize)>, in_value| ShadedToken {
            text: text.into(),
            mass: 0.0,
            part: part.map(|(kind, span)| Part { kind, span }),
            in_value,
        };
        let (stale, other) = ((SpanKind::Stale, 0), (SpanKind::Stale, 1));
        let (hop, target) = ((SpanKind::Hop(2), 2), (SpanKind::Target, 3));
        vec![
            token("a:", Some(stale), false),
            token(" 1", Some(stale), true),
            token(" b:", Some(other), false),
            token(" 2", Some(other), true),
            token(" c", Some(hop), false),
            token(" so", None, false),
            token(" d:", Some(target), false),
            token(" 3", Some(target), true),
        ]
    }

    #[test]
    fn kinds_of_spans_have_a_letter_each_with_and_without_colours() {
        assert_eq!(
            draw(&several(), &Style::plain(100)),
            "\
8 tokens, attention mass 0; needle in [[..]], stale in [s:..], hop-2 in [2:..], value in **..**,
mass in {..} from 0 on

[s:a: **1**] [s:b: **2**] [2:c] so [[d: **3**]]
"
        );
        let drawing = draw(&several(), &TRUECOLOR);
        assert!(visible(&drawing).contains("s: stale\n2: hop-2\n"), "{drawing}");
        assert!(visible(&drawing).ends_with("s:a: 1 s:b: 2 2:c so d: 3\n"), "{}", visible(&drawing));
        let Rgb(r, g, b) = kinds::color(SpanKind::Stale);
        assert!(
            drawing.contains(&format!("\x1b[48;2;{r};{g};{b};38;2;0;0;0ms:\x1b[0m\x1b[4mb:\x1b[0m")),
            "{drawing:?}"
        );
    }

    #[test]
    fn a_word_of_several_tokens_is_not_broken_at_the_end_of_a_line() {
        let texts = ["one", " more", " two", " af", "ter", "noon", " end"];
        let tokens: Vec<_> = texts
            .iter()
            .map(|text| ShadedToken { text: (*text).into(), mass: 0.0, part: NEEDLE, in_value: false })
            .collect();
        let drawing = visible(&draw(&tokens, &Style { width: 20, ..TRUECOLOR }));
        assert!(drawing.ends_with("one more two\n afternoon end\n"), "{drawing}");
    }

    #[test]
    fn even_attention_folds_all_but_the_needle_and_its_surroundings() {
        let tokens: Vec<_> = (0..500)
            .map(|i| {
                let part = NEEDLE.filter(|_| i == 250);
                ShadedToken { text: " x".into(), mass: 0.002, part, in_value: false }
            })
            .collect();
        let drawing = visible(&draw(&tokens, &TRUECOLOR));
        assert_eq!(drawing.matches(" x").count(), 8 + 17 + 8);
        assert_eq!(drawing.matches("[... ").count(), 2);
    }

    #[test]
    fn a_prompt_without_any_mass_is_shown_without_shades() {
        let tokens = [ShadedToken { text: "a\x1b[31mb".into(), mass: 0.0, part: None, in_value: false }];
        assert!(draw(&tokens, &TRUECOLOR).ends_with("\n\na\\u{1b}[31mb\n"));
        assert!(draw(&[], &TRUECOLOR).starts_with("0 tokens"));
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(
            width in 20usize..100,
            texts in proptest::collection::vec(
                ("(\\PC|[\n\r\t a-z]){0,30}", 0.0..1.0f64, 0usize..4, any::<bool>()),
                0..60,
            ),
            color in prop_oneof![Just(ColorMode::None), Just(ColorMode::Ansi256), Just(ColorMode::Truecolor)],
            ascii: bool,
        ) {
            let tokens: Vec<_> = texts
                .into_iter()
                .map(|(text, mass, span, in_value)| {
                    let kinds = [SpanKind::Target, SpanKind::Stale, SpanKind::Hop(12)];
                    let part = kinds.get(span).map(|&kind| Part { kind, span });
                    ShadedToken { text, mass: mass.powi(8), part, in_value }
                })
                .collect();
            let charset = if ascii { Charset::Ascii } else { Charset::Unicode };
            let drawing = draw(&tokens, &Style { color, charset, palette: RAG, width, csv_safe: false });
            for line in visible(&drawing).lines() {
                prop_assert!(line.chars().map(|c| c.width().unwrap_or(0)).sum::<usize>() <= width, "{line:?}");
            }
            prop_assert!(!ascii || drawing.is_ascii());
        }
    }
}
