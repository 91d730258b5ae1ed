//! Which targets a worker captures.
//!
//! Invariant: a name stands for itself and for what is below it, at `::` boundaries only.

/// The first byte of the text: all targets, or the names that follow, one a line.
pub(super) const ALL: u8 = b'*';
pub(super) const NAMES: u8 = b'=';

#[derive(Debug)]
pub(super) enum Filter {
    All,
    /// In order.
    Names(Vec<String>),
}

impl Filter {
    /// What the text says, which `LogCapture::checked` has made.
    pub(super) fn from_text(text: &[u8]) -> Self {
        match text.split_first() {
            Some((&NAMES, names)) => {
                let names = String::from_utf8_lossy(names);
                let mut names: Vec<_> = names.split('\n').map(str::to_string).collect();
                names.sort_unstable();
                Self::Names(names)
            }
            _ => Self::All,
        }
    }

    /// Whether the target or one of its ancestors is among the names.
    #[inline]
    pub(super) fn takes(&self, target: &str) -> bool {
        match self {
            Self::All => true,
            Self::Names(names) => has_ancestor(names, target),
        }
    }
}

fn has_ancestor(names: &[String], target: &str) -> bool {
    let mut name = target;
    loop {
        if names.binary_search_by(|known| known.as_str().cmp(name)).is_ok() {
            return true;
        }
        match name.rfind("::") {
            Some(end) => name = &name[..end],
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_itself_and_for_what_is_below_it() {
        let filter = Filter::from_text(b"=b::c\na\nwith space");
        for target in ["a", "a::x", "a::x::y", "b::c", "b::c::d", "with space", "a::"] {
            assert!(filter.takes(target), "{target}");
        }
        for target in ["", "ab", "a:x", "b", "b::cd", "::a", "x::a", "with"] {
            assert!(!filter.takes(target), "{target}");
        }
        assert!(Filter::from_text(b"*").takes("") && Filter::from_text(b"*").takes("x"));
    }
}
