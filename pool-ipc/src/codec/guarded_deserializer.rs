//! A deserializer with bounds around it.
//!
//! Invariant: everything that is nested in a value is read through a [`Guarded`], and each level of
//! nesting holds a [`Level`](super::guard::Level) of the guard.

use std::fmt;

use serde::de::{
    Deserialize as _, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::{
    guard::{Failure, Guard},
    wide::Wide,
};
use crate::SerdeFault;

/// Something of a format, or of a type, guarded.
pub(super) struct Guarded<'g, I> {
    inner: I,
    guard: &'g Guard,
    /// Bytes of the whole value.
    bytes: usize,
    /// Whether its elements are counted: those of a list or map whose length the type does not say.
    counted: bool,
    /// Whether the bytes are asked what they hold.
    asking: bool,
}

impl<'g, I> Guarded<'g, I> {
    #[inline]
    pub(super) fn new(inner: I, guard: &'g Guard, bytes: usize) -> Self {
        Self { inner, guard, bytes, counted: false, asking: false }
    }
}

impl<'g, I> Guarded<'g, I> {
    /// Something else within the same guard.
    #[inline]
    fn around<O>(&self, inner: O) -> Guarded<'g, O> {
        Guarded::new(inner, self.guard, self.bytes)
    }

    /// Counts an element, if there is one and elements are counted.
    #[inline]
    fn count<T, E>(&self, element: Option<T>) -> Result<Option<T>, Failure<E>> {
        if self.counted && element.is_some() {
            self.guard.count_element();
            self.guard.check_elements(self.bytes)?;
            self.guard.check_memory(self.bytes, size_of::<T>())?;
        }
        Ok(element)
    }
}

/// Keeps why a part failed, and gives the format an error of its own.
#[inline]
fn kept<T, E: Error>(guard: &Guard, result: Result<T, Failure<E>>) -> Result<T, E> {
    result.map_err(|failure| failure.keep_in(guard, || E::custom("refused")))
}

impl<'de, I: DeserializeSeed<'de>> DeserializeSeed<'de> for Guarded<'_, I> {
    type Value = I::Value;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<I::Value, D::Error> {
        let deserializer = self.around(deserializer);
        kept(self.guard, self.inner.deserialize(deserializer))
    }
}

macro_rules! forwarded {
    ($($method:ident($($name:ident: $type:ty),*)),* $(,)?) => { $(
        #[inline]
        fn $method<V: Visitor<'de>>(
            self,
            $($name: $type,)*
            visitor: V,
        ) -> Result<V::Value, Self::Error> {
            let visitor = self.around(visitor);
            self.inner.$method($($name,)* visitor).map_err(Failure::Format)
        }
    )* };
}

/// Those that need bytes which say what they hold.
macro_rules! described {
    ($($method:ident($asking:literal)),* $(,)?) => { $(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            if !self.guard.rules.self_describing {
                return Err(Failure::Fault(SerdeFault::NotSelfDescribing));
            }
            let visitor = Guarded { asking: $asking, ..self.around(visitor) };
            self.inner.$method(visitor).map_err(Failure::Format)
        }
    )* };
}

/// Those of lists and maps.
macro_rules! counted {
    ($($method:ident),* $(,)?) => { $(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            let visitor = Guarded { counted: true, ..self.around(visitor) };
            self.inner.$method(visitor).map_err(Failure::Format)
        }
    )* };
}

impl<'de, I: Deserializer<'de>> Deserializer<'de> for Guarded<'_, I> {
    type Error = Failure<I::Error>;

    described! { deserialize_any(true), deserialize_ignored_any(false) }

    counted! { deserialize_seq, deserialize_map }

