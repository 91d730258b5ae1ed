//! A serializer with bounds around it.
//!
//! Invariant: everything that is nested in a value is written through a [`Guarded`], and each level
//! of nesting holds a [`Level`] of the guard.

use std::fmt::Display;

use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::{
    guard::{Failure, Guard, Level},
    wide::Wide,
};
use crate::SerdeFault;

/// A serializer of a format, guarded.
pub(super) struct Guarded<'g, S> {
    pub(super) inner: S,
    pub(super) guard: &'g Guard,
}

/// A value within a guarded one.
struct Nested<'g, 'v, T: ?Sized> {
    value: &'v T,
    guard: &'g Guard,
}

impl<T: Serialize + ?Sized> Serialize for Nested<'_, '_, T> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value
            .serialize(Guarded { inner: serializer, guard: self.guard })
            .map_err(|failure| failure.keep_in(self.guard, || S::Error::custom("refused")))
    }
}

/// A list, map, struct or enum that is written part by part.
pub(super) struct Parts<'g, P> {
    inner: P,
    guard: &'g Guard,
    _level: Level<'g>,
}

impl<'g, S: Serializer> Guarded<'g, S> {
    #[inline]
    fn nested<'v, T: ?Sized>(&self, value: &'v T) -> Nested<'g, 'v, T> {
        Nested { value, guard: self.guard }
    }

    /// Refuses a length that the format would cut.
    #[inline]
    fn check_len(&self, len: usize) -> Result<(), Failure<S::Error>> {
        if self.guard.rules.self_describing && u32::try_from(len).is_err() {
            return Err(Failure::Fault(SerdeFault::TooLong));
        }
        Ok(())
    }

    #[inline]
    fn check_known_len(&self, len: Option<usize>) -> Result<(), Failure<S::Error>> {
        match len {
            Some(len) => self.check_len(len),
            None if self.guard.rules.self_describing => Ok(()),
            None => Err(Failure::Fault(SerdeFault::UnknownLength)),
        }
    }

    #[inline]
    fn parts<P>(
        self,
        open: impl FnOnce(S) -> Result<P, S::Error>,
    ) -> Result<Parts<'g, P>, Failure<S::Error>> {
        let Self { inner, guard } = self;
        guard.begin_value();
        let level = guard.enter()?;
        Ok(Parts { inner: open(inner).map_err(Failure::Format)?, guard, _level: level })
    }
}

macro_rules! plain {
    ($($method:ident: $type:ty),* $(,)?) => { $(
        #[inline]
        fn $method(self, value: $type) -> Result<S::Ok, Self::Error> {
            self.guard.begin_value();
            self.inner.$method(value).map_err(Failure::Format)
        }
    )* };
}

impl<'g, S: Serializer> Serializer for Guarded<'g, S> {
    type Ok = S::Ok;
    type Error = Failure<S::Error>;
    type SerializeSeq = Parts<'g, S::SerializeSeq>;
    type SerializeTuple = Parts<'g, S::SerializeTuple>;
    type SerializeTupleStruct = Parts<'g, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Parts<'g, S::SerializeTupleVariant>;
    type SerializeMap = Parts<'g, S::SerializeMap>;
    type SerializeStruct = Parts<'g, S::SerializeStruct>;
    type SerializeStructVariant = Parts<'g, S::SerializeStructVariant>;

    plain! {
        serialize_bool: bool,
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_f32: f32,
        serialize_f64: f64,
        serialize_char: char,
        serialize_unit_struct: &'static str,
    }

    #[inline]
    fn serialize_i128(self, value: i128) -> Result<S::Ok, Self::Error> {
        self.guard.begin_value();
        if self.guard.rules.self_describing {
            return Wide::Signed(value).serialize(self.inner).map_err(Failure::Format);
        }
        self.inner.serialize_i128(value).map_err(Failure::Format)
    }

