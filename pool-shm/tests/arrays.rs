//! Arrays and values within one process: the same results as a `Vec`, whatever the operations.

use std::{
    fmt::Debug,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use pool_shm::{Bitwise, Element, Error, Number, SharedArray, SharedValue};

/// A small generator (splitmix64), so that every run does the same.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

fn panics<R>(f: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

/// Random operations on an array and on a `Vec`, which stay the same.
fn behaves_like_a_vec<T: Element>(seed: u64, value: impl Fn(u64) -> T) {
    let mut random = Random(seed);
    for len in [0, 1, 2, 15, 64, 100, 1000, 20_000] {
        let mut vec: Vec<T> = (0..len).map(|_| value(random.next())).collect();
        let array = SharedArray::from_slice(&vec).expect("an array");
        for _ in 0..300 {
            let (index, other) = (random.below(len), value(random.next()));
            let start = random.below(len + 1);
            let end = start + random.below(len - start + 1);
            let part = array.slice(start..end);
            match random.below(8) {
                0 if len > 0 => {
                    array.set(index, other);
                    vec[index] = other;
                }
                1 if len > 0 => {
                    assert_eq!(array.swap(index, other), vec[index]);
                    vec[index] = other;
                }
                2 if len > 0 => {
                    let expected = if vec[index] == other { Ok(other) } else { Err(vec[index]) };
                    assert_eq!(array.compare_exchange(index, other, other), expected);
                    let now = vec[index];
                    assert_eq!(array.compare_exchange(index, now, other), Ok(now));
                    vec[index] = other;
                }
                3 => {
                    part.fill(other);
                    vec[start..end].fill(other);
                }
                4 => {
                    let fresh: Vec<T> = (start..end).map(|_| value(random.next())).collect();
                    part.copy_from_slice(&fresh);
                    vec[start..end].copy_from_slice(&fresh);
                }
                5 => {
                    let mut copy = vec![other; end - start];
                    part.copy_to_slice(&mut copy);
                    assert_eq!(copy, vec[start..end]);
                }
                6 => {
                    let reversed: Vec<T> = vec[start..end].iter().rev().copied().collect();
                    part.fill_with(|index| reversed[index]);
                    vec[start..end].copy_from_slice(&reversed);
                }
                _ => {
                    assert_eq!(part.to_vec(), vec[start..end]);
                    assert!(part.iter().eq(vec[start..end].iter().copied()));
                    assert!(part.iter().rev().eq(vec[start..end].iter().rev().copied()));
                    assert_eq!(part.iter().len(), end - start);
                    assert_eq!(array.iter().nth(index), vec.get(index).copied());
                }
            }
        }
        assert_eq!(array.to_vec(), vec);
        assert_eq!(array.try_get(len), None);
        let few = len.min(16);
        assert_eq!(format!("{:?}", array.slice(..few)), format!("{:?}", &vec[..few]));
    }
}

#[test]
fn arrays_behave_like_a_vec() {
    behaves_like_a_vec(1, |bits| bits as u8);
    behaves_like_a_vec(2, |bits| bits as u16);
    behaves_like_a_vec(3, |bits| bits as u32);
    behaves_like_a_vec(4, |bits| bits);
    behaves_like_a_vec(5, |bits| bits as i8);
    behaves_like_a_vec(6, |bits| bits as i16);
    behaves_like_a_vec(7, |bits| bits as i32);
    behaves_like_a_vec(8, |bits| bits as i64);
    behaves_like_a_vec(9, |bits| bits as usize);
    behaves_like_a_vec(10, |bits| bits as isize);
    behaves_like_a_vec(11, |bits| bits as i32 as f32);
    behaves_like_a_vec(12, |bits| bits as i64 as f64);
    behaves_like_a_vec(13, |bits| bits & 1 == 1);
}

#[test]
fn fresh_arrays_are_zero() {
    for len in [0, 1, 70_000, 1 << 20] {
        let array = SharedArray::<f64>::new(len).unwrap();
        assert_eq!((array.len(), array.is_empty()), (len, len == 0));
        assert!(array.iter().all(|element| element == 0.0));
    }
}

#[test]
fn out_of_range_is_a_panic_or_none() {
    let array = SharedArray::from_slice(&[1u32, 2, 3]).unwrap();
    assert_eq!(
        (array.try_get(2), array.try_get(3), array.try_get(usize::MAX)),
        (Some(3), None, None)
    );
    assert_eq!((array.try_set(2, 30), array.try_set(3, 40)), (Some(()), None));
    assert!(panics(|| array.get(3)));
    assert!(panics(|| array.set(usize::MAX, 0)));
    assert!(panics(|| array.swap(3, 0)));
    assert!(panics(|| array.fetch_add(3, 0)));
    assert!(panics(|| array.compare_exchange(3, 0, 0)));
    assert!(panics(|| array.copy_from_slice(&[0; 2])));
    assert!(panics(|| array.copy_to_slice(&mut [0; 4])));
    assert_eq!(array.to_vec(), [1, 2, 30]);
}

#[test]
fn parts_are_handles_to_the_same_elements() {
    let array = SharedArray::from_slice(&[0u16, 1, 2, 3, 4, 5]).unwrap();
    let part = array.slice(2..5);
    assert_eq!(part.slice(1..).to_vec(), [3, 4]);
    assert_eq!(part.slice(..=1).to_vec(), [2, 3]);
    assert!(array.slice(6..).is_empty());
    drop(array.clone());
    part.set(0, 20);
    assert_eq!(array.get(2), 20);
    assert!(panics(|| part.get(3)));
    assert!(part.try_set(3, 0).is_none());

    let (end, start) = (2, 3);
    for range in [0..7, 7..7, start..end, usize::MAX..usize::MAX] {
        assert!(panics(|| array.slice(range.clone())), "{range:?}");
    }
    assert!(panics(|| array.slice(..=usize::MAX)));

    assert!(array.ptr_eq(&array.clone()) && array.ptr_eq(&array.slice(..)));
    assert!(!array.ptr_eq(&part) && part.ptr_eq(&array.slice(2..5)));
    drop(array);
    assert_eq!(part.to_vec(), [20, 3, 4]); // a part keeps the whole
}

fn calculates<T: Number + Debug>(two: T, three: T, five: T, six: T) {
    let array = SharedArray::from_slice(&[two, three]).expect("an array");
    assert_eq!((array.fetch_add(1, two), array.get(1)), (three, five));
    assert_eq!((array.fetch_sub(1, two), array.get(1)), (five, three));
    assert_eq!((array.fetch_min(1, two), array.get(1)), (three, two));
    assert_eq!((array.fetch_max(1, six), array.get(1)), (two, six));
    assert_eq!((array.fetch_min(1, six), array.fetch_max(1, two), array.get(1)), (six, six, six));
    assert_eq!(array.fetch_update(0, |_| Some(five)), Ok(two));
    assert_eq!(array.fetch_update(0, |_| None), Err(five));

    let value = SharedValue::new(two).expect("a value");
    assert_eq!((value.fetch_add(three), value.get()), (two, five));
    assert_eq!((value.fetch_sub(three), value.get()), (five, two));
    assert_eq!((value.fetch_max(six), value.fetch_min(three), value.get()), (two, six, three));
    assert_eq!((value.swap(two), value.compare_exchange(two, six)), (three, Ok(two)));
    assert_eq!((value.compare_exchange(two, three), value.get()), (Err(six), six));
    assert_eq!(value.fetch_update(|_| Some(two)), Ok(six));
    value.set(five);
    assert_eq!(format!("{value:?}"), format!("SharedValue({five:?})"));
}

#[test]
fn elements_are_calculated_with() {
    calculates(2u8, 3, 5, 6);
    calculates(2u16, 3, 5, 6);
    calculates(2u32, 3, 5, 6);
    calculates(2u64, 3, 5, 6);
    calculates(2usize, 3, 5, 6);
    calculates(2i8, 3, 5, 6);
    calculates(2i16, 3, 5, 6);
    calculates(2i32, 3, 5, 6);
    calculates(2i64, 3, 5, 6);
    calculates(2isize, 3, 5, 6);
    calculates(2f32, 3.0, 5.0, 6.0);
    calculates(2f64, 3.0, 5.0, 6.0);
}

#[test]
fn integers_wrap_around_and_keep_their_sign() {
    let array = SharedArray::from_slice(&[i8::MAX, i8::MIN]).unwrap();
    assert_eq!((array.fetch_add(0, 1), array.get(0)), (127, -128));
    assert_eq!((array.fetch_sub(1, 1), array.get(1)), (-128, 127));
    assert_eq!((array.fetch_min(1, -3), array.get(1)), (127, -3));
    assert_eq!((array.fetch_max(1, -2), array.get(1)), (-3, -2));
    let value = SharedValue::new(u64::MAX).unwrap();
    assert_eq!((value.fetch_add(2), value.get()), (u64::MAX, 1));
    assert_eq!((value.fetch_sub(2), value.get()), (1, u64::MAX));
}

#[test]
fn floats_are_compared_by_their_bits() {
    let value = SharedValue::new(f64::NAN).unwrap();
    assert!(value.compare_exchange(f64::NAN, 0.0).is_ok());
    assert_eq!(value.compare_exchange(-0.0, 1.0), Err(0.0));
    assert_eq!(value.fetch_max(f64::NAN), 0.0);
    assert_eq!(value.get(), 0.0);
}

fn bits<T: Bitwise + Debug>(three: T, five: T, one: T, seven: T, six: T) {
    let array = SharedArray::from_slice(&[three]).expect("an array");
    assert_eq!((array.fetch_and(0, five), array.get(0)), (three, one));
    array.set(0, three);
    assert_eq!((array.fetch_or(0, five), array.get(0)), (three, seven));
    array.set(0, three);
    assert_eq!((array.fetch_xor(0, five), array.get(0)), (three, six));
    let value = SharedValue::new(three).expect("a value");
    assert_eq!((value.fetch_xor(five), value.get()), (three, six));
    value.set(three);
    assert_eq!((value.fetch_or(five), value.fetch_and(one), value.get()), (three, seven, one));
}

#[test]
fn bits_are_combined() {
    bits(3u8, 5, 1, 7, 6);
    bits(3u64, 5, 1, 7, 6);
    bits(-3i16, -5, -7, -1, 6);
    bits(true, true, true, true, false);
    bits(true, false, false, true, true);
}

#[test]
fn any_byte_is_a_bool() {
    let array = SharedArray::<bool>::new(200_000).unwrap();
    let value = SharedValue::new(false).unwrap();
    for (block, byte) in [(array.block(), 0x80), (value.block(), 0x40)] {
        // Another process might do this; it needs no Rust for it.
        // SAFETY: within the block, which no reference leads to.
        unsafe { block.as_ptr().as_ptr().write_bytes(byte, block.len()) };
    }
    assert!(array.get(0) && array.iter().all(|element| element));
    assert!(array.to_vec().iter().all(|element| *element));
    let mut copy = [false; 100];
    array.slice(7..107).copy_to_slice(&mut copy);
    assert!(copy.iter().all(|element| *element));
    // SAFETY: no other code has the array.
    assert!(panics(|| unsafe { array.as_slice().first() }));

    assert!(array.fetch_and(0, true));
    assert!(array.get(0));
    assert_eq!(array.compare_exchange(1, true, false), Ok(true));
    assert_eq!(array.compare_exchange(1, true, false), Err(false));
    assert!(array.swap(2, false));
    assert_eq!(value.compare_exchange(true, true), Ok(true));
    assert!(value.fetch_xor(true));
    assert!(!value.get());
}

#[test]
fn slices_see_the_same_memory() {
    let array = SharedArray::from_slice(&[1.5f32, 2.5, 3.5]).unwrap();
    // SAFETY: no other code has the array, and the slice is used up before it is accessed
    // otherwise.
    let slice = unsafe { array.as_mut_slice() };
    slice[1] = 7.0;
    assert_eq!(array.get(1), 7.0);
    let part = array.slice(1..);
    // SAFETY: as above.
    let slice = unsafe { part.as_slice() };
    assert_eq!(slice, [7.0, 3.5]);
    let flags = SharedArray::from_slice(&[true, false]).unwrap();
    // SAFETY: as above.
    unsafe { flags.as_mut_slice() }.reverse();
    assert_eq!(flags.to_vec(), [false, true]);
}

#[test]
fn too_many_elements_are_an_error() {
    for len in [usize::MAX, usize::MAX / 8, isize::MAX as usize / 8 + 1] {
        assert!(matches!(SharedArray::<u64>::new(len), Err(Error::TooLong { .. })), "{len}");
    }
    assert!(matches!(SharedArray::<u8>::new(isize::MAX as usize), Err(Error::TooLong { .. })));
}

#[test]
fn an_array_seen_through_another_mapping_has_the_same_elements() {
    use std::fs::File;

    let array = SharedArray::from_slice(&vec![7u32; 100_000]).unwrap();
    // SAFETY: nothing is written through it.
    let fd = unsafe { array.block().segment().as_fd() }.try_clone_to_owned().unwrap();
    let other = memmap2::MmapOptions::new().map_raw_read_only(&File::from(fd)).unwrap();
    array.set(99_999, 9);
    assert!(other.len() >= 4096 + 400_000);
    // SAFETY: within the mapping; no thread writes meanwhile.
    let last = unsafe { other.as_ptr().add(4096 + 4 * 99_999).cast::<u32>().read_volatile() };
    assert_eq!(last, 9);
}

/// One thread writes whole arrays of one pattern or the other, another one reads: it never sees a
/// mixture within an element.
fn never_torn<T: Element>(len: usize, rounds: usize, one: T, other: T) {
    let array = SharedArray::from_slice(&vec![one; len]).expect("an array");
    let (ones, others) = (vec![one; len], vec![other; len]);
    // Not aligned to the vectors, and with a head and a tail.
    let part = array.slice(1..len - 2);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..rounds {
                match round % 4 {
                    0 => array.copy_from_slice(&others),
                    1 => part.fill(one),
                    2 => part.copy_from_slice(&others[3..]),
                    _ => array.copy_from_slice(&ones),
                }
            }
            stop.store(true, Ordering::SeqCst);
        });
        let mut copy = vec![one; len];
        while !stop.load(Ordering::SeqCst) {
            array.copy_to_slice(&mut copy);
            assert!(copy.iter().all(|element| *element == one || *element == other));
            assert!(part.iter().take(1000).all(|element| element == one || element == other));
        }
    });
}

