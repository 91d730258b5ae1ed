//! Texts that come from elsewhere.

/// Whether a character ends a line, controls a terminal, or changes the direction of what follows.
pub(crate) fn leaves_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
