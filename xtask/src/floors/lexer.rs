//! Rust source text as tokens, each with its line.
//!
//! Comments and lifetimes leave no token, and literals leave one without text: their text is never
//! taken for code. The text must compile, so nothing is refused here.

/// The kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier or a keyword; a raw identifier keeps its `r#`.
    Word,
    /// `::`, or one character.
    Mark,
    /// A string, a character or a number.
    Literal,
}

/// A piece of source text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    /// Empty for a literal.
    pub(crate) text: &'a str,
    /// Counted from 1.
    pub(crate) line: usize,
}

impl Token<'_> {
    pub(crate) fn is_word(&self) -> bool {
        self.kind == Kind::Word
    }
}

/// Splits a file into tokens.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    let (mut line, mut counted) = (1, 0);
    while let Some((start, kind)) = lexer.next() {
        line += count_lines(&text[counted..start]);
        counted = start;
        let text = if kind == Kind::Literal { "" } else { &text[start..lexer.at] };
        tokens.push(Token { kind, text, line });
    }
    tokens
}

fn count_lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// The start and the kind of the next token; `at` is behind it afterwards.
    fn next(&mut self) -> Option<(usize, Kind)> {
        loop {
            let start = self.at;
            let byte = *self.text.as_bytes().get(start)?;
            match byte {
                _ if byte.is_ascii_whitespace() => self.at += 1,
                b'/' if self.peek(1) == b'/' => self.skip_to("\n"),
                b'/' if self.peek(1) == b'*' => self.skip_block_comment(),
                b'"' => {
                    self.skip_quoted(b'"');
                    return Some((start, Kind::Literal));
                }
                b'\'' => {
                    if self.skip_character() {
                        return Some((start, Kind::Literal));
                    }
                }
                _ if byte.is_ascii_digit() => {
                    self.skip_number();
                    return Some((start, Kind::Literal));
                }
                _ if is_word_byte(byte) => return Some((start, self.skip_word())),
                b':' if self.peek(1) == b':' => {
                    self.at += 2;
                    return Some((start, Kind::Mark));
                }
                _ => {
                    self.at += 1;
                    return Some((start, Kind::Mark));
                }
            }
        }
    }

    /// Goes behind the next `end`, or to the end of the text.
    fn skip_to(&mut self, end: &str) {
        self.at =
            self.rest().find(end).map_or(self.text.len(), |found| self.at + found + end.len());
    }

    fn skip_block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.text.len() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => (self.at, depth) = (self.at + 2, depth + 1),
                (b'*', b'/') => (self.at, depth) = (self.at + 2, depth - 1),
                _ => self.at += 1,
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// Goes behind a literal with escapes that begins here.
    fn skip_quoted(&mut self, quote: u8) {
        self.at += 1;
        while self.at < self.text.len() && self.peek(0) != quote {
            self.at += if self.peek(0) == b'\\' { 2 } else { 1 };
        }
        self.at = (self.at + 1).min(self.text.len());
    }

    /// Goes behind a character, or behind a lifetime; false for a lifetime.
    fn skip_character(&mut self) -> bool {
        let mut following = self.rest().chars().skip(1);
        let (first, second) = (following.next(), following.next());
        if first == Some('\\') || second == Some('\'') {
            self.skip_quoted(b'\'');
            return true;
        }
        self.at += 1;
        while is_word_byte(self.peek(0)) {
            self.at += 1;
        }
        false
    }

    fn skip_number(&mut self) {
        while is_word_byte(self.peek(0)) || self.peek(0) == b'.' && self.peek(1).is_ascii_digit() {
            self.at += 1;
        }
    }

    /// Goes behind a word, or behind the literal of which it is the prefix.
    fn skip_word(&mut self) -> Kind {
        let start = self.at;
        while is_word_byte(self.peek(0)) {
            self.at += 1;
        }
        let prefix = &self.text[start..self.at];
        let hashes = self.rest().bytes().take_while(|byte| *byte == b'#').count();
        match prefix {
            "r" | "br" | "cr" if self.peek(hashes) == b'"' => {
                self.at += hashes + 1;
                self.skip_to(&format!("\"{}", "#".repeat(hashes)));
                Kind::Literal
            }
            "b" | "c" if self.peek(0) == b'"' => {
                self.skip_quoted(b'"');
                Kind::Literal
            }
            "b" if self.peek(0) == b'\'' => {
                self.skip_quoted(b'\'');
                Kind::Literal
            }
            "r" if hashes == 1 && is_word_byte(self.peek(1)) => {
                self.at += 1;
                while is_word_byte(self.peek(0)) {
                    self.at += 1;
                }
                Kind::Word
            }
            _ => Kind::Word,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        tokens(text).iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_literals_hide_their_text() {
        assert_eq!(texts("a // b \" c\n/* d /* e */ f */ g"), ["a", "g"]);
        assert_eq!(texts(r#"a("x\" y", b"z", c"w")"#), ["a", "(", "", ",", "", ",", "", ")"]);
        assert_eq!(texts("r#\"a \" b\"# br\"\\\" c r##\"x\"# y\"##"), ["", "", "c", ""]);
        assert_eq!(texts("/// [`crate::a`]\nb"), ["b"]);
    }

    #[test]
    fn characters_are_told_from_lifetimes() {
        assert_eq!(texts(r#"'a' '\'' '\u{1F600}' b'x' 'é' '"' f"#), ["", "", "", "", "", "", "f"]);
        assert_eq!(texts("&'a str, 'b: loop"), ["&", "str", ",", ":", "loop"]);
    }

    #[test]
    fn numbers_ranges_and_raw_identifiers() {
        assert_eq!(texts("1.5e3..2 0x1f_u8 t.0.1"), ["", ".", ".", "", "", "t", ".", ""]);
        assert_eq!(texts("r#type::b"), ["r#type", "::", "b"]);
    }

    #[test]
    fn each_token_has_its_line() {
        let lines: Vec<usize> = tokens("a\n/*\n*/ b \"\n\"\nc").iter().map(|t| t.line).collect();
        assert_eq!(lines, [1, 3, 3, 5]);
    }
}
