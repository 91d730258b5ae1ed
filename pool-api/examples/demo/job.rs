//! The job: what one file tells, and what all files together tell.
//!
//! `examine` runs in the workers, `Report` is what the parent keeps.

use std::collections::HashMap;

use pool_api::wire;
use sha2::{Digest, Sha256};

wire! {
    /// What one file tells.
    #[derive(Debug)]
    pub(crate) struct FileFacts {
        pub(crate) summary: Summary,
        /// Each identifier with how often it occurs, in no order.
        pub(crate) identifiers: Vec<(String, u64)>,
    }

    /// The part of it that is kept for every file.
    #[derive(Debug, PartialEq)]
    pub(crate) struct Summary {
        pub(crate) bytes: u64,
        pub(crate) lines: u64,
        pub(crate) words: u64,
        pub(crate) digest: [u8; 32],
    }
}

/// Reads a file and counts. A path crosses as text, and so does the reason why a file cannot be
/// read.
pub(crate) fn examine(path: String) -> Result<FileFacts, String> {
    let content = std::fs::read(&path).map_err(|error| format!("{path}: {error}"))?;
    let text = String::from_utf8_lossy(&content);
    let mut counts: HashMap<&str, u64> = HashMap::new();
    let (mut lines, mut words) = (0, 0);
    for line in text.lines() {
        lines += 1;
        words += line.split_ascii_whitespace().count() as u64;
        let code = line.split("//").next().unwrap_or(line);
        for identifier in code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            if !identifier.is_empty() && !identifier.starts_with(|c: char| c.is_ascii_digit()) {
                *counts.entry(identifier).or_default() += 1;
            }
        }
    }
    let digest = Sha256::digest(&content).into();
    Ok(FileFacts {
        summary: Summary { bytes: content.len() as u64, lines, words, digest },
        identifiers: counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
    })
}

/// What all files tell. Two runs over the same files are right only if these are equal.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Report {
    /// In the order of the input.
    files: Vec<Summary>,
    identifiers: HashMap<String, u64>,
}

impl Report {
    /// Takes in what the next file tells.
    pub(crate) fn add(&mut self, facts: FileFacts) {
        self.files.push(facts.summary);
        for (name, count) in facts.identifiers {
            *self.identifiers.entry(name).or_default() += count;
        }
    }

    /// Bytes, lines and words of all files.
    pub(crate) fn totals(&self) -> [u64; 3] {
        self.files.iter().fold([0; 3], |[bytes, lines, words], file| {
            [bytes + file.bytes, lines + file.lines, words + file.words]
        })
    }

    /// One digest for the digests of all files.
    pub(crate) fn digest(&self) -> String {
        let mut all = Sha256::new();
        self.files.iter().for_each(|file| all.update(file.digest));
        all.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The `count` most frequent identifiers that are no keywords.
    pub(crate) fn top(&self, count: usize) -> Vec<(&str, u64)> {
        let names = self.identifiers.iter().map(|(name, count)| (name.as_str(), *count));
        let mut top: Vec<_> = names.filter(|(name, _)| !KEYWORDS.contains(name)).collect();
        top.sort_by_key(|&(name, count)| (std::cmp::Reverse(count), name));
        top.truncate(count);
        top
    }
}

const KEYWORDS: [&str; 38] = [
    "as", "async", "await", "break", "const", "continue", "crate", "dyn", "else", "enum", "extern",
    "false", "fn", "for", "if", "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub",
    "ref", "return", "self", "Self", "static", "struct", "super", "trait", "true", "type",
    "unsafe", "use", "where", "while",
];