    forwarded! {
        deserialize_bool(),
        deserialize_i8(),
        deserialize_i16(),
        deserialize_i32(),
        deserialize_i64(),
        deserialize_u8(),
        deserialize_u16(),
        deserialize_u32(),
        deserialize_u64(),
        deserialize_f32(),
        deserialize_f64(),
        deserialize_char(),
        deserialize_str(),
        deserialize_string(),
        deserialize_bytes(),
        deserialize_byte_buf(),
        deserialize_option(),
        deserialize_unit(),
        deserialize_unit_struct(name: &'static str),
        deserialize_newtype_struct(name: &'static str),
        deserialize_tuple(len: usize),
        deserialize_tuple_struct(name: &'static str, len: usize),
        deserialize_struct(name: &'static str, fields: &'static [&'static str]),
        deserialize_identifier(),
        deserialize_enum(name: &'static str, variants: &'static [&'static str]),
    }

    #[inline]
    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if !self.guard.rules.self_describing {
            let visitor = self.around(visitor);
            return self.inner.deserialize_i128(visitor).map_err(Failure::Format);
        }
        let number = Wide::deserialize(self.inner).map_err(Failure::Format)?;
        visitor.visit_i128(number.signed().ok_or(Failure::Fault(SerdeFault::Invalid))?)
    }

    #[inline]
    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if !self.guard.rules.self_describing {
            let visitor = self.around(visitor);
            return self.inner.deserialize_u128(visitor).map_err(Failure::Format);
        }
        let number = Wide::deserialize(self.inner).map_err(Failure::Format)?;
        visitor.visit_u128(number.unsigned().ok_or(Failure::Fault(SerdeFault::Invalid))?)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! visits {
    ($($method:ident: $type:ty),* $(,)?) => { $(
        #[inline]
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            kept(self.guard, self.inner.$method(value))
        }
    )* };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Guarded<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    visits! {
        visit_bool: bool,
        visit_i8: i8,
        visit_i16: i16,
        visit_i32: i32,
        visit_i64: i64,
        visit_i128: i128,
        visit_u8: u8,
        visit_u16: u16,
        visit_u32: u32,
        visit_u64: u64,
        visit_u128: u128,
        visit_f32: f32,
        visit_f64: f64,
        visit_char: char,
        visit_str: &str,
        visit_borrowed_str: &'de str,
        visit_string: String,
        visit_bytes: &[u8],
        visit_borrowed_bytes: &'de [u8],
        visit_byte_buf: Vec<u8>,
    }

    #[inline]
    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        kept(self.guard, self.inner.visit_none())
    }

    #[inline]
    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.guard.made(size_of::<V::Value>());
        kept(self.guard, self.inner.visit_unit())
    }

    #[inline]
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        let _level = kept(self.guard, self.guard.enter())?;
        let deserializer = self.around(deserializer);
        kept(self.guard, self.inner.visit_some(deserializer))
    }

    #[inline]
    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<V::Value, D::Error> {
        // Where the bytes are asked, MessagePack visits this for an extension type only.
        if self.asking {
            return kept(self.guard, Err(Failure::Fault(SerdeFault::WideNumber)));
        }
        let _level = kept(self.guard, self.guard.enter())?;
        let deserializer = self.around(deserializer);
        kept(self.guard, self.inner.visit_newtype_struct(deserializer))
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<V::Value, A::Error> {
        let _level = kept(self.guard, self.guard.enter())?;
        self.guard.made(size_of::<V::Value>());
        let elements = Guarded { counted: self.counted, ..self.around(elements) };
        kept(self.guard, self.inner.visit_seq(elements))
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        let _level = kept(self.guard, self.guard.enter())?;
        self.guard.made(size_of::<V::Value>());
        let entries = Guarded { counted: self.counted, ..self.around(entries) };
        kept(self.guard, self.inner.visit_map(entries))
    }

    #[inline]
    fn visit_enum<A: EnumAccess<'de>>(self, content: A) -> Result<V::Value, A::Error> {
        let content = self.around(content);
        kept(self.guard, self.inner.visit_enum(content))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Guarded<'_, A> {
    type Error = Failure<A::Error>;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Self::Error> {
        let seed = self.around(seed);
        let element = self.inner.next_element_seed(seed).map_err(Failure::Format)?;
        self.count(element)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint().map(|len| len.min(self.bytes))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Guarded<'_, A> {
    type Error = Failure<A::Error>;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Self::Error> {
        let seed = self.around(seed);
        let key = self.inner.next_key_seed(seed).map_err(Failure::Format)?;
        self.count(key)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, Self::Error> {
        let seed = self.around(seed);
        self.inner.next_value_seed(seed).map_err(Failure::Format)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint().map(|len| len.min(self.bytes))
    }
}

impl<'de, 'g, A: EnumAccess<'de>> EnumAccess<'de> for Guarded<'g, A> {
    type Error = Failure<A::Error>;
    type Variant = Guarded<'g, A::Variant>;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), Self::Error> {
        let Self { inner, guard, bytes, .. } = self;
        let seed = Guarded::new(seed, guard, bytes);
        let (value, variant) = inner.variant_seed(seed).map_err(Failure::Format)?;
        Ok((value, Guarded::new(variant, guard, bytes)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Guarded<'_, A> {
    type Error = Failure<A::Error>;

    #[inline]
    fn unit_variant(self) -> Result<(), Self::Error> {
        self.inner.unit_variant().map_err(Failure::Format)
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<S::Value, Self::Error> {
        let _level = self.guard.enter()?;
        let seed = self.around(seed);
        self.inner.newtype_variant_seed(seed).map_err(Failure::Format)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let visitor = self.around(visitor);
        self.inner.tuple_variant(len, visitor).map_err(Failure::Format)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let visitor = self.around(visitor);
        self.inner.struct_variant(fields, visitor).map_err(Failure::Format)
    }
}
