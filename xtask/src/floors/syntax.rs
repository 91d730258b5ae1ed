//! The little grammar that the checks need: definitions, paths, trees of imports, brackets.

use super::lexer::Token;
use super::modules::Import;

/// The name that the keyword at `at` defines, if the keyword defines one.
pub(crate) fn definition<'a>(tokens: &[Token<'a>], at: usize) -> Option<Token<'a>> {
    let token = |ahead: usize| tokens.get(at + ahead).copied();
    let text = |ahead| token(ahead).map_or("", |token: Token<'a>| token.text);
    let before = at.checked_sub(1).map_or("", |before| tokens[before].text);
    let name = match tokens[at].text {
        "struct" | "enum" | "trait" | "fn" | "type" | "mod" => token(1),
        "union" if matches!(text(2), "{" | "<") => token(1),
        "macro_rules" if text(1) == "!" => token(2),
        "static" if text(1) == "mut" => token(2),
        // Not the `const` of a pointer's type or of `&raw const`.
        "const" if matches!(before, "*" | "raw") => None,
        "const" if matches!(text(1), "fn" | "unsafe" | "async" | "extern") => None,
        "const" | "static" => token(1),
        _ => None,
    };
    name.filter(Token::is_word)
}

/// The path of two segments or more that begins at `at`.
pub(crate) fn path(tokens: &[Token<'_>], at: usize) -> Option<Vec<String>> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let before = |back| at.checked_sub(back).map_or("", text);
    // Within a path, after a value, or in `pub(in …)`.
    if matches!(before(1), "::" | ".") || before(1) == "in" && before(2) == "(" {
        return None;
    }
    let mut path = vec![text(at).to_owned()];
    let mut next = at + 1;
    while text(next) == "::" && tokens.get(next + 1).is_some_and(Token::is_word) {
        path.push(text(next + 1).to_owned());
        next += 2;
    }
    (path.len() > 1).then_some(path)
}

/// Reads a tree of imports and returns where it ends.
pub(crate) fn import_tree(
    tokens: &[Token<'_>],
    mut at: usize,
    prefix: &[String],
    is_public: bool,
    imports: &mut Vec<Import>,
) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let mut path = prefix.to_vec();
    while let Some(token) = tokens.get(at) {
        let line = token.line;
        match token.text {
            "::" => at += 1,
            "{" => {
                let end = closing(tokens, at);
                at += 1;
                while at < end {
                    at = import_tree(&tokens[..end], at, &path, is_public, imports) + 1;
                }
                return end + 1;
            }
            "*" => {
                imports.push(Import { path, name: "*".to_owned(), is_public, line });
                return at + 1;
            }
            word if token.is_word() => {
                at += 1;
                // `a::{self}` is `a`.
                if word != "self" || path.is_empty() {
                    path.push(word.to_owned());
                }
                if text(at) != "::" {
                    let mut name = path.last().cloned().unwrap_or_default();
                    if text(at) == "as" {
                        name = text(at + 1).to_owned();
                        at += 2;
                    }
                    imports.push(Import { path, name, is_public, line });
                    return at;
                }
            }
            _ => return at + 1,
        }
    }
    at
}

/// Whether these tokens end with a visibility.
pub(crate) fn is_public(tokens: &[Token<'_>]) -> bool {
    match tokens.last().map(|token| token.text) {
        Some("pub") => true,
        Some(")") => {
            let open = tokens.iter().rposition(|token| token.text == "(").unwrap_or(0);
            open > 0 && tokens[open - 1].text == "pub"
        }
        _ => false,
    }
}

/// The position at which the bracket at `open` is closed.
pub(crate) fn closing(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floors::lexer::tokens;

    fn imports(text: &str) -> Vec<String> {
        let tokens = tokens(text);
        let mut imports = Vec::new();
        import_tree(&tokens, 1, &[], false, &mut imports);
        let shown =
            imports.iter().map(|import| format!("{}={}", import.name, import.path.join(".")));
        shown.collect()
    }

    #[test]
    fn trees_of_imports_are_taken_apart() {
        assert_eq!(imports("use crate::a;"), ["a=crate.a"]);
        assert_eq!(
            imports("use crate::{a::{self, b as c}, d::*, e,};"),
            ["a=crate.a", "c=crate.a.b", "*=crate.d", "e=crate.e"]
        );
        assert_eq!(imports("use self::a as _;"), ["_=self.a"]);
    }

    #[test]
    fn definitions_are_told_from_other_uses_of_their_keywords() {
        let names = |text: &str| {
            let tokens = tokens(text);
            let names = (0..tokens.len()).filter_map(|at| definition(&tokens, at));
            names.map(|name| name.text.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names("pub const unsafe fn a() { const B: u8 = 1; }"), ["a", "B"]);
        assert_eq!(names("static mut A: *const T = &raw const b; type C = fn(u8);"), ["A", "C"]);
        assert_eq!(names("macro_rules! a { () => {} } union B { c: u8 }"), ["a", "B"]);
    }

    #[test]
    fn a_path_begins_where_nothing_stands_before_it() {
        let paths = |text: &str| {
            let tokens = tokens(text);
            let words = (0..tokens.len()).filter(|at| tokens[*at].is_word());
            words.filter_map(|at| path(&tokens, at)).map(|path| path.join(".")).collect::<Vec<_>>()
        };
        assert_eq!(paths("a::b::<c::D>(e.f::<G>())"), ["a.b", "c.D"]);
        assert_eq!(paths("pub(in crate::a) fn f() { for x in b::c() {} }"), ["b.c"]);
        assert_eq!(paths("$crate::a::b!(super::c)"), ["crate.a.b", "super.c"]);
    }
}
