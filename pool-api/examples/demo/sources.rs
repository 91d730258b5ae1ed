//! Which files the job reads: those of the crates that Cargo has downloaded, or of given folders.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

/// Fewer files than this are gone over several times, so that there is something to measure.
const ENOUGH: usize = 1000;

/// The input of the job.
pub(crate) struct Sources {
    /// What a task gets: paths as text, as often as they are gone over.
    pub(crate) paths: Vec<String>,
    /// How often.
    pub(crate) rounds: usize,
    /// Where they lie.
    pub(crate) folders: Vec<PathBuf>,
}

impl Sources {
    /// All Rust files below `folders`, or without any below Cargo's downloads.
    pub(crate) fn find(folders: &[PathBuf]) -> io::Result<Self> {
        let mut paths = Vec::new();
        let mut folders = folders.to_vec();
        if folders.is_empty() {
            // A kind of download that was never made has no folder.
            folders = downloads().into_iter().filter(|folder| folder.is_dir()).collect();
        }
        for folder in &folders {
            collect(folder, &mut paths).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", folder.display()))
            })?;
        }
        paths.sort();
        let rounds = ENOUGH.div_ceil(paths.len().max(1)).max(1);
        let count = paths.len() * rounds;
        Ok(Self { paths: paths.into_iter().cycle().take(count).collect(), rounds, folders })
    }
}

/// Where Cargo unpacks what it downloads.
fn downloads() -> Vec<PathBuf> {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")));
    home.iter()
        .flat_map(|home| ["registry/src", "git/checkouts"].map(|part| home.join(part)))
        .collect()
}

fn collect(folder: &Path, paths: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
        if kind.is_dir() {
            collect(&path, paths)?;
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
            // A name that is no text cannot cross as one; sources have none of those.
            paths.extend(path.into_os_string().into_string());
        }
    }
    Ok(())
}
