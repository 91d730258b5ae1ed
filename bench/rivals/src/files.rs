//! The files of iceoryx2, which outlive processes that are killed.
//!
//! Invariant: their names begin with a word and the id of the program that conducts the run. It
//! removes them at its end, and those of programs that were killed before theirs.

use std::{
    env, fs,
    os::unix::{ffi::OsStrExt as _, process::parent_id},
    path::PathBuf,
    process,
};

use iceoryx2::prelude::{Config, FileName, Path, SemanticString as _};
use pool_bench::Outcome;

const WORD: &str = "pool-rivals-";
/// The folder of shared memory that has a name.
const SHARED_MEMORY: &str = "/dev/shm";

/// Settings with the names of this run, for the copy of the program that measures a part of it. Its
/// peers are told them, since they have another parent.
pub(crate) fn config() -> Outcome<Config> {
    let name = format!("{WORD}{}-", parent_id());
    let root = env::temp_dir().join(&name);
    let fault = |error| format!("{name}: {error:?}");
    let mut config = Config::default();
    config.global.set_root_path(&Path::new(root.as_os_str().as_bytes()).map_err(fault)?);
    config.global.prefix = FileName::new(name.as_bytes()).map_err(fault)?;
    // The end of the run does it for all.
    config.global.node.cleanup_dead_nodes_on_creation = false;
    config.global.node.cleanup_dead_nodes_on_destruction = false;
    config.global.service.cleanup_dead_nodes_on_open = false;
    Ok(config)
}

/// Removes the files of runs that this program conducts, or that a program has conducted which has
/// ended.
pub(crate) fn remove() {
    for folder in [env::temp_dir(), PathBuf::from(SHARED_MEMORY)] {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for entry in entries.flatten() {
            let Some(conductor) = entry.file_name().to_str().and_then(conductor) else { continue };
            let has_ended = !PathBuf::from(format!("/proc/{conductor}")).exists();
            if conductor == process::id() || has_ended {
                let path = entry.path();
                let removed =
                    if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                if let Err(error) = removed {
                    eprintln!("pool-rivals: {}: {error}", path.display());
                }
            }
        }
    }
}

/// The id in the name of a file.
fn conductor(name: &str) -> Option<u32> {
    name.strip_prefix(WORD)?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_their_conductor() {
        assert_eq!(conductor("pool-rivals-17-abc.data"), Some(17));
        assert_eq!(conductor("pool-rivals-x"), None);
        assert_eq!(conductor("other-17-"), None);
    }
}
