//! Makes a proxy `Wire`: it crosses as the raw proxy in it.

macro_rules! crosses_as_proxy {
    ([$($T:ident),*] $Proxy:ty, $make:expr) => {
        impl<$($T: pool_ipc::Wire),*> pool_ipc::rkyv::Archive for $Proxy {
            type Archived = $crate::client::ArchivedProxyParts;
            type Resolver = $crate::client::RawProxyResolver;

            fn resolve(
                &self,
                resolver: Self::Resolver,
                out: pool_ipc::rkyv::Place<Self::Archived>,
            ) {
                pool_ipc::rkyv::Archive::resolve(&self.raw, resolver, out);
            }
        }

        impl<$($T: pool_ipc::Wire),*> pool_ipc::rkyv::Serialize<pool_ipc::WireEncode> for $Proxy {
            fn serialize(
                &self,
                serializer: &mut pool_ipc::WireEncode,
            ) -> Result<Self::Resolver, pool_ipc::WireFault> {
                pool_ipc::rkyv::Serialize::serialize(&self.raw, serializer)
            }
        }

        impl<$($T: pool_ipc::Wire),*>
            pool_ipc::rkyv::Deserialize<$Proxy, pool_ipc::WireDecode>
            for $crate::client::ArchivedProxyParts
        {
            fn deserialize(
                &self,
                deserializer: &mut pool_ipc::WireDecode,
            ) -> Result<$Proxy, pool_ipc::WireFault> {
                let raw: $crate::client::RawProxy =
                    pool_ipc::rkyv::Deserialize::deserialize(self, deserializer)?;
                let make: fn($crate::client::RawProxy) -> $Proxy = $make;
                Ok(make(raw))
            }
        }
    };
}

/// Defines a proxy.
macro_rules! proxy_type {
    ($(#[$doc:meta])* $Proxy:ident<$($T:ident),*>, $name:expr) => {
        $(#[$doc])*
        pub struct $Proxy<$($T),*> {
            raw: $crate::client::RawProxy,
            types: std::marker::PhantomData<fn() -> ($($T,)*)>,
        }

        impl<$($T),*> Clone for $Proxy<$($T),*> {
            fn clone(&self) -> Self {
                Self { raw: self.raw.clone(), types: std::marker::PhantomData }
            }
        }

        impl<$($T),*> std::fmt::Debug for $Proxy<$($T),*> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($Proxy)).field(&self.raw).finish()
            }
        }

        impl<$($T: pool_ipc::Wire),*> $crate::Proxy for $Proxy<$($T),*> {
            const TYPE_NAME: &'static str = $name;

            fn from_raw(raw: $crate::client::RawProxy) -> Self {
                Self { raw, types: std::marker::PhantomData }
            }

            fn raw(&self) -> &$crate::client::RawProxy {
                &self.raw
            }
        }

        impl<$($T: pool_ipc::Wire),*> $Proxy<$($T),*> {
            fn arguments(&self) -> $crate::client::Ask {
                $crate::client::Ask::new(self)
            }
        }

        $crate::proxies::crosses_as_proxy!(
            [$($T),*] $Proxy<$($T),*>,
            <$Proxy<$($T),*> as $crate::Proxy>::from_raw
        );
    };
}

pub(crate) use crosses_as_proxy;
pub(crate) use proxy_type;
