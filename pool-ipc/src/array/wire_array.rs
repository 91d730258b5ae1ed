//! An array of the `ndarray` crate as a value that crosses.
//!
//! Invariant: an array that arrives has a shape of its dimension, with as many elements as there
//! are; others are [`WireFault::Invalid`].

use std::ops::{Deref, DerefMut};

use ndarray::{Array, ArrayView, Axis, Dimension, RemoveAxis};
use rkyv::{
    Archive, Deserialize, Place, Portable, Serialize,
    bytecheck::CheckBytes,
    munge::munge,
    rancor::{Fallible, Source},
    rend::u64_le,
    ser::{Allocator, Writer},
    vec::{ArchivedVec, VecResolver},
};

use super::{ArrayError, shape::received};
use crate::WireFault;

/// An array of the `ndarray` crate as an item, a result, a context or a part of one: it is
/// [`Wire`](crate::Wire) if its elements are.
///
/// ```
/// # use pool_ipc::{self as pool_api, from_bytes, to_bytes};
/// use ndarray::{Array2, array};
/// use pool_api::WireArray;
///
/// let turned = WireArray(array![[1u8, 2], [3, 4], [5, 6]].reversed_axes());
/// let bytes = to_bytes(&turned)?;
/// let back: Array2<u8> = from_bytes::<WireArray<u8, _>>(&bytes)?.into_inner();
/// assert_eq!(back, array![[1, 3, 5], [2, 4, 6]]);
/// # Ok::<(), pool_ipc::WireFault>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct WireArray<T, D: Dimension>(pub Array<T, D>);

impl<T, D: Dimension> WireArray<T, D> {
    /// The array.
    #[must_use]
    pub fn into_inner(self) -> Array<T, D> {
        self.0
    }
}

impl<T: Clone, D: RemoveAxis> WireArray<T, D> {
    /// The results of a call, one after the other along axis 0, as one array.
    ///
    /// ```
    /// # use pool_ipc as pool_api;
    /// use ndarray::array;
    /// use pool_api::WireArray;
    ///
    /// let results = vec![WireArray(array![[1, 2]]), WireArray(array![[3, 4], [5, 6]])];
    /// assert_eq!(WireArray::concatenate(&results)?, array![[1, 2], [3, 4], [5, 6]]);
    /// # Ok::<(), pool_ipc::ArrayError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ArrayError::ShapesDiffer`] if they differ in another axis, or have no axis;
    /// [`ArrayError::NoParts`] if there are none.
    pub fn concatenate(results: &[Self]) -> Result<Array<T, D>, ArrayError> {
        if results.is_empty() {
            return Err(ArrayError::NoParts);
        }
        let views: Vec<ArrayView<'_, T, D>> = results.iter().map(|result| result.view()).collect();
        if views.iter().any(|view| view.ndim() == 0) {
            return Err(ArrayError::ShapesDiffer);
        }
        ndarray::concatenate(Axis(0), &views).map_err(|_| ArrayError::ShapesDiffer)
    }
}

impl<T, D: Dimension> From<Array<T, D>> for WireArray<T, D> {
    fn from(array: Array<T, D>) -> Self {
        Self(array)
    }
}

impl<T, D: Dimension> Deref for WireArray<T, D> {
    type Target = Array<T, D>;

    fn deref(&self) -> &Array<T, D> {
        &self.0
    }
}

impl<T, D: Dimension> DerefMut for WireArray<T, D> {
    fn deref_mut(&mut self) -> &mut Array<T, D> {
        &mut self.0
    }
}

/// A [`WireArray`] as it lies in an archive: its elements in the order of the last axis first.
#[derive(Debug, Portable, CheckBytes)]
#[bytecheck(crate = rkyv::bytecheck)]
#[repr(C)]
pub struct ArchivedWireArray<T> {
    elements: ArchivedVec<T>,
    shape: ArchivedVec<u64_le>,
}

impl<T> ArchivedWireArray<T> {
    /// The elements, the last axis first.
    #[must_use]
    pub fn elements(&self) -> &[T] {
        &self.elements
    }

    /// How long each axis is.
    pub fn shape(&self) -> impl ExactSizeIterator<Item = u64> {
        self.shape.iter().map(|len| len.to_native())
    }
}

impl<T: Archive, D: Dimension> Archive for WireArray<T, D> {
    type Archived = ArchivedWireArray<T::Archived>;
    type Resolver = (VecResolver, VecResolver);

    fn resolve(&self, (places, lens): Self::Resolver, out: Place<Self::Archived>) {
        munge!(let ArchivedWireArray { elements, shape } = out);
        ArchivedVec::resolve_from_len(self.0.len(), places, elements);
        ArchivedVec::resolve_from_len(self.0.ndim(), lens, shape);
    }
}

impl<T, D, S> Serialize<S> for WireArray<T, D>
where
    T: Serialize<S> + Clone,
    D: Dimension,
    S: Fallible + Allocator + Writer + ?Sized,
{
    fn serialize(&self, serializer: &mut S) -> Result<Self::Resolver, S::Error> {
        let elements = match self.0.as_slice() {
            Some(slice) => ArchivedVec::serialize_from_slice(slice, serializer)?,
            None => {
                let ordered: Vec<T> = self.0.iter().cloned().collect();
                ArchivedVec::serialize_from_slice(&ordered, serializer)?
            }
        };
        let shape: Vec<u64> = self.0.shape().iter().map(|len| *len as u64).collect();
        Ok((elements, ArchivedVec::<u64_le>::serialize_from_slice(&shape, serializer)?))
    }
}

impl<T, D, C> Deserialize<WireArray<T, D>, C> for ArchivedWireArray<T::Archived>
where
    T: Archive,
    D: Dimension,
    C: Fallible<Error: Source> + ?Sized,
    ArchivedVec<T::Archived>: Deserialize<Vec<T>, C>,
{
    fn deserialize(&self, decoder: &mut C) -> Result<WireArray<T, D>, C::Error> {
        let elements: Vec<T> = self.elements.deserialize(decoder)?;
        received(self.shape(), elements.len())
            .and_then(|dimension: D| Array::from_shape_vec(dimension, elements).ok())
            .map(WireArray)
            .ok_or_else(|| C::Error::new(WireFault::Invalid))
    }
}
