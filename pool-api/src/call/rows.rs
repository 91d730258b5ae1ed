//! Calls over the rows of a shared array with a shape.

use std::panic::Location;

use ndarray::RemoveAxis;
use pool_core::{Part, PartMut, With};
use pool_ipc::{Rows, SharedNdArray};
use pool_shm::Element;

use super::{Call, Parts};
use crate::WorkerPool;

impl<S, W, E> WorkerPool<S, W, E> {
    /// Prepares a call over parts of `rows` rows along axis 0, as
    /// [`slices_mut`](WorkerPool::slices_mut) cuts an array without a shape: the last part may have
    /// fewer. The function gets the [`Rows`], the part's number, and its elements; the rows give
    /// the part its shape.
    ///
    /// ```
    /// use ndarray::array;
    /// use pool_api::{SharedNdArray, WireArray, WorkerPool};
    ///
    /// let pool = WorkerPool::new(2)?;
    /// let mut image = SharedNdArray::from_array(&array![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])?;
    /// let sums = pool.rows_mut(&mut image, 2).map(|rows, part, elements| {
    ///     let mut view = rows.view_mut(part, elements); // an `ArrayViewMut2<f64>`
    ///     view *= 10.0;
    ///     WireArray(view.sum_axis(ndarray::Axis(1)))
    /// })?;
    /// assert_eq!(WireArray::concatenate(&sums)?, array![30.0, 70.0, 110.0]);
    /// assert_eq!(image.to_array()[[2, 1]], 60.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Where the function needs a context too, call [`slices_mut`](WorkerPool::slices_mut) on the
    /// elements, with [`Rows::part_len`] and `.with((rows, context))`.
    ///
    /// All else is as for `slices_mut`. An array without elements has no parts. Parts of 0 rows are
    /// [`Error::InvalidInput`](crate::Error::InvalidInput). The array has at least one axis; one of
    /// a dynamic dimension that has none is one part.
    #[track_caller]
    pub fn rows_mut<'a, T: Element, D: RemoveAxis>(
        &'a self,
        array: &'a mut SharedNdArray<T, D>,
        rows: usize,
    ) -> Call<'a, Parts<'a, PartMut, T>, S, W, PartMut, With<Rows<D>>> {
        let (array, rows) = array.parts_mut(rows);
        Call::new(&self.pool, Parts { array, len: rows.part_len() }, With(rows), Location::caller())
    }

    /// Prepares a call over parts of `rows` rows along axis 0 like [`rows_mut`](Self::rows_mut),
    /// which the function only reads: each task has a copy of its part, made when it begins.
    ///
    /// ```
    /// use ndarray::Array3;
    /// use pool_api::{SharedNdArray, WorkerPool};
    ///
    /// let pool = WorkerPool::new(2)?;
    /// let images = SharedNdArray::from_array(&Array3::from_shape_fn((5, 2, 2), |(n, ..)| n as f32))?;
    /// let sums = pool.rows(&images, 2).map(|rows, part, elements| rows.view(part, elements).sum())?;
    /// assert_eq!(sums, [4.0, 20.0, 16.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn rows<'a, T: Element, D: RemoveAxis>(
        &'a self,
        array: &'a SharedNdArray<T, D>,
        rows: usize,
    ) -> Call<'a, Parts<'a, Part, T>, S, W, Part, With<Rows<D>>> {
        let (array, rows) = array.parts(rows);
        Call::new(&self.pool, Parts { array, len: rows.part_len() }, With(rows), Location::caller())
    }
}
