//! What minijinja does otherwise than Jinja2 in the sandbox that transformers renders templates in, put
//! right, and widths that would take all memory refused.

use minijinja::filters;
use minijinja::value::{Kwargs, Rest, StringInput, Value, ValueKind, ValueOrKwargs, from_args};
use minijinja::{Environment, Error, ErrorKind, State};
use minijinja_contrib::pycompat;

/// Columns that a text is filled or indented to, at most.
const WIDEST: usize = 10_000;

pub(super) fn like_jinja2(environment: &mut Environment<'static>) {
    environment.set_unknown_method_callback(method);
    environment.add_test("iterable", is_iterable);
    environment.add_test("sequence", is_sequence);
    environment
        .add_test("number", |value: &Value| matches!(value.kind(), ValueKind::Number | ValueKind::Bool));
    environment.add_test("callable", is_callable);
    environment.add_filter("length", length);
    environment.add_filter("count", length);
    environment.add_filter("format", format);
    environment.add_filter("indent", indent);
    environment.add_filter("default", default);
    environment.add_filter("d", default);
    environment.add_filter("items", items);
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_filter("replace", replace);
    environment
        .add_function("cycler", |items: Rest<Value>| minijinja_contrib::globals::cycler(items.to_vec()));
    environment.add_function("joiner", minijinja_contrib::globals::joiner);
    environment.add_filter("center", |text: String, width: Option<usize>| {
        pad(&text, width.unwrap_or(80), ' ', Side::Both)
    });
    environment.add_filter("wordcount", |text: &str| text.split_whitespace().count());
}

fn wrong(problem: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, problem.into())
}

/// `iter(value)` works in Python: on an undefined value too, but not on `none`.
fn is_iterable(value: &Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
}

/// It has a length and can be indexed: texts and mappings as well.
fn is_sequence(value: &Value) -> bool {
    let kinds =
        [ValueKind::Undefined, ValueKind::String, ValueKind::Seq, ValueKind::Map, ValueKind::Iterable];
    kinds.contains(&value.kind())
}

fn is_callable(value: &Value) -> bool {
    value.is_undefined() || value.kind() == ValueKind::Plain
}

/// An undefined value has no items; `none` has no length.
fn length(value: &Value) -> Result<usize, Error> {
    if value.is_undefined() { Ok(0) } else { filters::length(value) }
}

/// Jinja2's second argument has a name.
fn default(value: &Value, other: Option<Value>, lax: Option<bool>, kwargs: Kwargs) -> Result<Value, Error> {
    let other =
        other.map_or_else(|| kwargs.get::<Option<Value>>("default_value"), |other| Ok(Some(other)))?;
    let lax = lax.map_or_else(|| kwargs.get::<Option<bool>>("boolean"), |lax| Ok(Some(lax)))?;
    kwargs.assert_all_used()?;
    let missing = value.is_undefined() || (lax == Some(true) && !value.is_true());
    Ok(if missing { other.unwrap_or_else(|| Value::from("")) } else { value.clone() })
}

/// An undefined value has no items.
fn items(value: &Value) -> Result<Value, Error> {
    if value.is_undefined() { Ok(Value::from(Vec::<Value>::new())) } else { filters::items(value) }
}

/// What is no number is 0, or the default.
fn int(
    state: &State,
    value: &Value,
    default: Option<Value>,
    base: Option<u32>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let otherwise =
        default.clone().map_or_else(|| kwargs.get::<Option<Value>>("default"), |value| Ok(Some(value)))?;
    filters::int(state, value, default, base, kwargs)
        .or_else(|_| Ok(otherwise.unwrap_or_else(|| Value::from(0))))
}

fn float(state: &State, value: &Value, default: Option<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    let otherwise =
        default.clone().map_or_else(|| kwargs.get::<Option<Value>>("default"), |value| Ok(Some(value)))?;
    filters::float(state, value, default, kwargs)
        .or_else(|_| Ok(otherwise.unwrap_or_else(|| Value::from(0.0))))
}

/// The first `count` places, where that is given.
fn replace(text: &Value, from: &Value, to: &Value, count: Option<usize>) -> String {
    let [text, from, to] = [text, from, to].map(Value::to_string);
    count.map_or_else(|| text.replace(&from, &to), |count| text.replacen(&from, &to, count))
}

fn format(state: &mut State, text: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let values = args.iter().map(|arg| arg.clone().into_value()).collect::<Vec<_>>();
    check_widths(text.as_str().unwrap_or_default(), &values)?;
    filters::format(state, text, args)
}

fn indent(
    text: StringInput<'_>,
    width: Option<usize>,
    first: Option<bool>,
    blank: Option<bool>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let given = width.map_or_else(|| kwargs.get::<Option<usize>>("width"), |width| Ok(Some(width)))?;
    if given.is_some_and(|width| width > WIDEST) {
        return Err(wrong(format!("indent of more than {WIDEST} columns")));
    }
    filters::indent(text, width, first, blank, kwargs)
}

/// Refuses a number of more than four digits in a format, or beside one that takes its width from there.
fn check_widths(text: &str, args: &[Value]) -> Result<(), Error> {
    let digits =
        text.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.trim_start_matches('0').len()).max();
    let given =
        text.contains('*') && args.iter().any(|arg| arg.as_usize().is_some_and(|width| width > WIDEST));
    match given || digits.is_some_and(|digits| digits > 4) {
        true => Err(wrong(format!("a width of more than {WIDEST} columns"))),
        false => Ok(()),
    }
}

enum Side {
    Left,
    Right,
    Both,
}

