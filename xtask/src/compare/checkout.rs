//! The files of another revision, in a working tree of git that is there for one comparison.
//!
//! Invariant: the working tree is removed when its value is dropped, and when this program ends
//! before: a guard process waits for the end of a pipe that only this program holds open.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How many digits of a commit's name are shown.
const DIGITS: usize = 12;

/// A commit of the repository.
#[derive(Debug)]
pub(super) struct Revision {
    root: PathBuf,
    /// What the user calls it.
    given: String,
    commit: String,
}

impl Revision {
    /// # Errors
    ///
    /// There is no git, no repository, or no such revision.
    pub(super) fn find(root: &Path, given: &str) -> Result<Revision, String> {
        git(root, &["rev-parse", "--git-dir"])?;
        let name = format!("{given}^{{commit}}");
        let commit = git(root, &["rev-parse", "--verify", "--quiet", "--end-of-options", &name])
            .map_err(|_| format!("git knows no revision `{given}`"))?;
        let commit = commit.trim().to_owned();
        Ok(Revision { root: root.to_owned(), given: given.to_owned(), commit })
    }

    /// What it is called in the table.
    pub(super) fn name(&self) -> String {
        self.given.clone()
    }

    /// The text of a file.
    ///
    /// # Errors
    ///
    /// The revision has no such file.
    pub(super) fn read(&self, file: &str) -> Result<String, String> {
        git(&self.root, &["show", &format!("{}:{file}", self.commit)])
            .map_err(|_| format!("`{}` has no {file}, so there is nothing to compare", self.given))
    }
}

/// The working tree.
#[derive(Debug)]
pub(super) struct Checkout {
    path: PathBuf,
    guard: Child,
}

impl Checkout {
    /// Makes a working tree below a folder.
    ///
    /// # Errors
    ///
    /// Git cannot, or the working tree is there already.
    pub(super) fn make(revision: &Revision, folder: &Path) -> Result<Checkout, String> {
        let short = revision.commit.get(..DIGITS).unwrap_or(&revision.commit);
        let path = folder.join(short);
        let shown = path.display();
        if path.exists() {
            return Err(format!(
                "{shown} belongs to another comparison; if none is running, remove it: git \
                 worktree remove --force {shown}"
            ));
        }
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let text = path.to_str().ok_or("the target folder's name is not UTF-8")?.to_owned();
        let guard = guard(&revision.root, &text).map_err(|error| format!("sh: {error}"))?;
        let checkout = Checkout { path, guard };
        git(&revision.root, &["worktree", "add", "--detach", &text, &revision.commit])?;
        Ok(checkout)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// Removes a working tree at the end of its input. It is in a process group of its own, which the
/// terminal's Ctrl-C does not reach.
fn guard(root: &Path, path: &str) -> io::Result<Child> {
    let script = "read -r _; git worktree remove --force \"$1\" || rm -rf \"$1\"; \
                  git worktree prune";
    Command::new("sh")
        .args(["-c", script, "sh", path])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}

/// What git prints.
///
/// # Errors
///
/// What it complains about, or that there is none.
fn git(root: &Path, args: &[&str]) -> Result<String, String> {
    let output = Command::new("git").arg("-C").arg(root).args(args).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("git: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("git: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

#[cfg(test)]
mod tests {
    use std::{env, process};

    use super::*;

    /// A repository with one commit, if there is git.
    fn repository(name: &str) -> Option<PathBuf> {
        Command::new("git").arg("--version").stdout(Stdio::null()).status().ok()?;
        let folder = env::temp_dir().join(format!("xtask-{name}-{}", process::id()));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("file"), "text").unwrap();
        let folder = folder.canonicalize().unwrap();
        for args in [
            &["init", "--quiet"][..],
            &["add", "file"],
            &["config", "user.name", "a"],
            &["config", "user.email", "a@b"],
            &["config", "commit.gpgsign", "false"],
            &["commit", "--quiet", "-m", "one"],
        ] {
            git(&folder, args).unwrap();
        }
        Some(folder)
    }

    #[test]
    fn a_working_tree_is_there_until_it_is_dropped() {
        let Some(root) = repository("checkout") else { return };
        let revision = Revision::find(&root, "HEAD").unwrap();
        assert_eq!(revision.read("file").unwrap(), "text");
        let nothing = revision.read("other").unwrap_err();
        assert_eq!(nothing, "`HEAD` has no other, so there is nothing to compare");
        let folder = root.join("target");
        let checkout = Checkout::make(&revision, &folder).unwrap();
        let path = checkout.path().to_owned();
        assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "text");
        let second = Checkout::make(&revision, &folder).unwrap_err();
        assert!(second.contains("belongs to another comparison"), "{second}");
        assert!(path.exists());
        fs::write(path.join("built"), "").unwrap();
        drop(checkout);
        assert!(!path.exists());
        let trees = git(&root, &["worktree", "list"]).unwrap();
        assert_eq!(trees.lines().count(), 1, "{trees}");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn unknown_revisions_and_repositories_are_told() {
        let Some(root) = repository("revisions") else { return };
        for name in ["no-such", "--help", ""] {
            let told = Revision::find(&root, name).unwrap_err();
            assert_eq!(told, format!("git knows no revision `{name}`"));
        }
        fs::remove_dir_all(root.join(".git")).unwrap();
        let told = Revision::find(&root, "HEAD").unwrap_err();
        assert!(told.starts_with("git: "), "{told}");
        fs::remove_dir_all(root).unwrap();
    }
}
