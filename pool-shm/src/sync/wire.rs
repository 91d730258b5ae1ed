//! Locks as parts of a message: handles to their blocks.
//!
//! Invariant: `LockLayout::open` has checked every lock that comes out of an archive.

use bytemuck::Pod;
use rkyv::{
    Archive, Deserialize, Place, Serialize,
    rancor::{Fallible, Source},
};

use super::{
    SharedBarrier, SharedCondvar, SharedEvent, SharedMutex, SharedReentrantMutex, SharedRwLock,
    SharedSemaphore,
};
use crate::{
    ElementType, Kind,
    wire::{ArchivedBlock, BlockResolver, GiveSegment, TakeSegment},
};

/// A handle of this type is archived as its block, which is of this kind and has data of this type.
macro_rules! travels {
    ([$($T:ident)?] $handle:ty, $kind:ident, $data:ty) => {
        impl$(<$T: Pod>)? Archive for $handle {
            type Archived = ArchivedBlock;
            type Resolver = BlockResolver;

            fn resolve(&self, resolver: BlockResolver, out: Place<ArchivedBlock>) {
                self.block().resolve_into(&resolver, out);
            }
        }

        impl<$($T: Pod,)? S> Serialize<S> for $handle
        where
            S: Fallible<Error: Source> + GiveSegment + ?Sized,
        {
            fn serialize(&self, serializer: &mut S) -> Result<BlockResolver, S::Error> {
                self.block().give(serializer)
            }
        }

        impl<$($T: Pod,)? D> Deserialize<$handle, D> for ArchivedBlock
        where
            D: Fallible<Error: Source> + TakeSegment + ?Sized,
        {
            fn deserialize(&self, deserializer: &mut D) -> Result<$handle, D::Error> {
                let element = ElementType::bytes_of::<$data>();
                let (block, _) = self.take(Kind::$kind, element, deserializer)?;
                <$handle>::in_block(block).map_err(Source::new)
            }
        }
    };
}

travels!([T] SharedMutex<T>, Mutex, T);
travels!([T] SharedMutex<[T]>, Mutex, T);
travels!([T] SharedReentrantMutex<T>, ReentrantMutex, T);
travels!([T] SharedReentrantMutex<[T]>, ReentrantMutex, T);
travels!([T] SharedRwLock<T>, RwLock, T);
travels!([T] SharedRwLock<[T]>, RwLock, T);
travels!([] SharedSemaphore, Semaphore, ());
travels!([] SharedEvent, Event, ());
travels!([] SharedCondvar, Condvar, ());
travels!([] SharedBarrier, Barrier, ());
