//! The token in the address of a dashboard: who knows it may look, and cancel.
//!
//! Invariant: a token is never in an error, a log record or the output of `Debug`.

use std::{fmt, fs::File, hint::black_box, io, io::Read, str};

/// Characters of a token: 128 random bits in hexadecimal digits.
const LEN: usize = 32;

#[derive(Clone, Copy)]
pub(crate) struct Token([u8; LEN]);

impl Token {
    /// A token that cannot be foreseen.
    pub(crate) fn random() -> io::Result<Self> {
        let mut bytes = [0u8; LEN / 2];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let digit = |at: usize| bytes[at / 2] >> if at.is_multiple_of(2) { 4 } else { 0 } & 15;
        Ok(Self(std::array::from_fn(|at| b"0123456789abcdef"[usize::from(digit(at) & 15)])))
    }

    /// The token that this text is.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; LEN] = text.as_bytes().try_into().ok()?;
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        bytes.iter().all(is_digit).then_some(Self(bytes))
    }

    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Whether this text is the token. Takes the same time wherever the two differ.
    pub(crate) fn is(&self, text: &[u8]) -> bool {
        let differing = self.0.iter().zip(text).fold(0, |bits, (a, b)| bits | (a ^ b));
        text.len() == LEN && black_box(differing) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_is_the_token() {
        let token = Token::random().unwrap();
        let text = token.as_str().to_owned();
        assert_eq!(text.len(), LEN);
        assert!(token.is(text.as_bytes()));
        for at in 0..LEN {
            let mut other = text.clone().into_bytes();
            other[at] = if other[at] == b'0' { b'1' } else { b'0' };
            assert!(!token.is(&other), "character {at}");
        }
        assert!(!token.is(b"") && !token.is(&text.as_bytes()[1..]));
        assert!(!token.is(format!("{text}0").as_bytes()));
        assert!(!Token::random().unwrap().is(text.as_bytes()));
        assert_eq!(format!("{token:?}"), "Token(..)");
    }

    #[test]
    fn what_is_parsed_is_a_token() {
        let token = Token::random().unwrap();
        assert!(Token::parse(token.as_str()).unwrap().is(token.as_str().as_bytes()));
        for text in ["", "0", &"0".repeat(31), &"0".repeat(33), &"g".repeat(32), &"A".repeat(32)] {
            assert!(Token::parse(text).is_none(), "{text}");
        }
    }
}
