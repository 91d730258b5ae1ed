//! Folders for programs that must know nothing of this workspace.
//!
//! Invariant: all of it is gone when the last owner of a `Scratch` is. Sources lie in the system's
//! temporary folder, so that cargo finds no manifest or configuration of ours on its way up; builds
//! lie below our target folder, where there is room for it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io, process};

use crate::workspace::Workspace;

/// A temporary folder and a target folder, both removed with it.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: PathBuf,
    target: PathBuf,
    home: PathBuf,
}

impl Scratch {
    /// # Errors
    ///
    /// The temporary folder could not be made.
    pub(crate) fn new(workspace: &Workspace) -> io::Result<Scratch> {
        let target = workspace.target().join("matrix");
        // Leftovers of an interrupted run.
        let _ = fs::remove_dir_all(&target);
        // Canonical, because git and cargo do not agree on the names of linked folders.
        let base = env::temp_dir().canonicalize()?;
        let mut attempt = 0;
        loop {
            let folder = base.join(format!("xtask-{}-{attempt}", process::id()));
            match fs::create_dir(&folder) {
                Ok(()) => {
                    let home = cargo_home(&folder)?;
                    return Ok(Scratch { folder, target, home });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// The folder for sources.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// `cargo` with these arguments, for a program in `folder`.
    ///
    /// All programs share one target folder and one home: with another home cargo would build the
    /// dependencies again. No incremental builds and no debug information, since nothing here is
    /// built twice or debugged.
    pub(crate) fn cargo<A: AsRef<OsStr>>(
        &self,
        workspace: &Workspace,
        folder: &Path,
        args: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = workspace.cargo(args);
        command.current_dir(folder);
        command.env("CARGO_TARGET_DIR", &self.target).env("CARGO_HOME", &self.home);
        command.env("CARGO_INCREMENTAL", "0").env("CARGO_PROFILE_DEV_DEBUG", "0");
        command
    }
}

/// A home for cargo that shares the user's registry but keeps our repository out of their cache.
fn cargo_home(folder: &Path) -> io::Result<PathBuf> {
    let user = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let home = folder.join("cargo-home");
    fs::create_dir_all(&home)?;
    if let Some(user) = user {
        // On a bare machine cargo has not made it yet.
        fs::create_dir_all(user.join("registry"))?;
        for name in ["registry", "config.toml", "config"] {
            let original = user.join(name);
            if original.exists() {
                std::os::unix::fs::symlink(original, home.join(name))?;
            }
        }
    }
    Ok(home)
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
/// The system's error, unchanged.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}

/// Copies a checkout without its history and without its builds.
///
/// # Errors
///
/// The system's error, unchanged.
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
