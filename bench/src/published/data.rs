//! The input of the benchmarks, in files that Rust and Python read.
//!
//! Invariant: the folder is removed when the value is dropped.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{Outcome, subjects};

/// The folder with the input.
pub(crate) struct Data {
    folder: PathBuf,
}

impl Data {
    /// Makes the input: `quick` a tenth of it.
    pub(crate) fn make(quick: bool) -> Outcome<Self> {
        let folder = std::env::temp_dir().join(format!("pool-published-{}", std::process::id()));
        fs::create_dir(&folder)?;
        let data = Self { folder };
        let (image, filters) = subjects::image_filters::make(1500, if quick { 8 } else { 80 });
        fs::write(data.folder.join("image"), bytes(&image.pixels))?;
        fs::write(data.folder.join("filters"), bytes(filters.as_flattened()))?;
        let documents = subjects::word_prefixes::make(if quick { 400 } else { 4000 }, 250);
        fs::write(data.folder.join("documents"), documents.join("\n"))?;
        fs::write(data.folder.join("model"), subjects::expensive_model::make_text())?;
        let pictures = subjects::expensive_model::make_pictures(if quick { 1000 } else { 10_000 });
        fs::write(data.folder.join("pictures"), pictures.concat())?;
        Ok(data)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}