    #[inline]
    fn serialize_u128(self, value: u128) -> Result<S::Ok, Self::Error> {
        self.guard.begin_value();
        if self.guard.rules.self_describing {
            return Wide::Unsigned(value).serialize(self.inner).map_err(Failure::Format);
        }
        self.inner.serialize_u128(value).map_err(Failure::Format)
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<S::Ok, Self::Error> {
        self.check_len(value.len())?;
        self.guard.begin_value();
        self.inner.serialize_str(value).map_err(Failure::Format)
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<S::Ok, Self::Error> {
        self.check_len(value.len())?;
        self.guard.begin_value();
        self.inner.serialize_bytes(value).map_err(Failure::Format)
    }

    #[inline]
    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, Self::Error> {
        self.guard.begin_value();
        self.inner.collect_str(value).map_err(Failure::Format)
    }

    #[inline]
    fn serialize_none(self) -> Result<S::Ok, Self::Error> {
        self.guard.begin_nothing()?;
        self.inner.serialize_none().map_err(Failure::Format)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, Self::Error> {
        let _level = self.guard.enter()?;
        self.guard.begin_some();
        let value = self.nested(value);
        self.inner.serialize_some(&value).map_err(Failure::Format)
    }

    #[inline]
    fn serialize_unit(self) -> Result<S::Ok, Self::Error> {
        self.guard.begin_nothing()?;
        self.inner.serialize_unit().map_err(Failure::Format)
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, Self::Error> {
        self.guard.begin_value();
        self.inner.serialize_unit_variant(name, index, variant).map_err(Failure::Format)
    }

    /// What is in it is written in its place, so it may be the content of a `Some`.
    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, Self::Error> {
        let _level = self.guard.enter()?;
        let value = self.nested(value);
        self.inner.serialize_newtype_struct(name, &value).map_err(Failure::Format)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, Self::Error> {
        self.guard.begin_value();
        let _level = self.guard.enter()?;
        let value = self.nested(value);
        self.inner.serialize_newtype_variant(name, index, variant, &value).map_err(Failure::Format)
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, Self::Error> {
        self.check_known_len(len)?;
        self.parts(|inner| inner.serialize_seq(len))
    }

    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, Self::Error> {
        self.check_len(len)?;
        self.parts(|inner| inner.serialize_tuple(len))
    }

    #[inline]
    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, Self::Error> {
        self.parts(|inner| inner.serialize_tuple_struct(name, len))
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, Self::Error> {
        self.parts(|inner| inner.serialize_tuple_variant(name, index, variant, len))
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, Self::Error> {
        self.check_known_len(len)?;
        self.parts(|inner| inner.serialize_map(len))
    }

    #[inline]
    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStruct, Self::Error> {
        self.parts(|inner| inner.serialize_struct(name, len))
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, Self::Error> {
        self.parts(|inner| inner.serialize_struct_variant(name, index, variant, len))
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

impl<'g, P> Parts<'g, P> {
    #[inline]
    fn nested<'v, T: ?Sized>(&self, value: &'v T) -> Nested<'g, 'v, T> {
        Nested { value, guard: self.guard }
    }

    #[inline]
    fn left_out<E>(&self) -> Result<(), Failure<E>> {
        if self.guard.rules.self_describing {
            return Ok(());
        }
        Err(Failure::Fault(SerdeFault::FieldLeftOut))
    }
}

impl<P: SerializeSeq> SerializeSeq for Parts<'_, P> {
    type Ok = P::Ok;
    type Error = Failure<P::Error>;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Self::Error> {
        self.guard.count_element();
        let value = self.nested(value);
        self.inner.serialize_element(&value).map_err(Failure::Format)
    }

    #[inline]
    fn end(self) -> Result<P::Ok, Self::Error> {
        self.inner.end().map_err(Failure::Format)
    }
}

impl<P: SerializeMap> SerializeMap for Parts<'_, P> {
    type Ok = P::Ok;
    type Error = Failure<P::Error>;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Self::Error> {
        self.guard.count_element();
        let key = self.nested(key);
        self.inner.serialize_key(&key).map_err(Failure::Format)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Self::Error> {
        let value = self.nested(value);
        self.inner.serialize_value(&value).map_err(Failure::Format)
    }

    #[inline]
    fn end(self) -> Result<P::Ok, Self::Error> {
        self.inner.end().map_err(Failure::Format)
    }
}

macro_rules! tuples {
    ($($trait:ident::$method:ident),* $(,)?) => { $(
        impl<P: $trait> $trait for Parts<'_, P> {
            type Ok = P::Ok;
            type Error = Failure<P::Error>;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Self::Error> {
                let value = self.nested(value);
                self.inner.$method(&value).map_err(Failure::Format)
            }

            #[inline]
            fn end(self) -> Result<P::Ok, Self::Error> {
                self.inner.end().map_err(Failure::Format)
            }
        }
    )* };
}

tuples! {
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field,
}

macro_rules! structs {
    ($($trait:ident),* $(,)?) => { $(
        impl<P: $trait> $trait for Parts<'_, P> {
            type Ok = P::Ok;
            type Error = Failure<P::Error>;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), Self::Error> {
                let value = self.nested(value);
                self.inner.serialize_field(key, &value).map_err(Failure::Format)
            }

            #[inline]
            fn skip_field(&mut self, key: &'static str) -> Result<(), Self::Error> {
                self.left_out()?;
                self.inner.skip_field(key).map_err(Failure::Format)
            }

            #[inline]
            fn end(self) -> Result<P::Ok, Self::Error> {
                self.inner.end().map_err(Failure::Format)
            }
        }
    )* };
}

structs! { SerializeStruct, SerializeStructVariant }
