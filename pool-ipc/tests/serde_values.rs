//! Values of serde's data model become bytes and values again; what does not says why; and damaged
//! bytes take neither memory nor the stack.

#![cfg(feature = "serde")]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    ffi::OsString,
    fmt::Debug,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    os::unix::ffi::OsStringExt,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use pool_ipc::{Serde, SerdeDyn, SerdeFault, Wire, WireFault, from_bytes, to_bytes, view_bytes};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Shape {
    Unit,
    Newtype(i128),
    Tuple(u8, String),
    Struct { char: char, nested: Option<Box<Shape>> },
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Unit;

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Everything<'a> {
    numbers: (i8, u16, i32, u64, i128, u128, f32, f64, bool, char),
    text: Cow<'a, str>,
    keys: BTreeMap<Shape, Vec<Shape>>,
    points: HashMap<(i32, i32), Unit>,
    set: HashSet<char>,
    queue: VecDeque<[u8; 3]>,
    unit: ((), Unit),
    path: PathBuf,
    time: SystemTime,
}

fn everything() -> Everything<'static> {
    let shapes = vec![
        Shape::Unit,
        Shape::Newtype(i128::MIN),
        Shape::Tuple(7, "naïve".into()),
        Shape::Struct { char: '🦀', nested: Some(Box::new(Shape::Newtype(-1))) },
        Shape::Struct { char: '\0', nested: None },
    ];
    Everything {
        numbers: (-8, 16, -32, u64::MAX, i128::MAX, u128::MAX, -0.0, f64::MAX, true, 'x'),
        text: "borrowed".into(),
        keys: shapes.iter().cloned().map(|shape| (shape, shapes.clone())).collect(),
        points: HashMap::from([((-1, 2), Unit), ((3, 4), Unit)]),
        set: HashSet::from(['a', 'é']),
        queue: VecDeque::from([[1, 2, 3]]),
        unit: ((), Unit),
        path: "a/b.txt".into(),
        time: SystemTime::UNIX_EPOCH + Duration::new(5, 7),
    }
}

fn compact<T: Serialize + DeserializeOwned + Send + PartialEq + Debug + 'static>(value: T) {
    let value = Serde(value);
    value.check().unwrap();
    let bytes = to_bytes(&value).unwrap();
    assert_eq!(from_bytes::<Serde<T>>(&bytes).unwrap(), value);
    let archived = view_bytes::<Serde<T>>(&bytes).unwrap();
    assert_eq!(archived.decode().unwrap(), *value);
}

fn described<T: Serialize + DeserializeOwned + Send + PartialEq + Debug + 'static>(value: T) {
    let value = SerdeDyn(value);
    value.check().unwrap();
    let bytes = to_bytes(&value).unwrap();
    assert_eq!(from_bytes::<SerdeDyn<T>>(&bytes).unwrap(), value);
    let archived = view_bytes::<SerdeDyn<T>>(&bytes).unwrap();
    assert_eq!(archived.decode().unwrap(), *value);
}

