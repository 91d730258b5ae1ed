//! Many filters on one large image that all workers share: each task gets a filter, convolves the
//! whole image with it, and returns every fifth pixel of every fifth row.
//!
//! The first of the three benchmarks that MPIRE has published; `cargo xtask bench published`
//! measures it.

use std::time::Instant;

use pool_api::{Error, StartMethod, WorkerPool, wire};

/// A side of a filter in pixels.
const FILTER: usize = 4;
/// Which pixels and rows of a filtered image are kept.
const KEPT: usize = 5;

wire! {
    /// A square image, row by row.
    #[derive(Clone)]
    pub(crate) struct Image { pub(crate) side: usize, pub(crate) pixels: Vec<f32> }
}

/// Weights, row by row.
pub(crate) type Filter = [f32; FILTER * FILTER];

/// Numbers between 0 and 1 that are the same in each run.
fn random(seed: u64) -> impl Iterator<Item = f32> {
    let next = |state: &u64| {
        Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    };
    std::iter::successors(Some(seed), next).skip(1).map(|state| (state >> 40) as f32 / 16_777_216.0)
}

/// An image of `side` times `side` pixels, and `count` filters.
pub(crate) fn make(side: usize, count: usize) -> (Image, Vec<Filter>) {
    let image = Image { side, pixels: random(1).take(side * side).collect() };
    let mut weights = random(2);
    let filter = |_| std::array::from_fn(|_| weights.next().unwrap_or(0.0) - 0.5);
    (image, (0..count).map(filter).collect())
}

/// The pixels that are kept of the image convolved with a filter.
pub(crate) fn filtered(image: &Image, filter: &Filter) -> Vec<f32> {
    let len = image.side + 1 - FILTER;
    let mut row = vec![0.0f32; len];
    let mut kept = Vec::with_capacity(len.div_ceil(KEPT).pow(2));
    for y in 0..len {
        row.fill(0.0);
        for (dy, weights) in filter.chunks(FILTER).enumerate() {
            let pixels = &image.pixels[(y + dy) * image.side..][..image.side];
            for (dx, weight) in weights.iter().enumerate() {
                for (sum, pixel) in row.iter_mut().zip(&pixels[dx..]) {
                    *sum += weight * pixel;
                }
            }
        }
        // The whole row is made, as a library for images does it, also where it is not kept.
        std::hint::black_box(&mut row);
        if y.is_multiple_of(KEPT) {
            kept.extend(row.iter().step_by(KEPT));
        }
    }
    kept
}

/// One filter after the other.
pub(crate) fn serial(image: &Image, filters: &[Filter]) -> Vec<Vec<f32>> {
    filters.iter().map(|filter| filtered(image, filter)).collect()
}

/// By a pool that shares the image.
pub(crate) fn pooled(
    method: StartMethod,
    workers: usize,
    image: Image,
    filters: &[Filter],
) -> Result<Vec<Vec<f32>>, Error> {
    let builder = WorkerPool::builder().start_method(method).n_jobs(workers);
    let pool = builder.shared(image).build()?;
    let results = pool.tasks(filters.iter().copied()).with_worker();
    results.map(|worker, filter: Filter| filtered(worker.shared, &filter))
}

fn main() -> Result<(), Error> {
    let (image, filters) = make(500, 16);
    let begun = Instant::now();
    let expected = serial(&image, &filters);
    println!("serial: {:?}", begun.elapsed());
    for method in StartMethod::ALL {
        let begun = Instant::now();
        let results = pooled(method, 2, image.clone(), &filters)?;
        assert!(results == expected, "{method} has other pixels");
        println!("{method}: {:?}", begun.elapsed());
    }
    Ok(())
}
