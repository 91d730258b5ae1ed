//! Types with serde's traits cross in both directions, in every place where a value can be; what
//! does not says why.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    ffi::OsString,
    fmt::Debug,
    net::IpAddr,
    num::NonZeroU64,
    ops::RangeInclusive,
    os::unix::ffi::OsStringExt,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use pool_api::{
    Cause, Error, Process, Serde, SerdeDyn, SerdeFault, StartMethod, TaskError, Wire, wire,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::case::{Case, Outcome, builder, pool};

pub(crate) const CASES: &[Case] = &[
    Case::new("serde_types_cross", compact),
    Case::new("serde_types_that_ask_their_bytes_cross", described),
    Case::new("serde_types_cross_in_every_place", places),
    Case::new("serde_values_that_do_not_cross_say_why", refused).processes(),
    Case::new("serde_results_that_do_not_cross_say_why", results_refused).processes(),
    Case::new("serde_states_that_do_not_cross_say_why", exits_refused),
];

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Shape {
    Unit,
    Newtype(i128),
    Tuple(u8, String),
    Struct { char: char, nested: Option<Box<Shape>> },
}

/// A number in a newtype, with a check, the form of many types of dates and of money.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(try_from = "i64", into = "i64")]
struct Day(i64);

impl TryFrom<i64> for Day {
    type Error = &'static str;

    fn try_from(day: i64) -> Result<Self, Self::Error> {
        if day < 0 { Err("a day before the first") } else { Ok(Self(day)) }
    }
}

impl From<Day> for i64 {
    fn from(day: Day) -> Self {
        day.0
    }
}

/// Written as bytes, not as a list of numbers.
#[derive(Debug, Clone, PartialEq)]
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_byte_buf(Visitor)
    }
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Unit;

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Numbers(i8, u16, i32, u64, i128, u128, f32, f64, usize, bool, char, NonZeroU64);

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Record<'a, T> {
    text: Cow<'a, str>,
    values: Vec<T>,
    keys: BTreeMap<Shape, Vec<Shape>>,
    points: HashMap<(i32, Day), Unit>,
    numbers: Numbers,
    #[serde(default)]
    bytes: Option<Bytes>,
}

fn shapes() -> Vec<Shape> {
    let inner = Some(Box::new(Shape::Newtype(i128::MIN)));
    vec![
        Shape::Unit,
        Shape::Newtype(-1),
        Shape::Tuple(7, "naïve".into()),
        Shape::Struct { char: '🦀', nested: inner },
        Shape::Struct { char: '\0', nested: None },
    ]
}

fn record() -> Record<'static, Day> {
    Record {
        text: "a text".into(),
        values: vec![Day(1), Day(i64::MAX)],
        keys: shapes().into_iter().map(|shape| (shape, shapes())).collect(),
        points: HashMap::from([((-1, Day(2)), Unit), ((3, Day(4)), Unit)]),
        numbers: Numbers(-8, 16, -32, u64::MAX, i128::MIN, u128::MAX, -0.0, 1e300, 9, true, 'x', {
            NonZeroU64::MAX
        }),
        bytes: Some(Bytes(vec![0, 255, 7])),
    }
}

/// Sends values of a type, and gets them back.
fn crosses<T: Wire + Clone + PartialEq + Debug>(pool: &pool_api::WorkerPool, values: Vec<T>) {
    let name = std::any::type_name::<T>();
    let back = pool.map(values.clone(), |value| value).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(back, values, "{name}");
}

