//! The definitions, imports and mentions of a crate's files, as a tree of modules.
//!
//! Only code that is compiled outside of tests is in it: an item below `#[cfg(test)]` is cut out,
//! and with it the files that only tests declare (`cut.rs`). Features are all on. Names are looked
//! up in `resolve.rs`.

use std::collections::{BTreeMap, BTreeSet};

use super::cut::without_tests;
use super::lexer::{Token, tokens};
use super::syntax::{closing, definition, import_tree, is_public, path};

/// The modules of a crate; the first one is its root.
#[derive(Debug, Default)]
pub(crate) struct Crate {
    pub(crate) modules: Vec<Module>,
}

/// A module: a file, or an inline module in one.
#[derive(Debug, Default)]
pub(crate) struct Module {
    pub(crate) parent: Option<usize>,
    /// Relative to the crate's `src`.
    pub(crate) file: String,
    pub(crate) children: BTreeMap<String, usize>,
    /// The items defined directly in the module.
    pub(crate) items: BTreeSet<String>,
    /// The items defined in blocks and macros of it.
    pub(crate) nested_items: BTreeSet<String>,
    pub(crate) imports: Vec<Import>,
    /// Paths outside of `use`, of two segments or more.
    pub(crate) mentions: Vec<Mention>,
    /// All words outside of `use`.
    pub(crate) words: BTreeSet<String>,
}

/// One leaf of a `use`.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) path: Vec<String>,
    /// The name it has in the module, or `*`.
    pub(crate) name: String,
    pub(crate) is_public: bool,
    pub(crate) line: usize,
}

/// A path in an expression, a type, a macro …
#[derive(Debug)]
pub(crate) struct Mention {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

impl Crate {
    /// Reads a crate from its root `lib.rs`; the keys of `files` are relative to `src`.
    ///
    /// # Errors
    ///
    /// The file of a module is missing.
    pub(crate) fn parse(files: &BTreeMap<String, String>) -> Result<Crate, String> {
        let mut parser = Parser { files, found: Crate::default() };
        parser.file("lib.rs", None)?;
        Ok(parser.found)
    }
}

struct Parser<'a> {
    files: &'a BTreeMap<String, String>,
    found: Crate,
}

impl Parser<'_> {
    /// Reads a module from its file and returns its index.
    fn file(&mut self, file: &str, parent: Option<usize>) -> Result<usize, String> {
        let text = self.files.get(file).ok_or_else(|| format!("{file}: there is no such file"))?;
        let module = self.add(file, parent);
        let stem = file.trim_end_matches(".rs");
        let folder = match (file, stem.strip_suffix("/mod")) {
            ("lib.rs", _) => String::new(),
            (_, Some(folder)) => format!("{folder}/"),
            (_, None) => format!("{stem}/"),
        };
        self.body(&without_tests(&tokens(text)), module, &folder)?;
        Ok(module)
    }

    fn add(&mut self, file: &str, parent: Option<usize>) -> usize {
        self.found.modules.push(Module { parent, file: file.to_owned(), ..Module::default() });
        self.found.modules.len() - 1
    }

    /// Reads the tokens of a module whose files lie in `folder`.
    fn body(&mut self, tokens: &[Token<'_>], module: usize, folder: &str) -> Result<(), String> {
        let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
        let mut depth = 0usize;
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token.text {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                "mod" if matches!(text(at + 2), ";" | "{") => {
                    let name = text(at + 1);
                    at += 2;
                    let child = if text(at) == ";" {
                        let nested = format!("{folder}{name}/mod.rs");
                        let is_nested = self.files.contains_key(&nested);
                        let file = if is_nested { nested } else { format!("{folder}{name}.rs") };
                        self.file(&file, Some(module))?
                    } else {
                        let end = closing(tokens, at);
                        let file = self.found.modules[module].file.clone();
                        let child = self.add(&file, Some(module));
                        self.body(&tokens[at + 1..end], child, &format!("{folder}{name}/"))?;
                        at = end;
                        child
                    };
                    self.found.modules[module].children.insert(name.to_owned(), child);
                }
                "use" if text(at + 1) != "<" => {
                    let is_public = is_public(&tokens[..at]);
                    at += 1;
                    let imports = &mut self.found.modules[module].imports;
                    at = import_tree(tokens, at, &[], is_public, imports);
                    continue;
                }
                _ if token.is_word() => {
                    let found = &mut self.found.modules[module];
                    found.words.insert(token.text.to_owned());
                    if let Some(name) = definition(tokens, at) {
                        let items =
                            if depth == 0 { &mut found.items } else { &mut found.nested_items };
                        items.insert(name.text.to_owned());
                    } else if let Some(path) = path(tokens, at) {
                        found.mentions.push(Mention { path, line: token.line });
                    }
                }
                _ => {}
            }
            at += 1;
        }
        Ok(())
    }
}
