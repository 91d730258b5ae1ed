//! Shapes, checked.

use ndarray::Dimension;

use super::ArrayError;

/// How many elements a shape has, if ndarray can have such an array.
pub(super) fn len_of(shape: &[usize]) -> Result<usize, ArrayError> {
    let lens = shape.iter().copied();
    let product = lens.clone().filter(|len| *len > 0).try_fold(1usize, usize::checked_mul);
    match product {
        Some(product) if isize::try_from(product).is_ok() => {
            Ok(if lens.clone().any(|len| len == 0) { 0 } else { product })
        }
        _ => Err(ArrayError::TooLarge),
    }
}

/// A shape that came from another process, if it is one of the dimension and has `elements`.
pub(super) fn received<D: Dimension>(
    lens: impl ExactSizeIterator<Item = u64>,
    elements: usize,
) -> Option<D> {
    if D::NDIM.is_some_and(|axes| axes != lens.len()) {
        return None;
    }
    let mut dimension = D::zeros(lens.len());
    for (axis, len) in dimension.slice_mut().iter_mut().zip(lens) {
        *axis = usize::try_from(len).ok()?;
    }
    (len_of(dimension.slice()).ok()? == elements).then_some(dimension)
}