fn compact(method: StartMethod) -> Outcome {
    let pool = &pool(method, 2)?;
    macro_rules! cross {
        ($($values:expr),* $(,)?) => {
            $(crosses(pool, $values.into_iter().map(Serde).collect());)*
        };
    }
    cross! {
        shapes(),
        vec![record(); 20],
        [Unit],
        [Some(Some(Some(3u8))), Some(Some(None)), Some(None), None],
        [Ok::<Option<()>, String>(Some(())), Ok(None), Err("no".into())],
        [u128::MAX, 0],
        ['\u{10ffff}', 'a'],
        [Bytes(vec![1; 70_000]), Bytes(Vec::new())],
        [Day(3)],
        [BTreeMap::from([(Some(1.5f32.to_bits()), [1u8, 2]), (None, [3, 4])])],
        [BTreeSet::from([(1u8, 'a'), (2, 'b')])],
        [HashMap::from([(vec![1u8], VecDeque::from([Shape::Unit]))])],
        [Cow::<'static, [u16]>::Owned(vec![1, 2])],
        [PathBuf::from("/a/ä")],
        [OsString::from("a"), OsString::from_vec(vec![0xff, 0])],
        [SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + Duration::new(1 << 40, 5)],
        [IpAddr::from([127, 0, 0, 1]), IpAddr::from([1u16; 8])],
        [RangeInclusive::new(1u8, 3)],
        [std::num::Wrapping(5i8)],
        [vec![vec![String::from("nested"); 3]; 100]],
        [(0..100_000u32).collect::<Vec<_>>()],
        ["x".repeat(1 << 20).into_boxed_str()],
    }
    Ok(())
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(untagged)]
enum Untagged {
    Number(f64),
    Text(String),
    Pair { a: u8, b: u8 },
    List(Vec<Untagged>),
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Tagged {
    FirstOne { x: u8 },
    SecondOne(Inner),
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(tag = "kind", content = "content")]
enum Adjacent {
    One(u8),
    Two { x: String },
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Inner {
    y: u8,
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Flat {
    name: String,
    #[serde(flatten)]
    inner: Inner,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// What serde buffers before it reads it.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(untagged)]
enum Buffered {
    Address(IpAddr),
    Text(String),
    Big(i128),
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Sparse {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first: Option<u8>,
    second: Option<u8>,
}

fn untagged() -> Untagged {
    let pair = Untagged::Pair { a: 1, b: 2 };
    Untagged::List(vec![Untagged::Number(1.5), Untagged::Text("t".into()), pair])
}

fn flat() -> Flat {
    let rest = BTreeMap::from([("z".into(), json!([1, "x", null]))]);
    Flat { name: "a".into(), inner: Inner { y: 2 }, rest }
}

fn described(method: StartMethod) -> Outcome {
    let pool = &pool(method, 2)?;
    macro_rules! cross {
        ($($values:expr),* $(,)?) => {
            $(crosses(pool, $values.into_iter().map(SerdeDyn).collect());)*
        };
    }
    cross! {
        vec![untagged(); 20],
        [Tagged::FirstOne { x: 1 }, Tagged::SecondOne(Inner { y: 2 })],
        [Adjacent::One(1), Adjacent::Two { x: "x".into() }],
        [flat()],
        [Sparse { first: None, second: None }, Sparse { first: Some(1), second: Some(2) }],
        [json!(null), json!(-1), json!({ "list": [1, 2.5, { "": true }], "more": "text" })],
        shapes(),
        vec![record(); 20],
        [OsString::from_vec(vec![0xff, 0])],
        [u128::MAX, 0],
        [Buffered::Address(IpAddr::from([127, 0, 0, 1])), Buffered::Text("t".into())],
        [IpAddr::from([127, 0, 0, 1]), IpAddr::from([1; 16])],
        [Some(3), None],
        [BTreeMap::from([(1.5f32.to_bits(), 'a')])],
    }
    Ok(())
}

wire! {
    #[derive(Debug, Clone, PartialEq)]
    struct Mixed { name: String, record: Serde<Inner2>, values: Vec<SerdeDyn<Inner2>> }
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
struct Inner2 {
    path: PathBuf,
    id: u128,
}

/// Items, results, contexts, what is shared and read in place, states and their results, fields of
/// types in `wire!`, and the argument of a process.
fn places(method: StartMethod) -> Outcome {
    let inner = |id| Inner2 { path: "a/b".into(), id };
    let pool = builder(method, 2)
        .shared(Serde(inner(10)))
        .worker_init(|w| Serde(Inner2 { id: w.shared.id + 10, ..Inner2::default() }))
        .worker_exit(|w| Serde(w.state.clone().into_inner()))
        .build()?;
    let ids = pool
        .tasks((0..9).map(|id| Serde(inner(id))))
        .with(SerdeDyn(json!({ "more": 100 })))
        .with_worker()
        .map(|w, more, item| {
            let more = u128::from(more["more"].as_u64().expect("it is there"));
            Serde(Inner2 { id: item.id + w.shared.id + w.state.id + more, ..item.into_inner() })
        })?;
    let expected: Vec<_> = (0..9).map(|id| Serde(inner(id + 130))).collect();
    assert_eq!(ids, expected);
    pool.stop_and_join()?;
    let exits = pool.exit_results();
    assert!(!exits.is_empty());
    assert!(exits.iter().all(|state| state.id == 20));

    let pool = builder(method, 1).shared_view(SerdeDyn(json!({ "more": 3 }))).build()?;
    let seen = pool.tasks([1u64]).with_worker().map(|w, n| {
        let value = w.shared.decode().expect("the bytes are those of a value");
        value["more"].as_u64().map(|more| more + n)
    })?;
    assert_eq!(seen, [Some(4)]);

    let mixed = Mixed {
        name: "mixed".into(),
        record: Serde(inner(1)),
        values: vec![SerdeDyn(inner(2)), SerdeDyn(inner(3))],
    };
    let back = pool.apply(mixed.clone(), |mut mixed| {
        mixed.record.id += 1;
        mixed
    })?;
    assert_eq!(back, Mixed { record: Serde(inner(2)), ..mixed });

    let process = Process::builder().start_method(method);
    let process = process.spawn(|item: Serde<Inner2>| item, Serde(inner(7)))?;
    assert_eq!(process.join()?, Serde(inner(7)));
    Ok(())
}

/// Not text in a path.
fn odd_path() -> PathBuf {
    OsString::from_vec(vec![0xff]).into()
}

fn list(len: usize) -> Vec<Shape> {
    let deep = (0..len).fold(Shape::Unit, |inner, _| {
        let nested = Some(Box::new(inner));
        Shape::Struct { char: 'a', nested }
    });
    vec![deep]
}

fn cause<T>(result: Result<T, Error>) -> Option<SerdeFault> {
    match result {
        Err(Error::Task(task)) => fault(&task),
        _ => None,
    }
}

fn fault(task: &TaskError) -> Option<SerdeFault> {
    match task.cause() {
        Cause::Serde(fault) => Some(*fault),
        _ => None,
    }
}

fn refused(method: StartMethod) -> Outcome {
    fn unsent<T: Wire + Sync>(pool: &pool_api::WorkerPool, value: fn() -> T) -> SerdeFault {
        let sent = pool.map([value()], drop).expect_err("it does not cross");
        let Error::Serde { index: Some(0), fault } = sent else { panic!("{sent}") };
        let context = pool.tasks([1]).with(value()).map(|_, n| n).expect_err("it does not cross");
        assert!(matches!(context, Error::Serde { index: None, fault: same } if same == fault));
        let later = match pool.apply_async(value(), drop) {
            Ok(handle) => handle.get().expect_err("it does not cross"),
            Err(refused) => refused.error,
        };
        assert!(matches!(later, Error::Serde { fault: same, .. } if same == fault), "{later}");
        fault
    }
    let pool = pool(method, 2)?;
    assert_eq!(unsent(&pool, || Serde(flat())), SerdeFault::UnknownLength);
    let sparse = || Serde(Sparse { first: None, second: None });
    assert_eq!(unsent(&pool, sparse), SerdeFault::FieldLeftOut);
    assert_eq!(unsent(&pool, || SerdeDyn(Some(None::<u8>))), SerdeFault::NestedOption);
    assert_eq!(unsent(&pool, || Serde(odd_path())), SerdeFault::Refused);
    assert_eq!(unsent(&pool, || Serde(list(10_000))), SerdeFault::TooDeep);
    assert_eq!(unsent(&pool, || SerdeDyn(list(10_000))), SerdeFault::TooDeep);
    assert_eq!(unsent(&pool, || Serde(vec![(); 3 << 19])), SerdeFault::TooManyElements);

    // These are written without being asked.
    let error = pool.map([Serde(untagged())], drop);
    assert_eq!(cause(error), Some(SerdeFault::NotSelfDescribing));
    let error = pool.map([SerdeDyn(Buffered::Big(1))], drop);
    assert_eq!(cause(error), Some(SerdeFault::WideNumber));
    let error = pool.map([Serde(Day(-1))], drop);
    assert_eq!(cause(error), Some(SerdeFault::Refused));
    assert_eq!(pool.map([Serde(Day(1))], |day| day.0.0 + 1)?, [2]);
    Ok(())
}

fn results_refused(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let outcomes = pool.tasks(0..4u8).chunk_size(4).map_results(|n| match n {
        1 => Serde(vec![PathBuf::from("a"), odd_path()]),
        _ => Serde(vec![PathBuf::from("a")]),
    })?;
    assert_eq!(outcomes[1].as_ref().map_err(fault), Err(Some(SerdeFault::Refused)));
    assert!([0, 2, 3].iter().all(|&n| outcomes[n].is_ok()));
    let error = pool.map([1], |_: u8| Serde(untagged()));
    assert_eq!(cause(error), Some(SerdeFault::NotSelfDescribing));
    let error = pool.map([1], |_: u8| Serde(list(10_000)));
    assert_eq!(cause(error), Some(SerdeFault::TooDeep));
    Ok(())
}

fn exits_refused(method: StartMethod) -> Outcome {
    let pool =
        builder(method, 1).worker_init(|_| 1u8).worker_exit(|_| Serde(odd_path())).build()?;
    pool.map([1], |n: u8| n)?;
    let error = pool.stop_and_join().expect_err("its result does not cross");
    let Error::WorkerExitFailed { cause: Cause::Serde(fault), .. } = error else {
        panic!("{error}")
    };
    assert_eq!(fault, SerdeFault::Refused);
    Ok(())
}
