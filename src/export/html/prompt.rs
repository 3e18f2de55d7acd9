//! Prompts with every token on a background that shows the attention it received, on the scale of the
//! terminal: the needle underlined, its value bold, long stretches that hold little folded.

use std::fmt::Write as _;

use crate::export::palette::VIRIDIS;
use crate::export::svg::escaped;
use crate::export::terminal::shaded::{DECADES, digits, folds, threshold};
use crate::report::document::{PromptToken, ShadedToken};

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
    format!("<div class=\"prompt-text\">{}</div>", folded(tokens, &class, &title))
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
            in_needle: token.in_needle,
            in_value: token.in_value,
        })
        .collect();
    let key = escaped(key);
    format!(
        "<div class=\"prompt\"><p class=\"shade\">Attention of <label><input type=\"radio\" class=\"mean\" \
         name=\"shade-{key}\" checked> the mean over all heads</label> <label><input type=\"radio\" \
         class=\"top\" name=\"shade-{key}\"> the head with the most on the needle</label>; <u>needle</u>, \
         <b>value</b>; the more the stronger, over {DECADES} powers of ten</p>\n<div class=\"prompt-text\">{}</div></div>",
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
        let class = class(index);
        let attributes = match class.is_empty() {
            true => String::new(),
            false => format!(" class=\"{class}\" title=\"{}\"", title(index)),
        };
        let _ = match (token.in_needle, token.in_value) {
            (_, true) => write!(html, "<u><b{attributes}>{text}</b></u>"),
            (true, false) => write!(html, "<u{attributes}>{text}</u>"),
            (false, false) if attributes.is_empty() => write!(html, "{text}"),
            (false, false) => write!(html, "<span{attributes}>{text}</span>"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_mass_has_the_strongest_shade_and_nothing_has_none() {
        assert_eq!([1.0, 0.5e-3, 0.0, f64::NAN].map(|mass| shade(mass, 1.0)), [SHADES, 0, 0, 0]);
        assert_eq!(shade(0.0, 0.0), 0);
        assert!(shade(0.01, 1.0) < shade(0.1, 1.0));
    }
}
