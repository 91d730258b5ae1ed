//! The types that options accept.

/// Items per chunk: a whole number, or a fraction that is carried over from chunk to chunk.
pub trait ChunkSize: sealed::Sealed {
    #[doc(hidden)]
    fn items(self) -> f64;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for usize {}
    impl Sealed for f64 {}
}

impl ChunkSize for usize {
    fn items(self) -> f64 {
        self as f64
    }
}

impl ChunkSize for f64 {
    fn items(self) -> f64 {
        self
    }
}
