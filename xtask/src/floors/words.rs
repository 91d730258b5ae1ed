//! Words that no definition, file or folder has as a part of its name.
//!
//! A name is taken apart at each `_`, `-`, `.` and digit, before a capital that follows a small
//! letter (`StartDesk`), and before the last of several capitals if a small letter follows it
//! (`IODesk`). A part counts as a whole and without regard to case: `lane` is no part of `plane`.
//! Definitions are those that `syntax.rs` knows, in tests too; fields, variants and local names are
//! not looked at.

use std::collections::{BTreeMap, BTreeSet};

use super::lexer::tokens;
use super::syntax::definition;

/// The parts of a name, in small letters.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let letters: Vec<char> = name.chars().collect();
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| letters[before]);
        let is_small = |letter: Option<char>| letter.is_some_and(char::is_lowercase);
        let begins =
            letter.is_uppercase() && (is_small(before) || is_small(letters.get(at + 1).copied()));
        if begins || !letter.is_alphabetic() {
            parts.push(String::new());
        }
        if let (true, Some(part)) = (letter.is_alphabetic(), parts.last_mut()) {
            part.extend(letter.to_lowercase());
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// The names that have one of the words in them, each with its message.
///
/// An entry is a file or folder by itself, or a file and a name defined in it. The keys of `files`
/// are relative to the workspace.
pub(crate) fn offenders(
    files: &BTreeMap<String, String>,
    words: &BTreeSet<String>,
) -> BTreeMap<String, String> {
    let word_in = |name: &str| parts(name).into_iter().find(|part| words.contains(part));
    let mut found = BTreeMap::new();
    for (file, text) in files {
        let ends = file.match_indices('/').map(|(end, _)| end).chain([file.len()]);
        for path in ends.map(|end| &file[..end]) {
            let name = path.rsplit('/').next().unwrap_or(path);
            if let Some(word) = word_in(name) {
                found.insert(path.to_owned(), format!("{path}: has the word {word} in its name"));
            }
        }
        let tokens = tokens(text);
        for name in (0..tokens.len()).filter_map(|at| definition(&tokens, at)) {
            if let Some(word) = word_in(name.text) {
                let entry = format!("{file} {}", name.text);
                let told =
                    format!("{file}:{}: has the word {word} in its name: {entry}", name.line);
                found.entry(entry).or_insert(told);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        assert_eq!(parts("start_desk"), ["start", "desk"]);
        assert_eq!(parts("IODeskError2x"), ["io", "desk", "error", "x"]);
        assert_eq!(parts("DESK_SIZE"), ["desk", "size"]);
        assert_eq!(parts("pool-core"), ["pool", "core"]);
        assert_eq!(parts("_plane.rs"), ["plane", "rs"]);
    }

    #[test]
    fn definitions_files_and_folders_are_looked_at() {
        let text =
            "// a desk\nfn plane(desk: u8) { \"struct Desk\"; }\n\nstruct LaneDesk { lane: u8 }";
        let files = [("c/src/lane/mod.rs", text), ("c/src/lane/desk.rs", "")];
        let files = files.map(|(file, text)| (file.to_owned(), text.to_owned())).into();
        let words = ["lane", "desk"].map(str::to_owned).into();
        let told: Vec<String> = offenders(&files, &words).into_values().collect();
        assert_eq!(
            told,
            [
                "c/src/lane: has the word lane in its name",
                "c/src/lane/desk.rs: has the word desk in its name",
                "c/src/lane/mod.rs:4: has the word lane in its name: c/src/lane/mod.rs LaneDesk",
            ]
        );
    }
}
