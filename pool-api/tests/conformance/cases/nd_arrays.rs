//! Arrays with a shape: their rows as parts, their handles and values as items and results.

use ndarray::{Array2, Array3, ArrayD, Axis, Ix2, IxDyn, array};
use pool_api::{Error, SharedNdArray, StartMethod, WireArray};

use crate::case::{Case, Outcome, builder, pool};

pub(crate) const CASES: &[Case] = &[
    Case::new("rows_of_an_nd_array_have_their_shape", rows),
    Case::new("rows_of_an_nd_array_are_written", rows_written),
    Case::new("calls_over_rows_know_where_they_were_made", callers),
    Case::new("odd_nd_arrays_have_parts_or_none", odd),
    Case::new("nd_arrays_cross", crossing),
];

fn numbers() -> Array3<f32> {
    Array3::from_shape_fn((7, 3, 2), |(a, b, c)| (100 * a + 10 * b + c) as f32)
}

fn rows(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    // Turned, so its elements do not lie in the order of their indices.
    let turned = numbers().reversed_axes();
    let shared = SharedNdArray::from_array(&turned)?;
    for rows in [1, 2, 3, usize::MAX] {
        let results = pool.rows(&shared, rows).map(|rows, part, elements| {
            let view = rows.view(part, elements);
            assert!(view.len_of(Axis(1)) == 3 && view.len_of(Axis(2)) == 7);
            WireArray(view.sum_axis(Axis(2)))
        })?;
        assert_eq!(results.len(), 2usize.div_ceil(rows));
        assert_eq!(WireArray::concatenate(&results)?, turned.sum_axis(Axis(2)), "{rows}");
    }
    Ok(())
}

fn rows_written(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let mut shared = SharedNdArray::from_array(&numbers())?;
    // In place, and with copies of the parts.
    for other in [None, Some(shared.clone())].into_iter().rev() {
        let before = shared.to_array();
        let firsts = pool.rows_mut(&mut shared, 2).map(|rows, part, elements| {
            let mut view = rows.view_mut(part, elements);
            view.mapv_inplace(|x| x + 0.5);
            view.index_axis_mut(Axis(1), 0).fill(part as f32);
            rows.first(part)
        })?;
        assert_eq!(firsts, [0, 2, 4, 6]);
        let mut expected = before + 0.5;
        for (row, mut part) in expected.axis_iter_mut(Axis(0)).enumerate() {
            part.index_axis_mut(Axis(0), 0).fill((row / 2) as f32);
        }
        assert_eq!(shared.to_array(), expected);
        drop(other);
    }
    Ok(())
}

fn callers(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).watched(true).build()?;
    let mut shared = SharedNdArray::from_array(&numbers())?;
    pool.rows(&shared, 2).map(|_, _, elements| elements.len())?;
    pool.rows_mut(&mut shared, 2).map(|_, _, elements| elements.len())?;
    let callers: Vec<_> = pool.calls().iter().map(|call| call.caller).collect();
    assert_eq!(callers.len(), 2);
    assert!(callers.iter().all(|at| at.is_some_and(|at| at.file() == file!())), "{callers:?}");
    Ok(())
}

fn odd(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let rows = |array: &SharedNdArray<u8, Ix2>, rows| {
        pool.rows(array, rows).map(|rows, part, elements| rows.view(part, elements).len())
    };
    assert!(rows(&SharedNdArray::zeros((0, 5))?, 2)?.is_empty());
    assert!(rows(&SharedNdArray::zeros((5, 0))?, 2)?.is_empty());
    assert_eq!(rows(&SharedNdArray::zeros((5, 1))?, 2)?, [2, 2, 1]);
    let none = rows(&SharedNdArray::zeros((5, 1))?, 0);
    assert!(matches!(none, Err(Error::InvalidInput(_))), "{none:?}");
    let single = SharedNdArray::from_array(&ArrayD::from_elem(IxDyn(&[]), 7u8))?;
    let seen = pool.rows(&single, 3).map(|rows, part, elements| {
        let view = rows.view(part, elements);
        (view.ndim(), view.sum())
    })?;
    assert_eq!(seen, [(0, 7)]);
    Ok(())
}

fn crossing(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let image = SharedNdArray::<u32, Ix2>::zeros((4, 3))?;
    let handles = pool.map((0..4).map(|row| (row, image.clone())), |(row, image)| {
        assert_eq!(image.shape(), [4, 3]);
        image.elements().slice(3 * row..3 * (row + 1)).fill(row as u32);
        image
    })?;
    assert!(handles.iter().all(|handle| handle.elements().ptr_eq(image.elements())));
    assert_eq!(image.to_array().row(2), array![2, 2, 2]);
    let values: Vec<Array2<u8>> =
        vec![array![[1, 2, 3], [4, 5, 6]], Array2::zeros((0, 3)), Array2::zeros((3, 0))];
    let turned = pool.map(values.iter().cloned().map(WireArray), |value| {
        WireArray(value.into_inner().reversed_axes())
    })?;
    for (value, turned) in values.into_iter().zip(turned) {
        assert_eq!(turned.into_inner(), value.reversed_axes());
    }
    Ok(())
}
