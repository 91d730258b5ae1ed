//! Crates for tests, from texts.

use super::modules::Crate;

/// A crate of these files and their texts.
pub(crate) fn krate(files: &[(&str, &str)]) -> Crate {
    let files = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned()));
    Crate::parse(&files.collect()).unwrap()
}
