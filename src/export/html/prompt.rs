//! Prompts with every token on a background that shows the attention it received, on the scale of the
//! terminal: the needle underlined, its value bold, spans of other kinds behind a letter, long stretches that
//! hold little folded.

use std::fmt::Write as _;

use crate::export::kinds;
use crate::export::palette::VIRIDIS;
use crate::export::svg::escaped;
use crate::export::terminal::shaded::{DECADES, digits, folds, threshold};
use crate::report::document::{PromptToken, ShadedToken};
use crate::span::SpanKind;

/// Shades, from faint to strong.
const SHADES: usize = 15;

/// The part of the style sheet that has the shades: of a prompt with one attention, and of one with two, of
/// which a button chooses.
pub(super) fn shades() -> String {
    let rules = |position: fn(f64) -> f64| -> String {
        let rule = |shade: usize| {
            let color = VIRIDIS.color(position(shade as f64 / SHADES as f64));
            let names =
                format!(".s{shade},.prompt:has(.mean:checked) .m{shade},.prompt:has(.top:checked) .t{shade}");
            format!("{names}{{background:{};color:{}}}\n", color.hex(), color.text_color().hex())
        };
        (1..=SHADES).map(rule).collect()
    };
    // The more mass, the further from the page's own colour.
    let (light, dark) = (rules(|shade| 1.0 - shade), rules(|shade| shade));
    format!("{light}@media screen and (prefers-color-scheme:dark){{\n{dark}}}\n")
}

/// The shade of a mass; 0 below the faintest.
fn shade(mass: f64, largest: f64) -> usize {
    let shade = 1.0 + (mass / largest).log10() / DECADES;
    // Of nothing, and where all is nothing, it is no number.
    if shade > 0.0 { (shade.min(1.0) * SHADES as f64).ceil() as usize } else { 0 }
}

fn largest(masses: impl Iterator<Item = f64>) -> f64 {
    masses.fold(0.0, f64::max)
}

/// A prompt with one attention.
pub(super) fn draw(tokens: &[ShadedToken]) -> String {
    let largest = largest(tokens.iter().map(|token| token.mass));
    let class = |index: usize| match shade(tokens[index].mass, largest) {
        0 => String::new(),
        shade => format!("s{shade}"),
    };
    let title = |index: usize| format!("{:.2e}", tokens[index].mass);
    let legend = match legend(tokens) {
        kinds if kinds.is_empty() => kinds,
        kinds => format!("<p class=\"shade\"><u>needle</u>, <b>value</b>{kinds}</p>\n"),
    };
    format!("{legend}<div class=\"prompt-text\">{}</div>", folded(tokens, &class, &title))
}

/// The letters of the kinds in a prompt, with their names; nothing where there are needles alone.
fn legend(tokens: &[ShadedToken]) -> String {
    let mark = |kind| Some(format!(", {}<u class=\"{}\">{kind}</u>", letter(kind)?, class(kind)?));
    kinds::present(tokens).into_iter().filter_map(mark).collect()
}

/// What a span of this kind begins with; nothing for a needle.
fn letter(kind: SpanKind) -> Option<String> {
    Some(format!("<sup class=\"kind {}\">{}</sup>", class(kind)?, kinds::letter(kind)?))
}

/// The class of a kind that has a letter.
fn class(kind: SpanKind) -> Option<&'static str> {
    match kind {
        SpanKind::Target => None,
        SpanKind::Other => Some("k-other"),
        SpanKind::Distractor => Some("k-distractor"),
        SpanKind::Stale => Some("k-stale"),
        SpanKind::Hop(_) => Some("k-hop"),
        SpanKind::AnswerSource => Some("k-source"),
    }
}

/// The part of the style sheet that has the colours of kinds.
pub(super) fn kind_colors() -> String {
    let kinds =
        [SpanKind::Other, SpanKind::Distractor, SpanKind::Stale, SpanKind::Hop(1), SpanKind::AnswerSource];
    let rule = |kind: SpanKind| {
        let (class, color) = (class(kind)?, kinds::color(kind));
        let (hex, text) = (color.hex(), color.text_color().hex());
        Some(format!(
            "sup.{class}{{background:{hex};color:{text}}}u.{class}{{text-decoration-color:{hex}}}\n"
        ))
    };
    kinds.into_iter().filter_map(rule).collect()
}

/// A prompt with two: the mean over all heads, and that of the head with the most on the needle. `key` tells
/// it from the other prompts of the page.
pub(super) fn draw_two(tokens: &[PromptToken], key: &str) -> String {
    let mean = largest(tokens.iter().map(|token| token.mean));
    let top = largest(tokens.iter().map(|token| token.top));
    let class = |index: usize| {
        let token = &tokens[index];
        let of = |letter: char, shade: usize| match shade {
            0 => String::new(),
            shade => format!("{letter}{shade}"),
        };
        let both = [of('m', shade(token.mean, mean)), of('t', shade(token.top, top))];
        both.join(" ").trim().to_string()
    };
    let title = |index: usize| format!("mean {:.2e}, top head {:.2e}", tokens[index].mean, tokens[index].top);
    // What is strong in either is shown.
    let share = |mass: f64, largest: f64| if largest > 0.0 { mass / largest } else { 0.0 };
    let shaded: Vec<ShadedToken> = tokens
        .iter()
        .map(|token| ShadedToken {
            text: token.text.clone(),
            mass: share(token.mean, mean).max(share(token.top, top)),
            part: token.part,
            in_value: token.in_value,
        })
        .collect();
    let key = escaped(key);
    format!(
        "<div class=\"prompt\"><p class=\"shade\">Attention of <label><input type=\"radio\" class=\"mean\" \
         name=\"shade-{key}\" checked> the mean over all heads</label> <label><input type=\"radio\" \
         class=\"top\" name=\"shade-{key}\"> the head with the most on the needle</label>; <u>needle</u>, \
         <b>value</b>{}; the more the stronger, over {DECADES} powers of ten</p>\n<div class=\"prompt-text\">{}</div></div>",
        legend(&shaded),
        folded(&shaded, &class, &title)
    )
}

