//! Rust's text as words: comments are gone, a string is one word, and so is a character. Enough to follow imports and to
//! measure functions, and no parser.

/// A word of a source and the line it is on, counted from 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub text: String,
    pub line: usize,
}

/// What stands for a string or a character.
const QUOTED: &str = "\"\"";

/// What the program is made of: all of `source` but what only tests see.
pub(crate) fn production(source: &str) -> Vec<Token> {
    let all = tokens(source);
    let mut kept = Vec::new();
    let mut i = 0;
    while i < all.len() {
        if is_of_tests(&all[i..]) {
            i = end_of_item(&all, end_of_group(&all, i + 1));
        } else {
            kept.push(all[i].clone());
            i += 1;
        }
    }
    kept
}

/// Whether `tokens` go on with `words`.
pub(crate) fn starts_with(tokens: &[Token], words: &[&str]) -> bool {
    tokens.len() >= words.len() && tokens.iter().zip(words).all(|(token, word)| token.text == *word)
}

pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Past the bracket that closes the one at `open`.
pub(crate) fn end_of_group(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    tokens.len()
}

fn is_of_tests(tokens: &[Token]) -> bool {
    starts_with(tokens, &["#", "[", "cfg", "(", "test", ")", "]"])
        || starts_with(tokens, &["#", "[", "cfg", "(", "all", "(", "test", ","])
}

/// Past the item, statement, field or arm at `start`, its further attributes included.
fn end_of_item(tokens: &[Token], start: usize) -> usize {
    let mut i = start;
    while starts_with(&tokens[i..], &["#", "["]) {
        i = end_of_group(tokens, i + 1);
    }
    let Some(first) = tokens.get(i) else { return i };
    // Commas stand between the parameters of an item, but end a field or an arm.
    let is_item = matches!(
        first.text.as_str(),
        "pub" | "fn" | "mod" | "struct" | "enum" | "impl" | "const" | "static" | "type" | "trait" | "unsafe" | "let"
    );
    let ends_with_braces = first.text != "use" && first.text != "let";
    while let Some(token) = tokens.get(i) {
        match token.text.as_str() {
            ";" => return i + 1,
            "," if !is_item && first.text != "use" => return i + 1,
            ")" | "]" | "}" => return i,
            "{" if ends_with_braces => return end_of_group(tokens, i),
            "(" | "[" | "{" => i = end_of_group(tokens, i),
            _ => i += 1,
        }
    }
    i
}

fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let (mut tokens, mut line, mut i) = (Vec::new(), 1, 0);
    while i < chars.len() {
        let (end, word) = word(&chars, i);
        match word {
            Word::Nothing => {}
            Word::Quoted => tokens.push(Token { text: QUOTED.to_owned(), line }),
            Word::Code => tokens.push(Token { text: chars[i..end].iter().collect(), line }),
        }
        line += chars[i..end].iter().filter(|&&c| c == '\n').count();
        i = end;
    }
    tokens
}

enum Word {
    Code,
    Quoted,
    /// A space or a comment.
    Nothing,
}

/// Where the word at `i` ends, and what it is.
fn word(chars: &[char], i: usize) -> (usize, Word) {
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    match (at(i), at(i + 1)) {
        (c, _) if c.is_whitespace() => (i + 1, Word::Nothing),
        ('/', '/') => (end_where(chars, i, |i| at(i) == '\n'), Word::Nothing),
        ('/', '*') => (end_of_comment(chars, i), Word::Nothing),
        ('"', _) => (end_of_string(chars, i + 1, '"'), Word::Quoted),
        ('\'', '\\') => (end_of_string(chars, i + 1, '\''), Word::Quoted),
        ('\'', _) if at(i + 2) == '\'' => (i + 3, Word::Quoted),
        (':', ':') => (i + 2, Word::Code),
        (c, _) if c.is_alphanumeric() || c == '_' => {
            let end = end_where(chars, i, |i| !at(i).is_alphanumeric() && at(i) != '_');
            let hashes = end_where(chars, end, |i| at(i) != '#') - end;
            let is_raw = matches!(chars[i..end].iter().collect::<String>().as_str(), "r" | "br" | "cr");
            match at(end + hashes) {
                '"' if is_raw => (end_of_raw(chars, end + hashes + 1, hashes), Word::Quoted),
                _ => (end, Word::Code),
            }
        }
        _ => (i + 1, Word::Code),
    }
}

fn end_where(chars: &[char], from: usize, ends: impl Fn(usize) -> bool) -> usize {
    (from..chars.len()).find(|&i| ends(i)).unwrap_or(chars.len())
}

fn end_of_comment(chars: &[char], start: usize) -> usize {
    let (mut depth, mut i) = (0, start);
    while i + 1 < chars.len() {
        match [chars[i], chars[i + 1]] {
            ['/', '*'] => depth += 1,
            ['*', '/'] => depth -= 1,
            _ => {
                i += 1;
                continue;
            }
        }
        i += 2;
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn end_of_string(chars: &[char], inside: usize, quote: char) -> usize {
    let mut i = inside;
    while i < chars.len() && chars[i] != quote {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(chars.len())
}

fn end_of_raw(chars: &[char], inside: usize, hashes: usize) -> usize {
    let closes = |i: usize| chars[i] == '"' && chars[i + 1..].iter().take_while(|&&c| c == '#').count() >= hashes;
    (end_where(chars, inside, closes) + 1 + hashes).min(chars.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        production(source).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_what_is_quoted_are_no_code() {
        let source = r####"a /* { /* { */ " */ "// }" b // {
            '{' '\'' '"' r#"" { "# b"\"{" <'a> r#fn"####;
        assert_eq!(
            words(source),
            ["a", QUOTED, "b", QUOTED, QUOTED, QUOTED, QUOTED, "b", QUOTED, "<", "'", "a", ">", "r", "#", "fn"]
        );
        assert_eq!(production("a\n/*\n\n*/ \"\n\" b").last().map(|token| token.line), Some(5));
    }

    #[test]
    fn what_only_tests_see_is_left_out() {
        let source = "
            #[cfg(test)] mod tests;
            #[cfg(test)] #[allow(x)] pub fn f<A, B>(a: [u8; 2]) -> C { d }
            #[cfg(all(test, unix))] mod t { fn g() {} }
            #[cfg(test)] use a::{b, c};
            struct S { #[cfg(test)] hidden: u8, seen: u8 }
            #[cfg(test)] static X: Y<A, B> = Y { z: 1 };
            fn h() { let s = S { #[cfg(test)] hidden: f(1, 2), seen: 1 }; }
            #[cfg(not(test))] kept";
        let kept = words(source).join(" ");
        for word in ["tests", "C", "g", "use", "hidden", "Y", "f"] {
            assert!(!kept.split(' ').any(|kept| kept == word), "{word} in {kept}");
        }
        assert!(kept.contains("struct S { seen : u8 }") && kept.contains("S { seen : 1 }"), "{kept}");
        assert!(kept.ends_with("] kept"));
    }
}
