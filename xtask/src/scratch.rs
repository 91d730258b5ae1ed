//! Folders for programs that must know nothing of this workspace.
//!
//! Invariant: all of it is gone when the last owner of a `Scratch` is. Sources lie in the
//! system's temporary folder, so that cargo finds no manifest or configuration of ours on its way
//! up; what is built lies below our target folder, where there is room for it.

use std::path::{Path, PathBuf};
use std::{env, fs, io, process};

use crate::workspace::Workspace;

/// A temporary folder and a target folder, both removed with it.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: PathBuf,
    target: PathBuf,
}

impl Scratch {
    /// # Errors
    ///
    /// The temporary folder could not be made.
    pub(crate) fn new(workspace: &Workspace) -> io::Result<Scratch> {
        let target = workspace.target().join("matrix");
        // What an interrupted run has left.
        let _ = fs::remove_dir_all(&target);
        // Canonical, because git and cargo do not agree on the names of linked folders.
        let base = env::temp_dir().canonicalize()?;
        let mut attempt = 0;
        loop {
            let folder = base.join(format!("xtask-{}-{attempt}", process::id()));
            match fs::create_dir(&folder) {
                Ok(()) => return Ok(Scratch { folder, target }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Where sources go.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// `CARGO_TARGET_DIR` of everything built from here.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for folder in [&self.folder, &self.target] {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// Writes a file and the folders above it.
///
/// # Errors
///
/// The system's, unchanged.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}

/// Copies a checkout without its history and without what was built in it.
///
/// # Errors
///
/// The system's, unchanged.
pub(crate) fn copy_checkout(from: &Path, to: &Path) -> io::Result<()> {
    copy(from, to, &|name| name != ".git" && name != "target" && !name.starts_with("target-"))
}

fn copy(from: &Path, to: &Path, is_wanted: &dyn Fn(&str) -> bool) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if !is_wanted(&entry.file_name().to_string_lossy()) {
            continue;
        }
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&entry.path(), &target, &|_| true)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkout_is_copied_without_builds_and_history() {
        let folder = env::temp_dir().join(format!("xtask-copy-{}", process::id()));
        let (from, to) = (folder.join("from"), folder.join("to"));
        for file in
            ["Cargo.toml", "a/src/lib.rs", "a/target/kept", ".git/HEAD", "target/x", "target-y/z"]
        {
            write(&from.join(file), file).unwrap();
        }
        copy_checkout(&from, &to).unwrap();
        let has = |file: &str| to.join(file).exists();
        assert!(has("Cargo.toml") && has("a/src/lib.rs") && has("a/target/kept"));
        assert!(!has(".git") && !has("target") && !has("target-y"));
        fs::remove_dir_all(folder).unwrap();
    }
}