/// Tokens with stretches that hold little folded. `masses` are as large as the largest one, or shares of it.
fn folded(
    tokens: &[ShadedToken],
    class: &dyn Fn(usize) -> String,
    title: &dyn Fn(usize) -> String,
) -> String {
    let mut html = String::new();
    let mut next = 0;
    for fold in folds(tokens, threshold(tokens)).into_iter().chain([tokens.len()..tokens.len()]) {
        spans(&mut html, tokens, next..fold.start, class, title);
        if !fold.is_empty() {
            let most = largest(tokens[fold.clone()].iter().map(|token| token.mass));
            let all = largest(tokens.iter().map(|token| token.mass));
            let share = if all > 0.0 { most / all } else { 0.0 };
            let _ = write!(
                html,
                "<details class=\"fold\"><summary>{} tokens, none above {} of the largest mass</summary>",
                fold.len(),
                digits(share)
            );
            spans(&mut html, tokens, fold.clone(), class, title);
            html.push_str("</details>");
        }
        next = fold.end;
    }
    html
}

/// Tokens as they are; neighbours without a shade share an element, or need none.
fn spans(
    html: &mut String,
    tokens: &[ShadedToken],
    range: std::ops::Range<usize>,
    class: &dyn Fn(usize) -> String,
    title: &dyn Fn(usize) -> String,
) {
    for index in range {
        let token = &tokens[index];
        let text = escaped(&token.text);
        let begins = index == 0 || tokens[index - 1].part != token.part;
        html.extend(token.part.filter(|_| begins).and_then(|part| letter(part.kind)));
        let (shade, kind) = (class(index), token.part.map(|part| self::class(part.kind).unwrap_or_default()));
        let attributes = |classes: &[&str]| {
            let named =
                classes.iter().filter(|class| !class.is_empty()).copied().collect::<Vec<_>>().join(" ");
            let class = if named.is_empty() { named } else { format!(" class=\"{named}\"") };
            let title = if shade.is_empty() { String::new() } else { format!(" title=\"{}\"", title(index)) };
            class + &title
        };
        let _ = match (kind, token.in_value) {
            (Some(""), true) => write!(html, "<u><b{}>{text}</b></u>", attributes(&[&shade])),
            (Some(kind), true) => {
                write!(html, "<u class=\"{kind}\"><b{}>{text}</b></u>", attributes(&[&shade]))
            }
            (Some(kind), false) => write!(html, "<u{}>{text}</u>", attributes(&[kind, &shade])),
            (None, _) if shade.is_empty() => write!(html, "{text}"),
            (None, _) => write!(html, "<span{}>{text}</span>", attributes(&[&shade])),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::Part;

    #[test]
    fn the_largest_mass_has_the_strongest_shade_and_nothing_has_none() {
        assert_eq!([1.0, 0.5e-3, 0.0, f64::NAN].map(|mass| shade(mass, 1.0)), [SHADES, 0, 0, 0]);
        assert_eq!(shade(0.0, 0.0), 0);
        assert!(shade(0.01, 1.0) < shade(0.1, 1.0));
    }

    #[test]
    fn kinds_of_spans_have_a_letter_and_a_class_and_stand_in_a_legend() {
        let token = |text: &str, part: Option<(SpanKind, usize)>, in_value| ShadedToken {
            text: text.into(),
            mass: 0.0,
            part: part.map(|(kind, span)| Part { kind, span }),
            in_value,
        };
        let (stale, other) = ((SpanKind::Stale, 0), (SpanKind::Stale, 1));
        let tokens = [
            token("a", Some(stale), false),
            token("1", Some(stale), true),
            token("b", Some(other), false),
            token("c", Some((SpanKind::Target, 2)), false),
        ];
        let letter = "<sup class=\"kind k-stale\">s</sup>";
        let text = format!(
            "{letter}<u class=\"k-stale\">a</u><u class=\"k-stale\"><b>1</b></u>{letter}<u class=\"k-stale\">b</u><u>c</u>"
        );
        let drawn = draw(&tokens);
        assert!(drawn.contains(&format!("<div class=\"prompt-text\">{text}</div>")), "{drawn}");
        assert!(drawn.contains(&format!(", {letter}<u class=\"k-stale\">stale</u></p>")), "{drawn}");
        assert!(!draw(&tokens[3..]).contains("shade"), "of needles alone nothing has to be said");
        let rules = kind_colors();
        for kind in [SpanKind::Other, SpanKind::Distractor, SpanKind::Hop(7), SpanKind::AnswerSource] {
            assert!(rules.contains(&format!("u.{}{{", class(kind).unwrap())), "{rules}");
        }
    }
}
