//! Fields in `wire!` whose types do not cross, wherever they stand in the definition.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap, HashSet},
    rc::Rc,
};

use pool_api::wire;

struct NoWire {
    value: u32,
}

wire! {
//~ also
    struct Numbers {
        by_number: HashMap<f64, u32>,
        //~ message: `HashMap<f64, u32>` cannot cross a process boundary
        //~ label: this, or a part of it, cannot be sent to another process
        //~ note: the key of a `HashMap` needs `#[rkyv(derive(PartialEq, Eq, Hash))]` on its type in `wire!`
        in_order: BTreeMap<f64, u32>,
        //~ message: `BTreeMap<f64, u32>` cannot cross a process boundary
        //~ label: this, or a part of it, cannot be sent to another process
        //~ note: that of a `BTreeMap` `#[rkyv(derive(PartialEq, Eq, PartialOrd, Ord))]`
        once: HashSet<NoWire>,
        //~ message: `HashSet<NoWire>` cannot cross a process boundary
        //~ label: this, or a part of it, cannot be sent to another process
        address: *const u8,
        //~ message: `*const u8` cannot cross a process boundary
        //~ label: this, or a part of it, cannot be sent to another process
        text: &'static str,
        //~ message: `&'static str` cannot cross a process boundary
        //~ label: this, or a part of it, cannot be sent to another process
        //~ note: borrowed data, closures in a `Box` and trait objects do not cross: send an owned `String`, `Vec`, enum, … instead
        function: Box<dyn Fn(u32) -> u32>,
        //~ message: `Box<(dyn Fn(u32) -> u32 + 'static)>` cannot cross a process boundary
        //~ label: this, or a part of it, cannot be sent to another process
        //~ note: borrowed data, closures in a `Box` and trait objects do not cross: send an owned `String`, `Vec`, enum, … instead
        cell: RefCell<u32>,
        //~ message: `RefCell<u32>` cannot cross a process boundary
        //~ label: this, or a part of it, cannot be sent to another process
        deep: Vec<Option<(u8, NoWire)>>,
        //~ message: `Vec<Option<(u8, NoWire)>>` cannot cross a process boundary
        //~ label: this, or a part of it, cannot be sent to another process
        //~ note: an own type crosses when its definition stands in `wire! { … }`, as well as those of the types in it
    }

    // Its fields are not asked about, since a parameter has a bound; those of the types behind it
    // are.
    struct Bounded<T: Clone> { value: T }

    struct Labelled<T> {
        label: String,
        value: T,
        shared: Rc<T>,
        //~ message: `Rc<u32>` cannot cross a process boundary
        //~ label: this, or a part of it, cannot be sent to another process
        //~ note: `Arc` and `Rc` do not cross, since what they share ends at the process: send the value itself
        inner: NoWire,
        //~ message: `NoWire` cannot cross a process boundary
        //~ label: this, or a part of it, cannot be sent to another process
        //~ note: an own type crosses when its definition stands in `wire! { … }`, as well as those of the types in it
    }

    struct Two<T, U>(T, HashMap<T, U>, Vec<NoWire>);
    //~ message: `Vec<NoWire>` cannot cross a process boundary
    //~ label: this, or a part of it, cannot be sent to another process

    enum Either<T, U> {
        First(T, Option<NoWire>),
        //~ message: `Option<NoWire>` cannot cross a process boundary
        //~ label: this, or a part of it, cannot be sent to another process
        Second { value: U, plain: NoWire },
        //~ message: `NoWire` cannot cross a process boundary
        //~ label: this, or a part of it, cannot be sent to another process
    }
}

fn main() {}
