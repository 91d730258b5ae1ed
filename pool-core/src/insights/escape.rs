//! Texts of the user's inside of JSON, of XML and of a line in a terminal.

use std::fmt::{self, Write};

use crate::text::leaves_line;

/// Displayed, the text as JSON's string, with its quotes.
pub(super) struct Json<'t>(pub(super) &'t str);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str("\\t")?,
                // Not only what JSON asks for: scripts that a page may contain end at `</script>`.
                '\0'..='\u{1f}' | '\u{7f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                    write!(f, "\\u{:04x}", character as u32)?;
                }
                character => f.write_char(character)?,
            }
        }
        f.write_char('"')
    }
}

/// Displayed, the text as a part of XML: of an attribute or between tags. XML has no way to write
/// control characters, so they are shown as their pictures.
pub(super) struct Xml<'t>(pub(super) &'t str);

impl fmt::Display for Xml<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\0'..='\u{1f}' => {
                    f.write_char(char::from_u32(0x2400 + character as u32).unwrap_or('\u{fffd}'))?
                }
                '\u{7f}' => f.write_char('\u{2421}')?,
                '\u{80}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => f.write_char('\u{fffd}')?,
                character => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// Displayed, the text in one line that does nothing to a terminal: what controls one, or the order
/// of a line's characters, is escaped as in Rust's literals.
pub(super) struct OneLine<'t>(pub(super) &'t str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if leaves_line(character) {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_what_it_stands_in() {
        let text = "a\"b\\c</script>\n\0\u{1b}&'\u{7f}é\u{ffff}";
        assert_eq!(
            Json(text).to_string(),
            "\"a\\\"b\\\\c\\u003c/script\\u003e\\n\\u0000\\u001b\\u0026'\\u007fé\u{ffff}\""
        );
        assert_eq!(Xml(text).to_string(), "a&quot;b\\c&lt;/script&gt;␊␀␛&amp;&#39;␡é\u{fffd}");
        assert_eq!(
            OneLine("é\"\r\n\u{1b}]0;x\u{7}\u{9b}\u{202e}").to_string(),
            "é\"\\r\\n\\u{1b}]0;x\\u{7}\\u{9b}\\u{202e}"
        );
    }
}
