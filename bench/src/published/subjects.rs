//! The subjects in Rust: one process does the work in one way, and prints how long it took and a
//! digest of the results.
//!
//! What is timed begins with the input in memory and ends with all results there: pools are built
//! and stopped within. Reading the model's file is part of the work.

use std::{fs, path::Path, time::Instant};

use pool_api::StartMethod;
use rayon::{ThreadPoolBuilder, prelude::*};

use crate::{Benchmark, Outcome};

#[allow(dead_code)]
#[path = "../../../pool-api/examples/expensive_model.rs"]
pub(crate) mod expensive_model;
#[allow(dead_code)]
#[path = "../../../pool-api/examples/image_filters.rs"]
pub(crate) mod image_filters;
#[allow(dead_code)]
#[path = "../../../pool-api/examples/word_prefixes.rs"]
pub(crate) mod word_prefixes;

/// What stands before the line that a subject prints.
pub(crate) const MARK: &str = "PUBLISHED";

/// The subjects, in the order of the table.
pub(crate) const SUBJECTS: [&str; 6] =
    ["serial", "rayon", "threads", "fork", "forkserver", "spawn"];

/// Does the work of one subject and prints the line.
pub(crate) fn run(benchmark: Benchmark, subject: &str, folder: &Path, workers: usize) -> Outcome {
    let way = match subject {
        "serial" => Way::Serial,
        "rayon" => Way::Rayon,
        method => Way::Pool(method.parse()?),
    };
    let (seconds, digest) = match benchmark {
        Benchmark::Images => images(way, folder, workers)?,
        Benchmark::Words => words(way, folder, workers)?,
        Benchmark::Model => model(way, folder, workers)?,
    };
    let digest = digest.iter().map(f64::to_string).collect::<Vec<_>>().join(" ");
    println!("{MARK}\t{seconds}\t{digest}");
    Ok(())
}

enum Way {
    Serial,
    Rayon,
    Pool(StartMethod),
}

/// Times the work.
fn timed<R>(work: impl FnOnce() -> Outcome<R>) -> Outcome<(f64, R)> {
    let begun = Instant::now();
    let results = work()?;
    Ok((begun.elapsed().as_secs_f64(), results))
}

fn rayon<R: Send>(workers: usize, work: impl FnOnce() -> R + Send) -> Outcome<R> {
    Ok(ThreadPoolBuilder::new().num_threads(workers).build()?.install(work))
}

/// The digest has the sum of each filtered image.
fn images(way: Way, folder: &Path, workers: usize) -> Outcome<(f64, Vec<f64>)> {
    use image_filters::{Image, filtered, pooled, serial};
    let pixels = numbers(&fs::read(folder.join("image"))?);
    let image = Image { side: pixels.len().isqrt(), pixels };
    let filters = numbers(&fs::read(folder.join("filters"))?);
    let (filters, _) = filters.as_chunks();
    let (seconds, results) = match way {
        Way::Serial => timed(|| Ok(serial(&image, filters)))?,
        Way::Rayon => timed(|| {
            let filter = |filter| filtered(&image, filter);
            rayon(workers, || filters.par_iter().map(filter).collect::<Vec<_>>())
        })?,
        Way::Pool(method) => timed(|| Ok(pooled(method, workers, image, filters)?))?,
    };
    let sum = |pixels: &Vec<f32>| pixels.iter().map(|pixel| f64::from(*pixel)).sum();
    Ok((seconds, results.iter().map(sum).collect()))
}

/// The digest has the number of prefixes, the number of all occurrences, and the most of one.
fn words(way: Way, folder: &Path, workers: usize) -> Outcome<(f64, Vec<f64>)> {
    use word_prefixes::{Counts, count, merge, pooled, serial};
    let text = fs::read_to_string(folder.join("documents"))?;
    let documents: Vec<String> = text.lines().map(str::to_owned).collect();
    drop(text);
    let (seconds, counts) = match way {
        Way::Serial => timed(|| Ok(serial(&documents)))?,
        Way::Rayon => timed(|| {
            let add = |mut counts: Counts, document: &String| {
                count(&mut counts, document);
                counts
            };
            // A part for each worker, since each part has counts of its own.
            let part_len = documents.len().div_ceil(workers).max(1);
            rayon(workers, || {
                let parts = documents.par_chunks(part_len);
                let counts = parts.map(|part| part.iter().fold(Counts::new(), add));
                counts.reduce_with(merge).unwrap_or_default()
            })
        })?,
        Way::Pool(method) => timed(|| Ok(pooled(method, workers, &documents)?))?,
    };
    let most = counts.values().max().copied().unwrap_or(0);
    let all: u64 = counts.values().sum();
    Ok((seconds, vec![counts.len() as f64, all as f64, most as f64]))
}

/// The digest has how many pictures are of each class.
fn model(way: Way, folder: &Path, workers: usize) -> Outcome<(f64, Vec<f64>)> {
    use expensive_model::{classify, load, pooled, serial};
    let file = folder.join("model");
    let file = file.to_str().ok_or("the folder's name is no text")?;
    let pictures = fs::read(folder.join("pictures"))?;
    let pictures: Vec<Vec<u8>> = pictures.chunks(784).map(<[u8]>::to_vec).collect();
    let (seconds, classes) = match way {
        Way::Serial => timed(|| Ok(serial(file, &pictures)))?,
        Way::Rayon => timed(|| {
            // Threads share one model.
            let model = load(&fs::read_to_string(file)?);
            let class = |picture: &Vec<u8>| classify(&model, picture);
            rayon(workers, || pictures.par_iter().map(class).collect::<Vec<_>>())
        })?,
        Way::Pool(method) => timed(|| Ok(pooled(method, workers, file, &pictures)?))?,
    };
    let mut pictures_of = vec![0.0; 10];
    classes.into_iter().for_each(|class| pictures_of[class] += 1.0);
    Ok((seconds, pictures_of))
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks();
    numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}
