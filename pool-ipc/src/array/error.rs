//! What is wrong with an array.

use std::fmt;

/// Why there is no such array.
#[derive(Debug)]
#[non_exhaustive]
pub enum ArrayError {
    /// The shape has another number of elements than there are.
    OtherLength {
        /// What the shape asks for.
        shape: usize,
        /// How many there are.
        elements: usize,
    },
    /// The lengths of the axes that are not 0 have a product of more than `isize::MAX`.
    TooLarge,
    /// Arrays that are to be one along axis 0 differ in another axis, or have none.
    ShapesDiffer,
    /// There is no array that could be part of a larger one, so its other axes are not known.
    NoParts,
    /// The memory cannot be had.
    Memory(pool_shm::Error),
}

impl fmt::Display for ArrayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherLength { shape, elements } => {
                write!(f, "the shape has {shape} elements, and there are {elements}")
            }
            Self::TooLarge => f.write_str("the shape has more elements than memory can have"),
            Self::ShapesDiffer => {
                f.write_str("arrays can be joined along axis 0 only if their other axes are equal")
            }
            Self::NoParts => f.write_str("there are no arrays to be joined"),
            Self::Memory(_) => f.write_str("the memory of an array cannot be had"),
        }
    }
}

impl std::error::Error for ArrayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Memory(error) => Some(error),
            _ => None,
        }
    }
}
