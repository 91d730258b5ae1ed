//! The texts of the arguments of the longest tasks.
//!
//! Which types have texts is said when the pool is built; workers get functions that return these
//! types with their texts, and compare types by `TypeId`.

use std::{
    any::Any,
    fmt::{self, Debug, Write},
};

use super::layout::MOST_TEXT;

/// A type, and how its values are shown.
pub(crate) struct Describer(Box<dyn Any + Send + Sync>);

/// Returns a describer; all copies of this executable have it.
pub(crate) type MakeDescriber = fn() -> Describer;

/// The text of a value.
pub(crate) type TextOf<A> = fn(&A) -> String;

impl Describer {
    /// The describer of a type.
    pub(super) fn of<A: Debug + 'static>() -> Self {
        let text: TextOf<A> = |argument| text_of(argument);
        Self(Box::new(text))
    }
}

/// How values of this type are shown, if that was asked for.
pub(crate) fn text_function<A: 'static>(describers: &[Describer]) -> Option<TextOf<A>> {
    describers.iter().find_map(|describer| describer.0.downcast_ref::<TextOf<A>>().copied())
}

/// The text of an argument, cut where it is too long.
fn text_of(argument: &dyn Debug) -> String {
    let mut text = Bounded(String::from("Arg 0: "));
    if write!(text, "{argument:?}").is_err() {
        text.0.push('…');
    }
    text.0
}

/// The beginning of a text, of so many bytes at most.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A text that takes no more than it has room for, and leaves room for an ellipsis.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = MOST_TEXT - '…'.len_utf8() - self.0.len();
        if more.len() <= room {
            self.0.push_str(more);
            return Ok(());
        }
        self.0.push_str(cut(more, room));
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_their_types_and_bounded() {
        let describers = [Describer::of::<Vec<u8>>(), Describer::of::<String>()];
        let text = text_function::<String>(&describers).unwrap();
        assert_eq!(text(&"a\"b".to_string()), "Arg 0: \"a\\\"b\"");
        assert!(text_function::<u8>(&describers).is_none());
        let long = text(&"é".repeat(1_000_000));
        assert!(long.len() <= MOST_TEXT && long.ends_with("é…"), "{long}");
    }
}
