//! An array of any dimension in shared memory.
//!
//! Invariant: the shape has as many elements as there are. They lie in the order of the last axis
//! first ("C order"), so rows along axis 0 are consecutive.

use std::fmt;

use ndarray::{
    Array, ArrayBase, ArrayView, ArrayViewMut, Data, Dimension, IntoDimension, RemoveAxis,
};
use pool_shm::{Element, ExclusiveElements, SharedArray};

use super::{ArrayError, Rows, shape::len_of};

/// An array of the `ndarray` crate whose elements lie in shared memory: a [`SharedArray`] with a
/// shape.
///
/// Like that it is a handle, and [`Wire`](crate::Wire): a clone of it, and one that was sent, lead
/// to the same elements.
///
/// ```
/// # use pool_ipc as pool_api;
/// use ndarray::array;
/// use pool_api::SharedNdArray;
///
/// let mut image = SharedNdArray::from_array(&array![[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]])?;
/// let mut view = image.view().expect("there is no other handle");
/// view.array_mut().row_mut(1).fill(0.5);
/// assert_eq!(view.array().sum(), 7.5);
/// drop(view);
/// assert_eq!(image.elements().get(4), 0.5); // also with other handles
/// assert_eq!(image.to_array(), array![[1.0, 2.0, 3.0], [0.5, 0.5, 0.5]]);
/// # Ok::<(), pool_ipc::ArrayError>(())
/// ```
pub struct SharedNdArray<T: Element, D> {
    pub(super) elements: SharedArray<T>,
    pub(super) dimension: D,
}

impl<T: Element, D: Dimension> SharedNdArray<T, D> {
    /// A fresh array of zeros.
    ///
    /// # Errors
    ///
    /// [`ArrayError::TooLarge`], [`ArrayError::Memory`].
    pub fn zeros(shape: impl IntoDimension<Dim = D>) -> Result<Self, ArrayError> {
        let dimension = shape.into_dimension();
        let elements = SharedArray::new(len_of(dimension.slice())?).map_err(ArrayError::Memory)?;
        Ok(Self { elements, dimension })
    }

    /// A fresh array with a copy of these elements, in the order of their indices: the array may be
    /// a part of another one, transposed, or turned.
    ///
    /// # Errors
    ///
    /// [`ArrayError::Memory`].
    pub fn from_array<S: Data<Elem = T>>(array: &ArrayBase<S, D>) -> Result<Self, ArrayError> {
        let elements = match array.as_slice() {
            Some(elements) => SharedArray::from_slice(elements),
            None => SharedArray::new(array.len()).inspect(|elements| {
                let mut next = array.iter();
                elements.fill_with(|_| *next.next().expect("an array has its length"));
            }),
        };
        let elements = elements.map_err(ArrayError::Memory)?;
        Ok(Self { elements, dimension: array.raw_dim() })
    }

    /// These elements with a shape.
    ///
    /// # Errors
    ///
    /// [`ArrayError::OtherLength`], [`ArrayError::TooLarge`].
    pub fn from_elements(
        elements: SharedArray<T>,
        shape: impl IntoDimension<Dim = D>,
    ) -> Result<Self, ArrayError> {
        let dimension = shape.into_dimension();
        let len = len_of(dimension.slice())?;
        if len != elements.len() {
            return Err(ArrayError::OtherLength { shape: len, elements: elements.len() });
        }
        Ok(Self { elements, dimension })
    }

    /// The elements, without the shape.
    #[must_use]
    pub fn elements(&self) -> &SharedArray<T> {
        &self.elements
    }

    /// The elements, without the shape.
    #[must_use]
    pub fn into_elements(self) -> SharedArray<T> {
        self.elements
    }

    /// How long each axis is.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        self.dimension.slice()
    }

    /// A copy in private memory.
    #[must_use]
    pub fn to_array(&self) -> Array<T, D> {
        Array::from_shape_vec(self.dimension.clone(), self.elements.to_vec())
            .expect("the shape has as many elements")
    }

    /// The elements in place, if there is no other handle to them: otherwise others could write to
    /// them meanwhile, and [`to_array`](Self::to_array) or [`elements`](Self::elements) is the way.
    ///
    /// There is none if this process has made the array and was not forked since, no handle was
    /// ever sent to a process, and no clone lives; see [`SharedArray::alone`].
    ///
    /// # Panics
    ///
    /// For `bool`, if another process wrote bytes that are neither 0 nor 1.
    pub fn view(&mut self) -> Option<SharedView<'_, T, D>> {
        let elements = self.elements.exclusive()?;
        Some(SharedView { elements, dimension: self.dimension.clone() })
    }

    /// The elements, and how they are cut into parts of `rows` rows along axis 0.
    #[doc(hidden)]
    pub fn parts(&self, rows: usize) -> (&SharedArray<T>, Rows<D>)
    where
        D: RemoveAxis,
    {
        (&self.elements, Rows::new(self.shape(), rows))
    }

    /// The elements to write to, and how they are cut into parts of `rows` rows along axis 0.
    #[doc(hidden)]
    pub fn parts_mut(&mut self, rows: usize) -> (&mut SharedArray<T>, Rows<D>)
    where
        D: RemoveAxis,
    {
        let parts = Rows::new(self.shape(), rows);
        (&mut self.elements, parts)
    }
}

impl<T: Element, D: Clone> Clone for SharedNdArray<T, D> {
    /// Another handle to the same elements.
    fn clone(&self) -> Self {
        Self { elements: self.elements.clone(), dimension: self.dimension.clone() }
    }
}

impl<T: Element, D: fmt::Debug> fmt::Debug for SharedNdArray<T, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedNdArray").field("shape", &self.dimension).finish_non_exhaustive()
    }
}

/// The elements of a [`SharedNdArray`] in place, for as long as there is no other handle to them.
#[derive(Debug)]
pub struct SharedView<'a, T: Element, D> {
    elements: ExclusiveElements<'a, T>,
    dimension: D,
}

impl<T: Element, D: Dimension> SharedView<'_, T, D> {
    /// The array, to read.
    #[must_use]
    pub fn array(&self) -> ArrayView<'_, T, D> {
        ArrayView::from_shape(self.dimension.clone(), &self.elements)
            .expect("the shape has as many elements")
    }

    /// The array, to read and to write.
    #[must_use]
    pub fn array_mut(&mut self) -> ArrayViewMut<'_, T, D> {
        ArrayViewMut::from_shape(self.dimension.clone(), &mut self.elements)
            .expect("the shape has as many elements")
    }
}
