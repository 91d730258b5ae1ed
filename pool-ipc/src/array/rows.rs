//! The parts of an array along axis 0, and their shapes.
//!
//! Invariant: a part has whole rows, so a slice of its elements and this say its shape.

use std::marker::PhantomData;

use ndarray::{ArrayView, ArrayViewMut, RemoveAxis};

use super::shape::len_of;

crate::wire! {
    /// How an array is cut into parts of rows along axis 0. The context of tasks over the rows of a
    /// `SharedNdArray`, which gives a part its shape.
    ///
    /// An array of no axis, which only a dynamic dimension can have, is one part: its one element.
    #[derive(Debug, Clone)]
    pub struct Rows<D> {
        shape: Vec<u64>,
        rows: u64,
        dimension: PhantomData<fn() -> D>,
    }
}

impl<D: RemoveAxis> Rows<D> {
    /// Parts of `rows` rows of an array with this shape. The last one may have fewer.
    #[must_use]
    pub fn new(shape: &[usize], rows: usize) -> Self {
        let shape = shape.iter().map(|len| *len as u64).collect();
        Self { shape, rows: rows as u64, dimension: PhantomData }
    }

    /// How many elements a part has: 0 for parts of no rows. Rows without elements count as if they
    /// had one, so such an array has no parts.
    #[must_use]
    pub fn part_len(&self) -> usize {
        let row_len = self.shape.iter().skip(1).try_fold(1u64, |len, axis| len.checked_mul(*axis));
        let len = row_len.and_then(|len| len.max(1).checked_mul(self.rows)).unwrap_or(u64::MAX);
        usize::try_from(len).unwrap_or(usize::MAX)
    }

    /// The number of the first row of a part.
    #[must_use]
    pub fn first(&self, part: usize) -> usize {
        part.saturating_mul(usize::try_from(self.rows).unwrap_or(usize::MAX))
    }

    /// Part number `part`, with its shape.
    ///
    /// # Panics
    ///
    /// If `elements` are not those of that part.
    #[must_use]
    #[track_caller]
    pub fn view<'e, T>(&self, part: usize, elements: &'e [T]) -> ArrayView<'e, T, D> {
        let shape = self.shape_of(part, elements.len());
        ArrayView::from_shape(shape, elements).expect("the shape has as many elements")
    }

    /// Part number `part`, with its shape, to write to.
    ///
    /// # Panics
    ///
    /// If `elements` are not those of that part.
    #[must_use]
    #[track_caller]
    pub fn view_mut<'e, T>(&self, part: usize, elements: &'e mut [T]) -> ArrayViewMut<'e, T, D> {
        let shape = self.shape_of(part, elements.len());
        ArrayViewMut::from_shape(shape, elements).expect("the shape has as many elements")
    }

    #[track_caller]
    fn shape_of(&self, part: usize, elements: usize) -> D {
        let mut shape = D::zeros(self.shape.len());
        for (axis, len) in shape.slice_mut().iter_mut().zip(&self.shape) {
            *axis = usize::try_from(*len).unwrap_or(usize::MAX);
        }
        let first = self.first(part);
        if let Some(rows) = shape.slice_mut().first_mut() {
            *rows =
                rows.saturating_sub(first).min(usize::try_from(self.rows).unwrap_or(usize::MAX));
        }
        let len = len_of(shape.slice()).unwrap_or(usize::MAX);
        assert!(
            len == elements,
            "part {part} has {len} elements in its shape {:?}, not {elements}",
            shape.slice()
        );
        shape
    }
}