#[test]
fn the_whole_data_model_comes_back() {
    compact(everything());
    described(everything());
    compact(());
    described(());
    compact(vec![(); 1000]);
    described(vec![(); 1000]);
    compact(Vec::<Everything<'static>>::new());
    compact(Some(Some(3)));
    described(Some(Some(3)));
    compact([Some(None), None, Some(Some(()))]);
    compact(BTreeSet::from([Some(1), None]));
    compact(Ok::<u8, String>(3));
    described(Err::<u8, String>("no".into()));
    compact(OsString::from_vec(vec![b'a', 0xff]));
    described(OsString::from_vec(vec![b'a', 0xff]));
    compact("x".repeat(100_000));
    described("x".repeat(100_000));
    compact((0..100_000).collect::<Vec<u32>>());
    described((0..100_000).collect::<Vec<u32>>());
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
#[serde(tag = "kind")]
enum Internal {
    One { x: u8 },
    Two(Inner),
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
    rest: BTreeMap<String, u8>,
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Sparse {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first: Option<u8>,
    second: Option<u8>,
    #[serde(skip)]
    never: u8,
}

fn flat() -> Flat {
    let rest = BTreeMap::from([("z".into(), 3)]);
    Flat { name: "a".into(), inner: Inner { y: 2 }, rest }
}

fn untagged() -> Untagged {
    let pair = Untagged::Pair { a: 1, b: 2 };
    Untagged::List(vec![Untagged::Number(1.5), Untagged::Text("t".into()), pair])
}

#[test]
fn what_asks_its_bytes_comes_back_from_described_ones() {
    described(untagged());
    described(vec![Internal::One { x: 1 }, Internal::Two(Inner { y: 2 })]);
    described(vec![Adjacent::One(1), Adjacent::Two { x: "x".into() }]);
    described(flat());
    described(Sparse { first: None, second: Some(1), never: 0 });
    described(json!({ "list": [1, -2, 3.5, null, true, {}], "": "x" }));
}

fn refused<T: Wire>(value: &T) -> WireFault {
    match to_bytes(value) {
        Err(fault) => fault,
        Ok(bytes) => from_bytes::<T>(&bytes).err().expect("it does not cross"),
    }
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(untagged)]
enum Host {
    Address(IpAddr),
    Peer { socket: SocketAddr },
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(tag = "kind")]
enum Event {
    Joined { address: IpAddr, socket: SocketAddr },
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Server {
    #[serde(flatten)]
    hosts: BTreeMap<String, IpAddr>,
}

#[test]
fn addresses_cross_also_in_what_serde_buffers() {
    let address = IpAddr::from([127, 0, 0, 1]);
    let socket = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 80);
    described(address);
    described((socket, Some(address), vec![Ipv6Addr::LOCALHOST; 3]));
    described(BTreeMap::from([(address, socket)]));
    described(vec![Host::Address(address), Host::Peer { socket }]);
    described(Event::Joined { address, socket });
    described(Server { hosts: BTreeMap::from([("a".into(), address)]) });
    compact((address, socket));
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(untagged)]
enum Amount {
    Text(String),
    Small(i64),
    Big(i128),
    Huge(u128),
    List(Vec<u8>),
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(tag = "kind")]
enum Paid {
    Coins { number: u128 },
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(tag = "kind", content = "content")]
enum Owed {
    Coins(u128),
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Account {
    #[serde(flatten)]
    amounts: BTreeMap<String, i128>,
}

/// What is written knows `gone`, what reads does not.
#[derive(Serialize, Deserialize)]
struct Newer {
    gone: u128,
    y: u8,
}

#[test]
fn integers_of_128_bits_arrive_unchanged_or_are_refused_by_name() {
    // Big-endian, the last one is a text.
    let text = i128::from_be_bytes(*b"0123456789abcdef");
    for number in [0, 1, -1, i64::MAX.into(), u64::MAX.into(), i128::MIN, i128::MAX, text] {
        described(number);
        described((vec![Some(number)], [number], BTreeMap::from([(number, ())])));
        described(Shape::Newtype(number));
        let fault = refused(&SerdeDyn(Amount::Big(number)));
        assert_eq!(fault, WireFault::Serde(SerdeFault::WideNumber));
        let fault = refused(&SerdeDyn(vec![Amount::Huge(number.cast_unsigned())]));
        assert_eq!(fault, WireFault::Serde(SerdeFault::WideNumber));
        let fault = refused(&SerdeDyn(Paid::Coins { number: number.cast_unsigned() }));
        assert_eq!(fault, WireFault::Serde(SerdeFault::WideNumber));
        let fault = refused(&SerdeDyn(Account { amounts: [("a".into(), number)].into() }));
        assert_eq!(fault, WireFault::Serde(SerdeFault::WideNumber));
    }
    for number in [0, 1, u64::MAX.into(), u128::MAX, 1 << 127] {
        described((number, Some(number)));
        described(Owed::Coins(number));
    }
    described(vec![Amount::Text("0".into()), Amount::Small(-3), Amount::List(vec![1; 16])]);

    let bytes = |archive: &[u8]| view_bytes::<SerdeDyn<u128>>(archive).unwrap().bytes().to_vec();
    let narrower = forged(&bytes(&to_bytes(&SerdeDyn(7u64)).unwrap()));
    assert_eq!(from_bytes::<SerdeDyn<u128>>(&narrower).unwrap(), SerdeDyn(7));
    let negative = forged(&bytes(&to_bytes(&SerdeDyn(-7i128)).unwrap()));
    let fault = from_bytes::<SerdeDyn<u128>>(&negative).unwrap_err();
    assert_eq!(fault, WireFault::Serde(SerdeFault::Invalid));
    assert!(from_bytes::<SerdeDyn<String>>(&negative).is_err());
    // A field that is not asked for is passed over.
    let newer = to_bytes(&SerdeDyn(Newer { gone: u128::MAX, y: 3 })).unwrap();
    assert_eq!(from_bytes::<SerdeDyn<Inner>>(&newer).unwrap(), SerdeDyn(Inner { y: 3 }));
}

#[test]
fn what_does_not_cross_says_why() {
    let is = |fault, expected| assert_eq!(fault, WireFault::Serde(expected));
    is(refused(&Serde(untagged())), SerdeFault::NotSelfDescribing);
    is(refused(&Serde(json!(1))), SerdeFault::NotSelfDescribing);
    is(refused(&Serde(Internal::One { x: 1 })), SerdeFault::NotSelfDescribing);
    is(refused(&Serde(Adjacent::One(1))), SerdeFault::NotSelfDescribing);
    is(refused(&Serde(flat())), SerdeFault::UnknownLength);
    is(
        refused(&Serde(Sparse { first: None, second: Some(1), never: 0 })),
        SerdeFault::FieldLeftOut,
    );
    is(refused(&SerdeDyn(Some(None::<u8>))), SerdeFault::NestedOption);
    is(refused(&SerdeDyn(vec![Some(())])), SerdeFault::NestedOption);
    is(refused(&SerdeDyn(Some(Serde(None::<u8>)))), SerdeFault::NestedOption);

    let not_text = PathBuf::from(OsString::from_vec(vec![0xff]));
    is(refused(&Serde(not_text.clone())), SerdeFault::Refused);
    let error = Serde(not_text.clone()).check().unwrap_err();
    assert!(error.message().unwrap().contains("UTF-8"), "{error}");
    let error = SerdeDyn(not_text).check().unwrap_err();
    assert!(error.to_string().contains("UTF-8"), "{error}");
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(try_from = "u8")]
struct Even(u8);

impl TryFrom<u8> for Even {
    type Error = String;

    fn try_from(value: u8) -> Result<Self, String> {
        if value.is_multiple_of(2) { Ok(Self(value)) } else { Err(format!("{value} is odd")) }
    }
}

#[test]
fn what_a_type_says_is_told() {
    compact(Even(2));
    for error in [Serde(vec![Even(3)]).check(), SerdeDyn(vec![Even(3)]).check()] {
        let error = error.unwrap_err();
        assert_eq!((error.fault(), error.message()), (SerdeFault::Refused, Some("3 is odd")));
    }
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
enum List {
    End,
    More(Box<List>),
    Both(u8, Vec<List>),
    Named { next: Option<Box<List>> },
}

/// A list of `len` parts, each a level deep.
fn list(len: usize) -> List {
    (0..len).fold(List::End, |next, _| List::More(Box::new(next)))
}

/// A struct that takes much of the stack where it is made.
#[derive(Serialize, Deserialize, Debug, PartialEq, Clone, Default)]
struct Large {
    a: [[u64; 16]; 8],
    b: [[u64; 16]; 8],
    c: [[u64; 16]; 8],
    next: Option<Box<Large>>,
}

/// Runs on a thread with the stack that threads have by themselves.
fn on_a_thread(run: fn()) {
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
}

#[test]
fn depth_is_bounded_in_both_directions() {
    on_a_thread(|| {
        let most = SerdeFault::MAX_DEPTH;
        compact(list(most));
        described(list(most / 2));
        // Two levels each: the enum and the list, the enum and the option.
        let wide = |len| (0..len).fold(List::End, |next, _| List::Both(1, vec![next]));
        compact(wide(most / 2));
        described(wide(most / 4));
        let named =
            |len| (0..len).fold(List::End, |next, _| List::Named { next: Some(Box::new(next)) });
        compact(named(most / 2));
        described(named(most / 4));
        for len in [most + 1, most + 10_000] {
            assert_eq!(refused(&Serde(list(len))), WireFault::Serde(SerdeFault::TooDeep));
            assert_eq!(refused(&SerdeDyn(list(len))), WireFault::Serde(SerdeFault::TooDeep));
        }
    });
}

/// That all levels fit depends on the build; that none goes beyond the stack does not.
#[test]
fn levels_that_take_much_of_the_stack_do_not_reach_its_end() {
    on_a_thread(|| {
        let nested = |levels| {
            (0..levels).fold(Large::default(), |next, _| Large {
                next: Some(Box::new(next)),
                ..Large::default()
            })
        };
        compact(nested(4));
        described(nested(4));
        for levels in [20, 60, 90, 126] {
            for result in [
                Serde(nested(levels)).check(),
                SerdeDyn(nested(levels)).check(),
                SerdeDyn(list(2 * levels)).check(),
            ] {
                if let Err(error) = result {
                    assert_eq!(error.fault(), SerdeFault::TooDeep);
                }
            }
        }
    });
}

/// The archive of a `Serde` or `SerdeDyn` with these bytes in it.
fn forged(bytes: &[u8]) -> pool_ipc::AlignedBytes {
    to_bytes(&bytes.to_vec()).unwrap()
}

#[test]
fn deep_bytes_do_not_reach_the_end_of_the_stack() {
    on_a_thread(|| {
        // `More` a hundred thousand times over.
        let archive = forged(&[1; 100_000]);
        let fault = from_bytes::<Serde<List>>(&archive).unwrap_err();
        assert_eq!(fault, WireFault::Serde(SerdeFault::TooDeep));
        // Lists of one list each; and maps of one entry.
        for nested in [&[0x91][..], &[0x81, 0xa1, b'k'], &[0x81, 0xa4, b'M', b'o', b'r', b'e']] {
            let archive = forged(&nested.repeat(100_000));
            let fault = from_bytes::<SerdeDyn<serde_json::Value>>(&archive).unwrap_err();
            assert_eq!(fault, WireFault::Serde(SerdeFault::TooDeep));
            assert!(from_bytes::<SerdeDyn<List>>(&archive).is_err());
            assert!(from_bytes::<SerdeDyn<Untagged>>(&archive).is_err());
        }
    });
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Default)]
struct Hollow {
    #[serde(skip)]
    room: [u64; 32],
}

/// Has its room behind a pointer.
#[derive(Serialize, Deserialize, Debug, PartialEq, Default)]
struct Boxed {
    hollow: Box<Hollow>,
}

#[test]
fn elements_without_bytes_are_bounded() {
    let free = SerdeFault::FREE_ELEMENTS;
    compact(vec![Unit; free]);
    let fault = refused(&Serde(vec![(); free + 100]));
    assert_eq!(fault, WireFault::Serde(SerdeFault::TooManyElements));
    described(vec![Unit; free + 100]);
    // A length of 2^60, and nothing behind it.
    let archive = forged(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]);
    let fault = from_bytes::<Serde<Vec<Hollow>>>(&archive).unwrap_err();
    assert_eq!(fault, WireFault::Serde(SerdeFault::TooManyElements));
    let fault = from_bytes::<Serde<Vec<()>>>(&archive).unwrap_err();
    assert_eq!(fault, WireFault::Serde(SerdeFault::TooManyElements));
    let fault = from_bytes::<Serde<Vec<u64>>>(&archive).unwrap_err();
    assert_eq!(fault, WireFault::Serde(SerdeFault::Invalid));
    let fault = from_bytes::<Serde<String>>(&archive).unwrap_err();
    assert_eq!(fault, WireFault::Serde(SerdeFault::Invalid));
    // As many as the count alone lets through: with 256 bytes each, more than 64 MiB.
    let units = |len| {
        let archive = to_bytes(&Serde(vec![(); len])).unwrap();
        forged(view_bytes::<Serde<Vec<()>>>(&archive).unwrap().bytes())
    };
    let mut few = units(free);
    let fault = from_bytes::<Serde<Vec<Hollow>>>(&few).unwrap_err();
    assert_eq!(fault, WireFault::Serde(SerdeFault::TooManyElements));
    let fault = from_bytes::<Serde<Vec<Boxed>>>(&few).unwrap_err();
    assert_eq!(fault, WireFault::Serde(SerdeFault::TooManyElements));
    let fault = from_bytes::<Serde<VecDeque<(Hollow, ())>>>(&few).unwrap_err();
    assert_eq!(fault, WireFault::Serde(SerdeFault::TooManyElements));
    few = units(SerdeFault::FREE_MEMORY / size_of::<Hollow>());
    let most = from_bytes::<Serde<Vec<Hollow>>>(&few).unwrap();
    assert_eq!(most.len() * size_of::<Hollow>(), SerdeFault::FREE_MEMORY);
    // MessagePack's longest array, map, text and bytes.
    for marker in [0xdd, 0xdf, 0xdb, 0xc6] {
        let archive = forged(&[marker, 0xff, 0xff, 0xff, 0xff]);
        assert!(from_bytes::<SerdeDyn<Vec<Hollow>>>(&archive).is_err());
        assert!(from_bytes::<SerdeDyn<serde_json::Value>>(&archive).is_err());
        assert!(from_bytes::<SerdeDyn<Untagged>>(&archive).is_err());
        assert!(from_bytes::<SerdeDyn<String>>(&archive).is_err());
    }
}

#[test]
fn damaged_bytes_are_refused_or_another_value() {
    let compact =
        view_bytes::<Serde<Everything<'static>>>(&to_bytes(&Serde(everything())).unwrap())
            .unwrap()
            .bytes()
            .to_vec();
    let described =
        view_bytes::<SerdeDyn<Everything<'static>>>(&to_bytes(&SerdeDyn(everything())).unwrap())
            .unwrap()
            .bytes()
            .to_vec();
    for bytes in [&compact, &described] {
        let longer = forged(&[&bytes[..], &[0]].concat());
        assert!(from_bytes::<Serde<Everything<'static>>>(&longer).is_err());
        assert!(from_bytes::<SerdeDyn<Everything<'static>>>(&longer).is_err());
    }
    let mut random = 1u64;
    for at in 0..compact.len().max(described.len()) {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let change = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let at = at % bytes.len();
            bytes[at] = (random >> 33) as u8;
            (forged(&bytes), forged(&bytes[..at]))
        };
        let (changed, cut) = change(&compact);
        let _ = from_bytes::<Serde<Everything<'static>>>(&changed);
        assert!(from_bytes::<Serde<Everything<'static>>>(&cut).is_err());
        let (changed, cut) = change(&described);
        let _ = from_bytes::<SerdeDyn<Everything<'static>>>(&changed);
        assert!(from_bytes::<SerdeDyn<Everything<'static>>>(&cut).is_err());
    }
    let archive = to_bytes(&Serde(everything())).unwrap();
    assert!(view_bytes::<Serde<Everything<'static>>>(&archive[..archive.len() - 1]).is_err());
}
