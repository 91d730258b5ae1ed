//! The macro that makes an own type `Wire` with one dependency.

/// Puts rkyv's derives, and the path of the re-exported rkyv, on structs and enums.
///
/// ```
/// # use pool_ipc as pool_api;
/// pool_api::wire! {
///     #[derive(Debug, PartialEq)]
///     pub struct Row { pub name: String, pub values: Vec<f64> }
///
///     #[derive(Debug, PartialEq)]
///     pub enum Verdict { Keep(Row), Drop }
/// }
/// // Both are `Wire` now: they can be items, results, contexts.
/// # let row = Row { name: "a".into(), values: vec![1.5] };
/// # let bytes = pool_ipc::to_bytes(&Verdict::Keep(row)).unwrap();
/// # assert!(matches!(pool_ipc::from_bytes::<Verdict>(&bytes), Ok(Verdict::Keep(r)) if r.name == "a"));
/// ```
///
/// An enum named `Tag` needs `#[rkyv(archived = TagArchive)]` (any other name), since rkyv's derive has an `ArchivedTag` of its own. A key of a
/// map needs `#[rkyv(derive(PartialEq, Eq, Hash))]`, of a `BTreeMap` `PartialOrd, Ord` instead of `Hash`.
#[macro_export]
macro_rules! wire {
    ($($item:item)*) => {
        $(
            #[derive(
                $crate::rkyv::Archive,
                $crate::rkyv::Serialize,
                $crate::rkyv::Deserialize,
            )]
            #[rkyv(crate = $crate::rkyv)]
            $item
        )*
    };
}
