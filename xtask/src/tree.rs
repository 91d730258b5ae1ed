//! The dependencies of a crate, read from `cargo tree -e normal --prefix none`.

use std::collections::BTreeSet;

use crate::workspace::{LAYERS, Layer};

/// Counts the third-party crates of a program that depends only on `asked`.
///
/// The first line of the listing is the program itself.
///
/// # Errors
///
/// The fault: more crates than the limit, or a crate of ours from a higher layer.
pub(crate) fn check(listing: &str, asked: Layer) -> Result<usize, String> {
    // "name v1.2.3 (proc-macro) (/path) (*)": the first two words tell crates apart.
    let crates: BTreeSet<(&str, &str)> = listing
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?))
        })
        .collect();
    let layer = |name: &str| LAYERS.iter().position(|layer| layer.name == name);
    let (ours, others): (Vec<_>, Vec<_>) =
        crates.into_iter().partition(|(name, _)| layer(name).is_some());
    if !ours.iter().any(|(name, _)| *name == asked.name) {
        return Err(format!("{} is not in the listing", asked.name));
    }
    if let Some((above, _)) = ours.iter().find(|(name, _)| layer(name) > layer(asked.name)) {
        return Err(format!("{} brings {above}, which stands above it", asked.name));
    }
    if others.len() > asked.third_party_limit {
        let names: Vec<&str> = others.iter().map(|(name, _)| *name).collect();
        return Err(format!(
            "{} brings {} third-party crates, the limit is {}: {}",
            asked.name,
            others.len(),
            asked.third_party_limit,
            names.join(" ")
        ));
    }
    Ok(others.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "\
fresh v0.1.0 (/src/fresh)
pool-shm v0.1.0 (/src/pool-shm)
libc v0.2.170
memmap2 v0.9.10
libc v0.2.170
nix v0.31.0
libc v0.2.170 (*)
derive v1.0.0 (proc-macro)
derive v2.0.0 (proc-macro)
";

    fn layer(name: &str) -> Layer {
        LAYERS.into_iter().find(|layer| layer.name == name).unwrap()
    }

    #[test]
    fn each_version_counts_once() {
        assert_eq!(check(LISTING, layer("pool-shm")), Ok(5));
    }

    #[test]
    fn too_many_or_too_high_is_refused() {
        let strict = Layer { third_party_limit: 4, ..layer("pool-shm") };
        assert!(check(LISTING, strict).unwrap_err().contains("the limit is 4"));
        let high = format!("{LISTING}pool-core v0.1.0 (/src/pool-core)\n");
        assert!(check(&high, layer("pool-shm")).unwrap_err().contains("brings pool-core"));
        assert!(check(LISTING, layer("pool-ipc")).is_err());
    }
}