/// The text with `fill` on these sides, so that it has `width` characters.
fn pad(text: &str, width: usize, fill: char, side: Side) -> Result<String, Error> {
    if width > WIDEST {
        return Err(wrong(format!("a width of more than {WIDEST} columns")));
    }
    let missing = width.saturating_sub(text.chars().count());
    let left = match side {
        Side::Left => missing,
        Side::Right => 0,
        // Python puts the odd one to the left when the width is odd.
        Side::Both => missing / 2 + (missing & width & 1),
    };
    let filled = |count: usize| std::iter::repeat_n(fill, count);
    Ok(filled(left).chain(text.chars()).chain(filled(missing - left)).collect())
}

/// Methods of Python's texts and lists that minijinja's own set leaves out.
fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        if let Some(result) = text_method(text, name, args) {
            return result;
        }
        if name == "format" {
            check_widths(text, args)?;
        }
    } else if name == "index" && matches!(value.kind(), ValueKind::Seq) {
        let (what,): (&Value,) = from_args(args)?;
        let place = value.try_iter()?.position(|item| item == *what);
        return place.map(Value::from).ok_or_else(|| wrong(format!("{what} is not in the list")));
    } else if name == "copy" && matches!(value.kind(), ValueKind::Seq | ValueKind::Map) {
        return Ok(value.clone());
    }
    pycompat::unknown_method_callback(state, value, name, args)
}

fn text_method(text: &str, name: &str, args: &[Value]) -> Option<Result<Value, Error>> {
    let padded = |side: Side| {
        let (width, fill): (usize, Option<char>) = from_args(args)?;
        pad(text, width, fill.unwrap_or(' '), side).map(Value::from)
    };
    let one = |apply: &dyn Fn(&str) -> Value| from_args(args).map(|(what,): (&str,)| apply(what));
    let place = |at: Option<usize>| {
        at.map(|at| Value::from(text[..at].chars().count())).ok_or_else(|| wrong("substring not found"))
    };
    Some(match name {
        "ljust" => padded(Side::Right),
        "rjust" => padded(Side::Left),
        "center" => padded(Side::Both),
        "zfill" => from_args(args).and_then(|(width,): (usize,)| {
            let (sign, digits) = text.split_at(usize::from(text.starts_with(['+', '-'])));
            let digits = pad(digits, width.saturating_sub(sign.len()), '0', Side::Left)?;
            Ok(Value::from(sign.to_string() + &digits))
        }),
        "removeprefix" => one(&|what| Value::from(text.strip_prefix(what).unwrap_or(text))),
        "removesuffix" => one(&|what| Value::from(text.strip_suffix(what).unwrap_or(text))),
        "partition" => one(&|what| {
            let (before, after) =
                text.split_once(what).map_or((text, None), |(before, after)| (before, Some(after)));
            texts(&[before, if after.is_some() { what } else { "" }, after.unwrap_or_default()])
        }),
        "rpartition" => one(&|what| {
            let (before, after) =
                text.rsplit_once(what).map_or((None, text), |(before, after)| (Some(before), after));
            texts(&[before.unwrap_or_default(), if before.is_some() { what } else { "" }, after])
        }),
        "rsplit" => from_args(args).map(|(what, most): (Option<&str>, Option<i64>)| rsplit(text, what, most)),
        "index" => from_args(args).and_then(|(what,): (&str,)| place(text.find(what))),
        "rindex" => from_args(args).and_then(|(what,): (&str,)| place(text.rfind(what))),
        "casefold" => from_args(args).map(|()| Value::from(text.to_lowercase())),
        "swapcase" => from_args(args).map(|()| {
            let swap = |c: char| -> String {
                if c.is_uppercase() { c.to_lowercase().collect() } else { c.to_uppercase().collect() }
            };
            Value::from(text.chars().map(swap).collect::<String>())
        }),
        _ => return None,
    })
}

fn texts(parts: &[&str]) -> Value {
    parts.iter().map(|part| Value::from(*part)).collect()
}

fn rsplit(text: &str, what: Option<&str>, most: Option<i64>) -> Value {
    let pieces =
        most.and_then(|most| usize::try_from(most).ok()).map_or(usize::MAX, |most| most.saturating_add(1));
    let mut parts: Vec<&str> = match what {
        Some(what) => text.rsplitn(pieces, what).collect(),
        None => text
            .trim()
            .rsplitn(pieces, char::is_whitespace)
            .map(str::trim_end)
            .filter(|part| !part.is_empty())
            .collect(),
    };
    parts.reverse();
    texts(&parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(source: &str) -> Result<String, Error> {
        let mut environment = Environment::new();
        like_jinja2(&mut environment);
        environment.render_str(source, ())
    }

    #[test]
    fn widths_that_take_all_memory_are_refused() {
        for source in [
            "{{ '%99999d' | format(1) }}",
            "{{ '%.99999f' | format(1) }}",
            "{{ '%*d' | format(99999, 1) }}",
            "{{ '{:99999}'.format(1) }}",
            "{{ '{:{}}'.format(1, 99999) }}",
            "{{ 'a'.ljust(99999) }}",
            "{{ 'a'.rjust(99999) }}",
            "{{ 'a'.center(99999) }}",
            "{{ 'a' | center(99999) }}",
            "{{ 'a'.zfill(99999) }}",
            "{{ 'a' | indent(99999) }}",
            "{{ 'a' | indent(width=99999) }}",
        ] {
            assert!(rendered(source).is_err(), "{source}");
        }
        assert_eq!(rendered("{{ '%05.1f' | format(2.25) }}|{{ 'a'.rjust(3) }}").unwrap(), "002.2|  a");
    }
}
