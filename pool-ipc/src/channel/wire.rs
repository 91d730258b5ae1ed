//! Endpoints as parts of a message: a handle to the channel's memory, and one to the segment that
//! tells of the presence of the side.
//!
//! Invariant: the memory was checked for the type of the messages (`Memory::open`). An endpoint on
//! its way counts as present, since a message keeps the segments of its handles.

use pool_shm::{
    ElementType, Kind, SegmentFault,
    wire::{ArchivedBlock, BlockResolver, GiveSegment, TakeSegment},
};
use rkyv::{
    Archive, Deserialize, Place, Portable, Serialize,
    bytecheck::CheckBytes,
    munge::munge,
    rancor::{Fallible, Source},
    rend::u32_le,
};

use super::{
    Duplex, JoinableQueue, Receiver, Sender,
    endpoint::{Endpoint, Role},
    layout::Memory,
    payload::{is_plain, stride},
};
use crate::Wire;

/// An endpoint as it lies in an archive. It has to be decoded before it can be used.
#[derive(Debug, Clone, Copy, Portable, CheckBytes)]
#[bytecheck(crate = rkyv::bytecheck)]
#[repr(C)]
pub struct ArchivedEndpoint {
    memory: ArchivedBlock,
    /// The index in the message's table of the segment that tells of its presence.
    presence: u32_le,
}

/// The indices in the message's table of the segments of an encoded endpoint.
#[derive(Debug)]
pub struct EndpointResolver {
    memory: BlockResolver,
    presence: u32,
}

impl Endpoint {
    fn give<S>(&self, serializer: &mut S) -> Result<EndpointResolver, S::Error>
    where
        S: Fallible<Error: Source> + GiveSegment + ?Sized,
    {
        let presence = self.presence().filter(|presence| presence.is_present());
        let presence = presence.ok_or(SegmentFault::Gone).map_err(Source::new)?;
        let memory = self.channel.memory.block.give(serializer)?;
        let presence = serializer.give_segment(presence).map_err(Source::new)?;
        Ok(EndpointResolver { memory, presence })
    }

    fn resolve_into(&self, resolver: &EndpointResolver, out: Place<ArchivedEndpoint>) {
        munge!(let ArchivedEndpoint { memory, presence } = out);
        self.channel.memory.block.resolve_into(&resolver.memory, memory);
        presence.write(u32_le::from_native(resolver.presence));
    }
}

impl ArchivedEndpoint {
    fn take<T: Wire, D>(
        &self,
        role: Role,
        deserializer: &mut D,
    ) -> Result<std::sync::Arc<Endpoint>, D::Error>
    where
        D: Fallible<Error: Source> + TakeSegment + ?Sized,
    {
        let message = ElementType::bytes_of::<T>();
        let (block, _) = self.memory.take(Kind::Channel, message, deserializer)?;
        let presence = self.presence.to_native();
        let presence = deserializer.take_segment(presence).map_err(Source::new)?;
        if !presence.is_presence() {
            return Err(Source::new(SegmentFault::OtherKind));
        }
        let memory = Memory::open(block, stride::<T>(), !is_plain::<T>()).map_err(Source::new)?;
        Endpoint::of_handle(memory, role, presence).map_err(Source::new)
    }
}

macro_rules! travels {
    ($End:ident) => {
        impl<T: Wire> Archive for $End<T> {
            type Archived = ArchivedEndpoint;
            type Resolver = EndpointResolver;

            fn resolve(&self, resolver: EndpointResolver, out: Place<ArchivedEndpoint>) {
                self.endpoint().resolve_into(&resolver, out);
            }
        }

        impl<T: Wire, S> Serialize<S> for $End<T>
        where
            S: Fallible<Error: Source> + GiveSegment + ?Sized,
        {
            fn serialize(&self, serializer: &mut S) -> Result<EndpointResolver, S::Error> {
                self.endpoint().give(serializer)
            }
        }

        impl<T: Wire, D> Deserialize<$End<T>, D> for ArchivedEndpoint
        where
            D: Fallible<Error: Source> + TakeSegment + ?Sized,
        {
            fn deserialize(&self, deserializer: &mut D) -> Result<$End<T>, D::Error> {
                self.take::<T, D>(Role::$End, deserializer).map($End::new)
            }
        }
    };
}

travels!(Sender);
travels!(Receiver);

/// A sender and a receiver as they lie in an archive.
#[derive(Debug, Clone, Copy, Portable, CheckBytes)]
#[bytecheck(crate = rkyv::bytecheck)]
#[repr(C)]
pub struct ArchivedEnds {
    sender: ArchivedEndpoint,
    receiver: ArchivedEndpoint,
}

macro_rules! travels_as_both {
    ([$($T:ident),+] $Ends:ty, $S:ident, $R:ident, $make:expr) => {
        impl<$($T: Wire),+> Archive for $Ends {
            type Archived = ArchivedEnds;
            type Resolver = (EndpointResolver, EndpointResolver);

            fn resolve(&self, resolver: Self::Resolver, out: Place<ArchivedEnds>) {
                munge!(let ArchivedEnds { sender, receiver } = out);
                self.sender().endpoint().resolve_into(&resolver.0, sender);
                self.receiver().endpoint().resolve_into(&resolver.1, receiver);
            }
        }

        impl<$($T: Wire,)+ Z> Serialize<Z> for $Ends
        where
            Z: Fallible<Error: Source> + GiveSegment + ?Sized,
        {
            fn serialize(&self, serializer: &mut Z) -> Result<Self::Resolver, Z::Error> {
                let sender = self.sender().endpoint().give(serializer)?;
                Ok((sender, self.receiver().endpoint().give(serializer)?))
            }
        }

        impl<$($T: Wire,)+ D> Deserialize<$Ends, D> for ArchivedEnds
        where
            D: Fallible<Error: Source> + TakeSegment + ?Sized,
        {
            fn deserialize(&self, deserializer: &mut D) -> Result<$Ends, D::Error> {
                let sender: Sender<$S> = self.sender.deserialize(deserializer)?;
                let receiver: Receiver<$R> = self.receiver.deserialize(deserializer)?;
                $make(sender, receiver).map_err(Source::new)
            }
        }
    };
}

travels_as_both!([S, R] Duplex<S, R>, S, R, |sender, receiver| {
    Ok::<_, SegmentFault>(Duplex::of(sender, receiver))
});
travels_as_both!([T] JoinableQueue<T>, T, T, JoinableQueue::of);
