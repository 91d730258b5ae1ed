//! What do arrays in shared memory cost beside slices in private memory?
//!
//! Element by element an access is one load or store, which the compiler does not join into vectors
//! as it does for a slice: within the caches the difference shows, past them it must not. Whole
//! ranges are moved in bulk, beside `memcpy`. All memory is warm.

use std::hint::black_box;

use pool_shm::{Element, SharedArray};

use crate::{
    Outcome,
    bout::{Bout, Expected, Scale, timed},
    line::{Goal, Unit},
};

const SLICE: &str = "slice";
/// Bytes past the caches, and within the nearest but one.
const SIZES: [(&str, usize); 2] = [("64 MiB", 64 << 20), ("64 KiB", 64 << 10)];

/// How many times `bytes` are passed over in a sample, so that it lasts a few milliseconds.
fn passes(bytes: usize) -> usize {
    ((64 << 20) / bytes).max(1)
}

/// The speed of `pass` in GiB/s.
fn speed(bytes: usize, mut pass: impl FnMut()) -> f64 {
    let passes = passes(bytes);
    let ((), seconds) = timed(|| (0..passes).for_each(|_| pass()));
    (bytes * passes) as f64 / seconds / (1u64 << 30) as f64
}

/// Sets a floor only past the caches, where memory limits both.
fn beside_slice(bytes: usize, floor: f64) -> Expected<'static> {
    let goals = Expected::beside(SLICE);
    if bytes == SIZES[0].1 && floor > 0.0 { goals.floor(Goal::Ratio(floor)) } else { goals }
}

/// Writing elements one by one.
pub(crate) fn set(scale: &Scale) -> Outcome {
    set_to(scale, "a constant", 0.6, |_| 1.5)?;
    set_to(scale, "index × 0.5", 0.6, |index| index as f32 * 0.5)?;
    // For a slice the compiler converts four values of 32 bits at a time.
    set_to(scale, "32-bit index × 0.5", 0.0, |index| index as i32 as f32 * 0.5)
}

fn set_to(scale: &Scale, what: &str, floor: f64, value: impl Fn(usize) -> f32 + Copy) -> Outcome {
    for (size, bytes) in SIZES {
        let len = bytes / size_of::<f32>();
        let (array, mut slice) = (SharedArray::<f32>::new(len)?, vec![0.0f32; len]);
        let case = format!("setting each f32 to {what}, {size}");
        let mut bout = Bout::new("shared", case, Unit::GibPerSecond);
        bout.subject("SharedArray::set", beside_slice(bytes, floor), || {
            Ok(speed(bytes, || {
                let array = black_box(&array);
                for index in 0..array.len() {
                    array.set(index, value(index));
                }
            }))
        });
        bout.subject("SharedArray::fill_with", Expected::beside(SLICE), || {
            Ok(speed(bytes, || black_box(&array).fill_with(value)))
        });
        bout.baseline(SLICE, || {
            Ok(speed(bytes, || {
                let slice = black_box(&mut slice[..]);
                for (index, element) in slice.iter_mut().enumerate() {
                    *element = value(index);
                }
            }))
        });
        bout.run(scale.rounds(15))?;
    }
    Ok(())
}

/// Moving whole ranges.
pub(crate) fn copy(scale: &Scale) -> Outcome {
    copy_of(scale, "u8", 7u8)?;
    copy_of(scale, "f32", 1.5f32)?;
    copy_of(scale, "f64", 2.5f64)
}

fn copy_of<T: Element>(scale: &Scale, name: &str, value: T) -> Outcome {
    for (size, bytes) in SIZES {
        let len = bytes / size_of::<T>();
        let array = SharedArray::from_slice(&vec![value; len])?;
        let source = vec![value; len];
        let (mut ours, mut theirs) = (source.clone(), source.clone());

        let case = |what: &str| format!("{what} {size} of {name}");
        let mut bout = Bout::new("shared", case("copying in"), Unit::GibPerSecond);
        bout.subject("copy_from_slice", beside_slice(bytes, 0.8), || {
            Ok(speed(bytes, || black_box(&array).copy_from_slice(black_box(&source))))
        });
        bout.baseline(SLICE, || {
            Ok(speed(bytes, || black_box(&mut theirs[..]).copy_from_slice(black_box(&source))))
        });
        bout.run(scale.rounds(15))?;

        let mut bout = Bout::new("shared", case("copying out"), Unit::GibPerSecond);
        bout.subject("copy_to_slice", beside_slice(bytes, 0.8), || {
            Ok(speed(bytes, || black_box(&array).copy_to_slice(black_box(&mut ours))))
        });
        bout.baseline(SLICE, || {
            Ok(speed(bytes, || black_box(&mut theirs[..]).copy_from_slice(black_box(&source))))
        });
        bout.run(scale.rounds(15))?;

        let mut bout = Bout::new("shared", case("filling"), Unit::GibPerSecond);
        bout.subject("fill", Expected::beside(SLICE), || {
            Ok(speed(bytes, || black_box(&array).fill(black_box(value))))
        });
        bout.baseline(SLICE, || {
            Ok(speed(bytes, || black_box(&mut theirs[..]).fill(black_box(value))))
        });
        bout.run(scale.rounds(15))?;
    }
    Ok(())
}
