//! A model that takes long to load and is fast to ask: each worker loads it once, when it starts,
//! and classifies many pictures with it.
//!
//! The third of the three benchmarks that MPIRE has published; `cargo xtask bench published`
//! measures it.

use std::{fs, path::PathBuf, time::Instant};

use pool_api::{Error, StartMethod, WorkerPool};

/// Pixels of a picture, neurons between, and classes.
const LAYERS: [usize; 3] = [784, 512, 10];

/// Two layers of weights, each row those of one neuron.
pub(crate) struct Model {
    hidden: Vec<f32>,
    output: Vec<f32>,
}

fn random(seed: u64) -> impl Iterator<Item = u64> {
    let next = |state: &u64| {
        Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    };
    std::iter::successors(Some(seed), next).skip(1).map(|state| state >> 40)
}

/// The weights of a model as text, as some programs store them.
pub(crate) fn make_text() -> String {
    let count = LAYERS[0] * LAYERS[1] + LAYERS[1] * LAYERS[2];
    let weight = |n| format!("{:.7}", n as f64 / 16_777_216.0 - 0.5);
    random(3).take(count).map(weight).collect::<Vec<_>>().join(" ")
}

/// So many pictures.
pub(crate) fn make_pictures(count: usize) -> Vec<Vec<u8>> {
    let mut pixels = random(4).map(|n| n as u8);
    (0..count).map(|_| pixels.by_ref().take(LAYERS[0]).collect()).collect()
}

/// Loads a model: reads its text, and makes numbers of it.
pub(crate) fn load(text: &str) -> Model {
    let mut weights = text.split(' ').map(|number| number.parse().expect("a number"));
    let hidden = weights.by_ref().take(LAYERS[0] * LAYERS[1]).collect();
    Model { hidden, output: weights.collect() }
}

/// The sum of products, eight side by side as vectors have it.
fn dot(left: &[f32], right: &[f32]) -> f32 {
    let (lefts, left_rest) = left.as_chunks::<8>();
    let (rights, right_rest) = right.as_chunks::<8>();
    let mut sums = [0.0f32; 8];
    for (left, right) in lefts.iter().zip(rights) {
        for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
            *sum += left * right;
        }
    }
    let rest: f32 = left_rest.iter().zip(right_rest).map(|(left, right)| left * right).sum();
    sums.iter().sum::<f32>() + rest
}

/// The class of a picture.
pub(crate) fn classify(model: &Model, picture: &[u8]) -> usize {
    let pixels: Vec<f32> = picture.iter().map(|pixel| f32::from(*pixel) / 255.0 - 0.5).collect();
    let neuron = |weights: &[f32]| dot(weights, &pixels).max(0.0);
    let hidden: Vec<f32> = model.hidden.chunks(LAYERS[0]).map(neuron).collect();
    let scores = model.output.chunks(LAYERS[1]).map(|weights| dot(weights, &hidden));
    scores.enumerate().max_by(|one, other| one.1.total_cmp(&other.1)).map_or(0, |best| best.0)
}

/// One picture after the other, by a model that is loaded once.
pub(crate) fn serial(file: &str, pictures: &[Vec<u8>]) -> Vec<usize> {
    let model = load(&fs::read_to_string(file).expect("the model is there"));
    pictures.iter().map(|picture| classify(&model, picture)).collect()
}

/// By a pool each of whose workers loads the model.
pub(crate) fn pooled(
    method: StartMethod,
    workers: usize,
    file: &str,
    pictures: &[Vec<u8>],
) -> Result<Vec<usize>, Error> {
    let pool = WorkerPool::builder()
        .start_method(method)
        .n_jobs(workers)
        .shared(file.to_owned())
        .worker_init(|worker| load(&fs::read_to_string(worker.shared).expect("the model is there")))
        .build()?;
    let tasks = pool.tasks(pictures.iter().cloned()).with_worker();
    tasks.map(|worker, picture: Vec<u8>| classify(worker.state, &picture))
}

/// Removes a file when it is dropped.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = format!("pool-example-model-{}", std::process::id());
    let file = Removed(std::env::temp_dir().join(name));
    fs::write(&file.0, make_text())?;
    let path = file.0.to_str().ok_or("the path is no text")?;
    let pictures = make_pictures(60);
    let begun = Instant::now();
    let expected = serial(path, &pictures);
    println!("serial: {:?}", begun.elapsed());
    for method in StartMethod::ALL {
        let begun = Instant::now();
        let classes = pooled(method, 2, path, &pictures)?;
        assert!(classes == expected, "{method} has other classes");
        println!("{method}: {:?}", begun.elapsed());
    }
    Ok(())
}
