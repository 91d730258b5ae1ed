//! The workspace, as the gate knows it: its root, its crates from bottom to top, and how cargo is
//! called in it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// The start methods, as `--method` and the Cargo features spell them.
pub(crate) const METHODS: [&str; 4] = ["fork", "forkserver", "spawn", "threads"];

/// The harness-less integration test of `pool-api` that takes `--method`.
pub(crate) const CONFORMANCE: &str = "conformance";

/// A crate that users may depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer {
    /// Package and folder name.
    pub(crate) name: &'static str,
    /// The most third-party crates that its default build may bring along.
    pub(crate) third_party_limit: usize,
    /// Features that must also build one at a time, without the default ones. (The crates between
    /// have no code of their own for a start method, so there a set says no more than none does.)
    pub(crate) single_features: &'static [&'static str],
}

/// The crates from bottom to top: none may depend on one that stands below it in this list.
pub(crate) const LAYERS: [Layer; 7] = [
    Layer { name: "pool-affinity", third_party_limit: 15, single_features: &[] },
    Layer { name: "pool-shm", third_party_limit: 25, single_features: &[] },
    Layer { name: "pool-ipc", third_party_limit: 45, single_features: &[] },
    Layer { name: "pool-core", third_party_limit: 50, single_features: &METHODS },
    Layer { name: "pool-manager", third_party_limit: 55, single_features: &[] },
    Layer { name: "pool-dashboard", third_party_limit: 55, single_features: &[] },
    Layer { name: "pool-api", third_party_limit: 55, single_features: &METHODS },
];

/// The layer on which users build, and which owns the conformance suite and the demo.
pub(crate) const FACADE: Layer = LAYERS[LAYERS.len() - 1];

/// One way to build a crate alone.
#[derive(Clone, Debug)]
pub(crate) struct FeatureSet {
    /// For people: "default", "no features", "only spawn".
    pub(crate) label: String,
    /// For cargo.
    pub(crate) flags: Vec<&'static str>,
    /// The start method that this set is about, if it is about one.
    pub(crate) method: Option<&'static str>,
}

impl Layer {
    /// Every feature set in which the crate has to build without its neighbours.
    pub(crate) fn feature_sets(self) -> Vec<FeatureSet> {
        let set = |label: &str, flags: &[&'static str], method| FeatureSet {
            label: label.to_owned(),
            flags: flags.to_vec(),
            method,
        };
        let mut sets =
            vec![set("default", &[], None), set("no features", &["--no-default-features"], None)];
        for feature in self.single_features {
            let flags = ["--no-default-features", "--features", feature];
            sets.push(set(&format!("only {feature}"), &flags, Some(*feature)));
        }
        sets
    }
}

/// The checkout that the gate works on.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
    cargo: OsString,
}

impl Workspace {
    /// The workspace from which `cargo xtask` was called.
    pub(crate) fn current() -> Workspace {
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = package.parent().map_or_else(|| package.clone(), Path::to_path_buf);
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(folder) => std::path::absolute(&folder).unwrap_or_else(|_| folder.into()),
            None => root.join("target"),
        };
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Workspace { root, target, cargo }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// `cargo` with these arguments, at the root of the workspace.
    pub(crate) fn cargo<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = self.cargo_here(args);
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        command
    }

    /// A verb of `cargo` for all crates that users may depend on, with all of their features.
    ///
    /// The selection is one and the same for all tests, since cargo builds a crate anew for each
    /// set of features, and the selected crates decide on the features of the crates below them.
    pub(crate) fn cargo_for_all<A: AsRef<OsStr>>(
        &self,
        verb: &str,
        args: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = self.cargo([verb]);
        for layer in LAYERS {
            command.args(["-p", layer.name]);
        }
        command.arg("--all-features").args(args);
        command
    }

    /// `cargo` with these arguments, in the folder that the user is in.
    ///
    /// The variables that `cargo run` sets for this program are taken out of the environment, so
    /// that crates and tests see the environment that they have without the gate.
    pub(crate) fn cargo_here<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(&self.cargo);
        command.args(args);
        for (name, _) in env::vars_os() {
            if let Some(text) = name.to_str()
                && (text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_"))
            {
                command.env_remove(text);
            }
        }
        command
    }

    /// The targets that cargo finds by itself in a crate's `examples` or `tests`, sorted.
    pub(crate) fn targets(&self, package: &str, kind: &str) -> io::Result<Vec<String>> {
        let folder = self.root.join(package).join(kind);
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let is_target = path.extension() == Some(OsStr::new("rs"))
                || path.is_dir() && path.join("main.rs").is_file();
            if is_target && let Some(name) = path.file_stem().and_then(OsStr::to_str) {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crate_of_the_workspace_has_its_layer() {
        let workspace = Workspace::current();
        let manifest = fs::read_to_string(workspace.root().join("Cargo.toml")).unwrap();
        for layer in LAYERS {
            assert!(manifest.contains(&format!("{:?}", layer.name)), "{} is gone", layer.name);
        }
        for entry in fs::read_dir(workspace.root()).unwrap() {
            let entry = entry.unwrap();
            let Ok(own) = fs::read_to_string(entry.path().join("Cargo.toml")) else {
                continue;
            };
            let name = entry.file_name().into_string().unwrap();
            let known = LAYERS.iter().any(|layer| layer.name == name);
            assert!(known || own.contains("publish = false"), "{name} is in no layer");
        }
    }

    #[test]
    fn feature_sets_name_their_method() {
        let sets = FACADE.feature_sets();
        assert_eq!(sets.len(), 2 + METHODS.len());
        assert_eq!(sets[0].flags, [""; 0]);
        assert_eq!(sets[4].label, "only spawn");
        assert_eq!(sets[4].flags, ["--no-default-features", "--features", "spawn"]);
        assert_eq!(sets[4].method, Some("spawn"));
        assert_eq!(LAYERS[0].feature_sets().len(), 2);
    }

    #[test]
    fn targets_are_files_and_folders() {
        let workspace = Workspace::current();
        assert_eq!(workspace.targets("xtask", "no-such-kind").unwrap(), [""; 0]);
        let sources = workspace.targets("xtask", "src").unwrap();
        assert!(sources.contains(&"workspace".to_owned()), "{sources:?}");
        assert!(sources.is_sorted());
    }
}