#[test]
fn elements_are_never_torn() {
    never_torn(1000, 20_000, 0u16, u16::MAX);
    never_torn(1000, 20_000, 0x0123_4567u32, 0x89ab_cdef);
    never_torn(1000, 20_000, 0u64, u64::MAX);
    never_torn(100_000, 200, 1.5f64, -1.0e300);
    never_torn((17 << 20) / 8, 8, 0u64, u64::MAX); // so large that it is streamed past the caches
}

#[test]
fn threads_lose_no_addition() {
    let (floats, count) = (SharedArray::<f32>::new(3).unwrap(), SharedValue::new(0i64).unwrap());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..50_000 {
                    floats.fetch_add(round % 3, 0.5);
                    count.fetch_sub(3);
                }
            });
        }
    });
    assert_eq!(floats.iter().sum::<f32>(), 100_000.0);
    assert_eq!(count.get(), -600_000);
}

#[test]
fn a_huge_array_is_shown_by_its_first_elements() {
    let mut array = SharedArray::from_slice(&[1u8, 2]).unwrap();
    assert_eq!(format!("{array:?}"), "[1, 2]");
    array = SharedArray::new(10_000_000).unwrap();
    assert!(format!("{array:?}").ends_with("0, 0, and 9999984 more]"), "{array:?}");
    assert_eq!(format!("{:?}", array.slice(..16)).matches('0').count(), 16);
}
