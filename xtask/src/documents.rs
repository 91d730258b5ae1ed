//! Do links in the documents lead somewhere, on disk and in the pages of the guide, and is the
//! README short?
//!
//! A chapter of the guide is read as a file and as a page. Its links are defined at its end, for
//! the file, and in `pool-api/src/guide.rs`, for the page: a label that only the file defines would
//! lead to a path that the page does not have.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::workspace::Workspace;

/// The most lines that the README may have.
const README_LINES: usize = 150;
/// The file that defines the links of the pages.
const PAGES: &str = "pool-api/src/guide.rs";
/// Where the chapters are; the other one is `FAQ.md`.
const CHAPTERS: &str = "pool-api/docs/guide";

/// How many links there are.
///
/// # Errors
///
/// One line for each thing that is wrong, with its file.
pub(crate) fn check(workspace: &Workspace) -> Result<String, String> {
    let root = workspace.root();
    let mut faults = Vec::new();
    let read = |path: &Path| {
        fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let pages = read(&root.join(PAGES))?;
    let mut files = Vec::new();
    find(root, &mut files).map_err(|error| error.to_string())?;
    files.sort();
    let mut count = 0;
    for file in &files {
        let text = read(file)?;
        let name = file.strip_prefix(root).unwrap_or(file).display().to_string();
        let links = Links::of(&text);
        count += links.targets.len();
        for target in &links.targets {
            if let Some(why) = leads_nowhere(file, &text, target) {
                faults.push(format!("{name}: {target}: {why}"));
            }
        }
        if name.starts_with(CHAPTERS) || name == "FAQ.md" {
            let undefined = links.used.difference(&links.defined);
            faults.extend(undefined.map(|label| format!("{name}: [{label}] has no definition")));
            let unknown = links.defined.iter().filter(|label| !is_defined_for_pages(&pages, label));
            faults
                .extend(unknown.map(|label| format!("{name}: {PAGES} does not define [{label}]")));
        }
        if name == "README.md" && text.lines().count() > README_LINES {
            faults.push(format!("{name} has more than {README_LINES} lines"));
        }
    }
    if faults.is_empty() {
        Ok(format!("{} documents, {count} links", files.len()))
    } else {
        Err(faults.join("\n"))
    }
}

/// All documents below a folder. Those that are links are found where they lead.
fn find(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, entry.path());
        let name = entry.file_name().to_string_lossy().into_owned();
        if kind.is_dir() && !name.starts_with('.') && !name.starts_with("target") {
            find(&path, files)?;
        } else if kind.is_file() && name.ends_with(".md") {
            files.push(path);
        }
    }
    Ok(())
}

fn is_defined_for_pages(pages: &str, label: &str) -> bool {
    pages.contains(&format!("\"[{label}]: crate::")) || pages.contains(&format!("\"{label}\" =>"))
}

/// What a document links to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Links {
    targets: Vec<String>,
    /// Labels of links whose target stands elsewhere.
    used: BTreeSet<String>,
    defined: BTreeSet<String>,
}

impl Links {
    fn of(text: &str) -> Self {
        let mut links = Self::default();
        let mut prose = String::new();
        let mut is_code = false;
        for line in text.lines() {
            if line.trim_start().starts_with("```") {
                is_code = !is_code;
            } else if is_code {
            } else if let Some((label, target)) = definition(line) {
                links.defined.insert(label.to_owned());
                links.targets.push(target.to_owned());
            } else {
                prose += line;
                prose.push('\n');
            }
        }
        links.read(&prose);
        links
    }

    /// Takes in what stands in brackets, outside of code.
    fn read(&mut self, prose: &str) {
        let mut rest = prose;
        while let Some(at) = rest.find(['`', '[']) {
            let inside = &rest[at + 1..];
            let end = if rest[at..].starts_with('`') { '`' } else { ']' };
            // The end of a link whose text is code lies behind that code.
            let Some(len) = end_of(inside, end) else { return };
            let text = &inside[..len];
            rest = &inside[len + 1..];
            if end == '`' {
                continue;
            }
            let behind = |open, close| {
                let inside: &str = rest.strip_prefix(open)?;
                let len = inside.find(close)?;
                Some((&inside[..len], &inside[len + 1..]))
            };
            if let Some((target, behind)) = behind('(', ')') {
                self.targets.push(target.to_owned());
                rest = behind;
            } else if let Some((label, behind)) = behind('[', ']') {
                self.used.insert(label.to_owned());
                rest = behind;
            } else {
                let words: Vec<&str> = text.split_whitespace().collect();
                self.used.insert(words.join(" "));
            }
        }
    }
}

/// Where a link's text, or code, ends.
fn end_of(text: &str, end: char) -> Option<usize> {
    let mut is_code = false;
    text.char_indices().find_map(|(at, letter)| {
        if letter == end && !is_code {
            return Some(at);
        }
        is_code ^= letter == '`';
        None
    })
}

/// The label and the target of a line `[label]: target`.
fn definition(line: &str) -> Option<(&str, &str)> {
    let (label, target) = line.strip_prefix('[')?.split_once("]: ")?;
    Some((label, target.trim()))
}

/// Why a link of a document leads nowhere, if it does. Addresses and paths of Rust are not
/// followed.
fn leads_nowhere(file: &Path, text: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.contains("::") {
        return None;
    }
    let (path, heading) = target.split_once('#').map_or((target, None), |(p, h)| (p, Some(h)));
    let place = if path.is_empty() { file.to_owned() } else { file.parent()?.join(path) };
    if !place.exists() {
        return Some("there is no such file".to_owned());
    }
    let heading = heading?;
    let there = if path.is_empty() { text.to_owned() } else { fs::read_to_string(&place).ok()? };
    let is_there = there.lines().any(|line| line.starts_with('#') && slug(line) == heading);
    (!is_there).then(|| "there is no such heading".to_owned())
}

/// How a heading is called in addresses.
fn slug(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept.chars().filter(|letter| letter.is_alphanumeric() || "-_ ".contains(*letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_of_code() {
        let text = "\
# A
See [b](c.md#d), [`e`], [f
g][h], [j
  k] and `[i]`.

```rust
x[0]
```
[`e`]: ../e.rs
";
        let links = Links::of(text);
        assert_eq!(links.targets, ["../e.rs", "c.md#d"]);
        assert_eq!(links.used, ["`e`", "h", "j k"].map(str::to_owned).into());
        assert_eq!(links.defined, ["`e`"].map(str::to_owned).into());
    }

    #[test]
    fn headings_have_names() {
        assert_eq!(slug("## My type cannot cross"), "my-type-cannot-cross");
        assert_eq!(slug("# FAQ, by symptom"), "faq-by-symptom");
        let here = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/documents.rs"));
        assert_eq!(leads_nowhere(here, "# A b\n", "#a-b"), None);
        assert!(leads_nowhere(here, "# A b\n", "#c").is_some());
        assert_eq!(leads_nowhere(here, "", "https://docs.rs/log"), None);
    }

    #[test]
    fn a_label_has_two_definitions() {
        let pages = "\"[calls]: crate::guide::calls\\n\",\n\"`n_jobs`\" => \"Builder::n_jobs\",";
        assert!(is_defined_for_pages(pages, "calls"));
        assert!(is_defined_for_pages(pages, "`n_jobs`"));
        assert!(!is_defined_for_pages(pages, "n_jobs"));
    }
}
