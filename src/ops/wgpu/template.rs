//! The language of the shaders' templates.
//!
//! It has three directives, each on a line of its own, so that a shader stays readable as WGSL:
//!
//! ```text
//! //@for i 0 N     repeats the lines up to the matching //@end with {{i}} = 0 … N-1; bounds may be {{constants}}
//! //@if NAME       keeps the lines where the constant is not zero; also !NAME and NAME==3
//! //@else
//! //@end
//! ```
//!
//! and `{{NAME}}` anywhere is replaced by the constant's value; `{{2*i+1}}` works too.

use std::collections::HashMap;

/// A template's text with every directive resolved. `name` is the shader's, for what goes wrong.
///
/// # Panics
/// Where the template names a constant that was not given or leaves a block open: a fault of this program, found by the
/// test that renders every kernel.
pub(crate) fn resolve(name: &str, template: &str, constants: &[(&str, u32)]) -> String {
    let mut values = constants.iter().map(|&(name, value)| (name.to_owned(), i64::from(value))).collect();
    let lines: Vec<&str> = template.lines().collect();
    let mut out = String::with_capacity(template.len() * 4);
    render(name, &lines, &mut values, &mut out);
    out
}

/// Appends `lines` to `out` with directives resolved. Templates are our own files; the recursion is as deep as their
/// blocks are nested.
fn render(name: &str, lines: &[&str], values: &mut HashMap<String, i64>, out: &mut String) {
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        let Some(directive) = line.trim_start().strip_prefix("//@") else {
            substitute(name, line, values, out);
            out.push('\n');
            at += 1;
            continue;
        };
        let (middle, end) = block(name, lines, at);
        let body = &lines[at + 1..middle.unwrap_or(end)];
        let words: Vec<&str> = directive.split_whitespace().collect();
        match words.as_slice() {
            ["if", condition] => {
                if value(name, condition, values) != 0 {
                    render(name, body, values, out);
                } else if let Some(middle) = middle {
                    render(name, &lines[middle + 1..end], values, out);
                }
            }
            ["for", variable, from, to] => {
                for i in value(name, from, values)..value(name, to, values) {
                    values.insert(variable.to_string(), i);
                    render(name, body, values, out);
                }
                values.remove(*variable);
            }
            _ => panic!("shader {name}: unknown directive {directive:?}"),
        }
        at = end + 1;
    }
}

/// The lines of the `else`, if any, and of the `end` that belong to the directive at `start`.
fn block(name: &str, lines: &[&str], start: usize) -> (Option<usize>, usize) {
    let (mut depth, mut middle) = (0usize, None);
    for (i, line) in lines.iter().enumerate().skip(start) {
        match line.trim_start().strip_prefix("//@").map(str::trim) {
            Some("end") => depth -= 1,
            Some("else") if depth == 1 => middle = Some(i),
            Some("else") | None => {}
            Some(_) => depth += 1,
        }
        if depth == 0 {
            return (middle, i);
        }
    }
    panic!("shader {name}: line {} opens a block that nothing ends", start + 1)
}

/// A constant expression of names, numbers, `*`, `+`, `-` and one `==` or a leading `!`, without blanks.
fn value(name: &str, text: &str, values: &HashMap<String, i64>) -> i64 {
    if let Some(rest) = text.strip_prefix('!') {
        return i64::from(value(name, rest, values) == 0);
    }
    if let Some((left, right)) = text.split_once("==") {
        return i64::from(value(name, left, values) == value(name, right, values));
    }
    if let Some((left, right)) = text.split_once('+') {
        return value(name, left, values) + value(name, right, values);
    }
    if let Some((left, right)) = text.rsplit_once('-') {
        return value(name, left, values) - value(name, right, values);
    }
    if let Some((left, right)) = text.split_once('*') {
        return value(name, left, values) * value(name, right, values);
    }
    text.parse()
        .ok()
        .or_else(|| values.get(text).copied())
        .unwrap_or_else(|| panic!("shader {name}: no value for {text:?}"))
}

fn substitute(name: &str, line: &str, values: &HashMap<String, i64>, out: &mut String) {
    let mut rest = line;
    while let Some(open) = rest.find("{{") {
        out.push_str(&rest[..open]);
        let close =
            rest[open..].find("}}").unwrap_or_else(|| panic!("shader {name}: unclosed {{{{ in {line:?}")) + open;
        out.push_str(&value(name, &rest[open + 2..close], values).to_string());
        rest = &rest[close + 2..];
    }
    out.push_str(rest);
}
