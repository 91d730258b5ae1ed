//! Arrays of the `ndarray` crate in shared memory and as values: of every layout and dimension, and
//! what of damaged bytes is refused.

#![cfg(feature = "ndarray")]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use ndarray::{
    Array, Array0, Array1, Array2, Array3, ArrayD, Axis, Dimension, Ix1, Ix2, Ix3, IxDyn, array, s,
};
use pool_ipc::{
    ArrayError, Encoder, Rows, SharedNdArray, WireArray, WireFault, from_bytes, to_bytes,
    view_bytes,
};
use pool_shm::SharedArray;

fn numbers() -> Array3<f64> {
    Array::from_shape_fn((3, 4, 5), |(a, b, c)| (100 * a + 10 * b + c) as f64)
}

fn crosses<D: Dimension + 'static>(array: Array<f64, D>) {
    let bytes = to_bytes(&WireArray(array.clone())).unwrap();
    let back = from_bytes::<WireArray<f64, D>>(&bytes).unwrap();
    assert_eq!(*back, array);
    assert!(back.is_standard_layout());
    let lens = view_bytes::<WireArray<f64, D>>(&bytes).unwrap().shape().map(|len| len as usize);
    assert_eq!(lens.collect::<Vec<_>>(), array.shape());
    let shared = SharedNdArray::from_array(&array).unwrap();
    assert_eq!(shared.shape(), array.shape());
    assert_eq!(shared.to_array(), array);
}

#[test]
fn every_layout_and_dimension_crosses() {
    crosses(numbers());
    crosses(numbers().reversed_axes());
    crosses(numbers().into_dyn());
    let mut part = numbers();
    part.slice_collapse(s![..;2, 1..3, ..;-1]);
    assert!(part.as_slice().is_none());
    crosses(part);
    crosses(Array1::<f64>::zeros(0));
    crosses(Array2::<f64>::zeros((0, 5)));
    crosses(Array2::<f64>::zeros((5, 0)));
    crosses(Array0::from_elem((), 3.0));
    crosses(ArrayD::from_elem(IxDyn(&[]), 3.0));
    let words = WireArray(array![["a".to_string(), "b".into()], ["c".into(), String::new()]]);
    let bytes = to_bytes(&words).unwrap();
    assert_eq!(from_bytes::<WireArray<String, Ix2>>(&bytes).unwrap(), words);
}

#[test]
fn shapes_are_checked() {
    let shared = |len| SharedArray::<u8>::new(len).unwrap();
    assert!(SharedNdArray::from_elements(shared(6), (2, 3)).is_ok());
    assert!(matches!(
        SharedNdArray::from_elements(shared(6), (2, 4)),
        Err(ArrayError::OtherLength { shape: 8, elements: 6 })
    ));
    for shape in [(usize::MAX, 2), (usize::MAX, 0), (0, usize::MAX)] {
        assert!(matches!(SharedNdArray::<u8, _>::zeros(shape), Err(ArrayError::TooLarge)));
    }
    assert!(matches!(
        SharedNdArray::<u64, _>::zeros((1 << 40, 1 << 20)),
        Err(ArrayError::Memory(_))
    ));
}

#[test]
fn a_view_needs_the_only_handle() {
    let mut array = SharedNdArray::from_array(&numbers()).unwrap();
    let clone = array.clone();
    assert!(array.view().is_none());
    drop(clone);
    let mut view = array.view().unwrap();
    view.array_mut().index_axis_mut(Axis(0), 1).fill(0.0);
    assert_eq!(view.array().sum(), numbers().sum() - numbers().index_axis(Axis(0), 1).sum());
    drop(view);
    let elements = array.elements().clone();
    assert!(array.view().is_none());
    drop(elements);
    assert!(array.view().is_some());
}

