//! Cuts the code that is compiled for tests only out of a file.

use super::lexer::Token;
use super::syntax::closing;

/// Cuts out the code that is compiled for tests only.
pub(crate) fn without_tests<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        if text(at) == "#" && text(at + 1) == "[" {
            let end = closing(tokens, at + 1) + 1;
            if is_for_tests(&tokens[at + 2..end]) {
                at = end_of_item(tokens, end);
            } else {
                kept.extend_from_slice(&tokens[at..end]);
                at = end;
            }
        } else {
            kept.push(tokens[at]);
            at += 1;
        }
    }
    kept
}

/// Whether an attribute keeps an item to tests: `cfg(test)`, or `cfg(all(test, …))`.
fn is_for_tests(attribute: &[Token<'_>]) -> bool {
    let has = |word| attribute.iter().any(|token| token.text == word);
    attribute.first().is_some_and(|token| token.text == "cfg")
        && has("test")
        && !has("not")
        && !has("any")
}

/// The end of the item, field or statement that begins at `at`.
fn end_of_item(tokens: &[Token<'_>], mut at: usize) -> usize {
    // Items that end with a block, unless a `;` comes first.
    const WITH_BLOCK: [&str; 8] =
        ["fn", "mod", "struct", "enum", "union", "trait", "impl", "macro_rules"];
    const WITHOUT: [&str; 6] = ["use", "const", "static", "type", "let", "extern"];
    if tokens.get(at).is_some_and(|token| token.text == "{") {
        return closing(tokens, at) + 1;
    }
    let mut has_block = false;
    let mut has_keyword = false;
    while let Some(token) = tokens.get(at) {
        match token.text {
            ";" => return at + 1,
            "," if !has_keyword => return at + 1,
            ")" | "]" | "}" => return at,
            "{" if has_block => return closing(tokens, at) + 1,
            "(" | "[" | "{" => at = closing(tokens, at),
            text => {
                has_block |= WITH_BLOCK.contains(&text);
                has_keyword |= has_block || WITHOUT.contains(&text);
            }
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floors::lexer::tokens;

    fn kept(text: &str) -> String {
        let tokens = tokens(text);
        without_tests(&tokens).iter().map(|token| token.text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn items_of_tests_are_cut_out() {
        assert_eq!(kept("a; #[cfg(test)] #[path = \"t.rs\"] mod tests; b"), "a ; b");
        assert_eq!(kept("#[cfg(test)] mod tests { use x; fn f() {} } b"), "b");
        assert_eq!(kept("#[cfg(test)] use a::{b, c}; d"), "d");
        assert_eq!(kept("#[cfg(all(test, unix))] const fn f<A, B>(a: A) -> B { } d"), "d");
        assert_eq!(kept("S { #[cfg(test)] a: [u8; 2], b }"), "S { b }");
        assert_eq!(kept("f(a, #[cfg(test)] b)"), "f ( a , )");
        assert_eq!(kept("#[cfg(test)] { a; } b"), "b");
    }

    #[test]
    fn other_items_stay() {
        assert_eq!(kept("#[cfg(not(test))] a;"), "# [ cfg ( not ( test ) ) ] a ;");
        assert_eq!(kept("#[cfg_attr(test, x)] a;"), "# [ cfg_attr ( test , x ) ] a ;");
        assert_eq!(kept("#[cfg(any(test, x))] a;"), "# [ cfg ( any ( test , x ) ) ] a ;");
    }
}
