//! How long functions are, from the line of their name to that of their last brace.

use crate::{
    sources::Module,
    tokens::{end_of_group, is_name},
};

/// A function and how many lines it takes.
#[derive(Debug, PartialEq)]
pub(crate) struct Function<'a> {
    pub name: &'a str,
    pub line: usize,
    pub lines: usize,
}

pub(crate) fn functions(module: &Module) -> Vec<Function<'_>> {
    let tokens = &module.tokens;
    let mut functions = Vec::new();
    for i in 0..tokens.len().saturating_sub(1) {
        // `fn(u8)` is a type.
        if tokens[i].text != "fn" || !is_name(&tokens[i + 1].text) {
            continue;
        }
        let mut at = i;
        while let Some(token) = tokens.get(at) {
            match token.text.as_str() {
                "(" | "[" => at = end_of_group(tokens, at),
                "{" => {
                    let (first, last) = (tokens[i].line, tokens[end_of_group(tokens, at) - 1].line);
                    functions.push(Function { name: &tokens[i + 1].text, line: first, lines: last - first + 1 });
                    break;
                }
                // A trait's, without a body.
                ";" => break,
                _ => at += 1,
            }
        }
    }
    functions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_as_long_as_its_text() {
        let source = "trait T { fn none(a: [u8; 2]); }
            fn one() -> fn(u8) { x }
            /// A brace {
            pub fn four<T: Into<u8>>(
                a: [u8; 2],
            ) where T: X { \"}\" // }
            }
            #[cfg(test)]
            mod tests {
                fn unseen() {
                }
            }";
        let module = Module::new("m", "m.rs", source);
        let function = |name, line, lines| Function { name, line, lines };
        assert_eq!(functions(&module), [function("one", 2, 1), function("four", 4, 4)]);
    }
}