#[test]
fn parts_have_the_shape_of_their_rows() {
    let array = numbers();
    for rows in [1, 2, 3, 4, usize::MAX] {
        let cut = Rows::<Ix3>::new(array.shape(), rows);
        let elements = array.as_slice().unwrap();
        let mut seen = 0;
        for (part, elements) in elements.chunks(cut.part_len()).enumerate() {
            let view = cut.view(part, elements);
            let first = cut.first(part);
            assert_eq!(view, array.slice(s![first..first + view.len_of(Axis(0)), .., ..]));
            seen += view.len_of(Axis(0));
        }
        assert_eq!(seen, 3);
    }
    assert_eq!(Rows::<Ix1>::new(&[4], 0).part_len(), 0);
    assert_eq!(Rows::<Ix2>::new(&[4, 0], 2).part_len(), 2);
    assert_eq!(Rows::<Ix2>::new(&[4, usize::MAX], 2).part_len(), usize::MAX);
    let single = Rows::<IxDyn>::new(&[], 1);
    assert_eq!((single.part_len(), single.view(0, &[7]).sum()), (1, 7));
}

#[test]
#[should_panic(expected = "part 1 has 5 elements")]
fn other_elements_have_no_shape() {
    let _ = Rows::<Ix2>::new(&[3, 5], 2).view(1, &[0u8; 10]);
}

#[test]
fn results_are_joined_along_axis_0() {
    let parts: Vec<_> =
        numbers().axis_chunks_iter(Axis(0), 2).map(|part| WireArray(part.to_owned())).collect();
    assert_eq!(WireArray::concatenate(&parts).unwrap(), numbers());
    let none: [WireArray<u8, Ix1>; 0] = [];
    assert!(matches!(WireArray::concatenate(&none), Err(ArrayError::NoParts)));
    let differ = [WireArray(Array2::<u8>::zeros((1, 2))), WireArray(Array2::zeros((1, 3)))];
    assert!(matches!(WireArray::concatenate(&differ), Err(ArrayError::ShapesDiffer)));
    let bare = [WireArray(ArrayD::from_elem(IxDyn(&[]), 1u8))];
    assert!(matches!(WireArray::concatenate(&bare), Err(ArrayError::ShapesDiffer)));
    let empty = [WireArray(Array2::<u8>::zeros((0, 2))), WireArray(array![[1, 2]])];
    assert_eq!(WireArray::concatenate(&empty).unwrap(), array![[1, 2]]);
}

#[test]
fn damaged_shapes_are_refused() {
    let bytes = to_bytes(&WireArray(array![[1u8, 2, 3], [4, 5, 6]])).unwrap();
    assert_eq!(from_bytes::<WireArray<u8, Ix1>>(&bytes), Err(WireFault::Invalid));
    assert!(from_bytes::<WireArray<u8, IxDyn>>(&bytes).is_ok());
    assert!(from_bytes::<WireArray<u8, Ix2>>(&bytes[..bytes.len() - 1]).is_err());
    // The lengths of the axes lie behind the elements.
    let lens = (0..bytes.len()).find(|at| bytes[*at..].starts_with(&2u64.to_le_bytes())).unwrap();
    for wild in [3, 0, 1 << 62, u64::MAX] {
        let mut changed = pool_ipc::AlignedBytes::new();
        changed.resize(bytes.len());
        changed.as_mut_slice().copy_from_slice(&bytes);
        changed.as_mut_slice()[lens..lens + 8].copy_from_slice(&u64::to_le_bytes(wild));
        assert_eq!(from_bytes::<WireArray<u8, Ix2>>(&changed), Err(WireFault::Invalid), "{wild}");
    }
    // A handle of another dimension.
    let array = SharedNdArray::<u8, Ix2>::zeros((2, 3)).unwrap();
    let mut encoder = Encoder::new();
    let bytes = encoder.to_bytes(&array).unwrap();
    let segments = encoder.take_segments();
    let ids: Vec<_> = segments.iter().map(|segment| segment.id()).collect();
    let mut decoder = pool_ipc::Decoder::new();
    decoder.set_segments(&ids);
    let same = decoder.decode::<SharedNdArray<u8, Ix2>>(&bytes).unwrap();
    assert!(same.elements().ptr_eq(array.elements()));
    let other = decoder.decode::<SharedNdArray<u8, Ix1>>(&bytes).unwrap_err();
    assert_eq!(other, WireFault::Invalid);
}
