//! The rows of one image in shared memory, each written by a task, in place and without a copy.
//!
//! With the feature `ndarray` a `SharedNdArray` keeps the shape, and parts are views with it.

use pool_api::{SharedArray, WorkerPool};

/// Pixels of a row, and rows.
const SIZE: (usize, usize) = (72, 28);

/// How soon the point leaves the circle: the Mandelbrot set.
fn steps(x: f64, y: f64) -> u8 {
    let (mut a, mut b) = (0.0, 0.0);
    for step in 0..=u8::MAX {
        (a, b) = (a * a - b * b + x, 2.0 * a * b + y);
        if a * a + b * b > 4.0 {
            return step;
        }
    }
    u8::MAX
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (width, height) = SIZE;
    let pool = WorkerPool::new(4)?;
    let mut image = SharedArray::<u8>::new(width * height)?;
    // A part is a row: its number says which, its length how long it is.
    let most = pool.slices_mut(&mut image, width).map(|y, row| {
        let width = row.len() as f64;
        for (x, pixel) in row.iter_mut().enumerate() {
            *pixel = steps(x as f64 / width * 3.0 - 2.2, y as f64 / SIZE.1 as f64 * 2.4 - 1.2);
        }
        row.iter().copied().max()
    })?;
    assert_eq!(most.len(), height);
    for row in image.to_vec().chunks(width) {
        let shade = |pixel: &u8| b" .:-=+*#%@"[usize::from(*pixel).min(27) / 3] as char;
        println!("{}", row.iter().map(shade).collect::<String>());
    }
    // Another call reads the same rows.
    let sums = pool.slices(&image, width).map(|_, row| row.iter().map(|&p| u64::from(p)).sum())?;
    let all: u64 = image.iter().map(u64::from).sum();
    assert_eq!(sums.iter().sum::<u64>(), all);
    Ok(())
}
