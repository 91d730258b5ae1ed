//! What a server and a listener do with peers that are not meant: wrong keys, replayed handshakes,
//! random bytes, lengths that no memory has.

#[path = "support/deadline.rs"]
mod deadline;

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::{linux::net::SocketAddrExt, unix::net},
    thread,
    time::Duration,
};

use deadline::within_a_minute;
use pool_ipc::wire;
use pool_manager::{Address, AuthKey, Client, Connection, Error, Listener, Manager};

fn tcp() -> Address {
    Address::tcp("127.0.0.1:0")
}

fn host(address: &Address) -> String {
    address.to_string().trim_start_matches("tcp:").to_owned()
}

fn key() -> AuthKey {
    AuthKey::new(b"what both sides know").expect("it works")
}

/// Both sides of a connection, as far as they came.
fn meet(
    listener: &Listener,
    client: impl FnOnce(&Address) -> Result<Connection, Error> + Send,
) -> [Result<Connection, Error>; 2] {
    thread::scope(|scope| {
        let client = scope.spawn(|| client(listener.address()));
        [listener.accept(), client.join().expect("it works")]
    })
}

#[test]
fn a_limit_of_accept_holds_for_each_of_many_threads() {
    within_a_minute(|| {
        let listener = Listener::bind(&Address::unique().unwrap()).unwrap();
        thread::scope(|scope| {
            let accept = || listener.accept_timeout(Duration::from_millis(1500));
            let all: Vec<_> = (0..24).map(|_| scope.spawn(accept)).collect();
            let client = Client::connect(listener.address()).unwrap();
            let all: Vec<_> = all.into_iter().map(|one| one.join().unwrap()).collect();
            let late = |one: &&Result<_, Error>| matches!(one, Err(Error::TimedOut));
            assert_eq!(all.iter().filter(late).count(), 23);
            drop(client);
        });
    });
}

#[test]
fn only_the_right_key_connects() {
    within_a_minute(|| {
        let addresses = [tcp(), Address::unique().unwrap()];
        for address in addresses {
            let listener = Listener::builder().key(key()).bind(&address).unwrap();
            let with = |key| move |address: &Address| Client::builder().key(key).connect(address);
            let [ours, theirs] = meet(&listener, with(AuthKey::random().unwrap()));
            assert!(matches!(ours, Err(Error::Refused)), "{ours:?}");
            assert!(matches!(theirs, Err(Error::Refused)), "{theirs:?}");
            if address.is_local() {
                let [ours, theirs] = meet(&listener, Client::connect);
                assert!(matches!(ours, Err(Error::Disconnected)), "{ours:?}");
                assert!(matches!(theirs, Err(Error::KeyRequired)), "{theirs:?}");
            } else {
                let none = Client::connect(listener.address());
                assert!(matches!(none, Err(Error::KeyRequired)), "{none:?}");
            }
            let [ours, theirs] = meet(&listener, with(key()));
            let (mut ours, mut theirs) = (ours.unwrap(), theirs.unwrap());
            ours.send(&vec![1u64, 2]).unwrap();
            assert_eq!(theirs.recv::<Vec<u64>>().unwrap(), [1, 2]);
        }
        // A client that has a key does not talk to a listener without one.
        let listener = Listener::bind(&Address::unique().unwrap()).unwrap();
        let [_, theirs] = meet(&listener, |address| Client::builder().key(key()).connect(address));
        assert!(matches!(theirs, Err(Error::KeyNotUsed)), "{theirs:?}");
        let unkeyed = Listener::bind(&tcp());
        assert!(matches!(unkeyed, Err(Error::KeyRequired)), "{unkeyed:?}");
    });
}

/// Answers a listener's handshake with `answer`, and returns what the listener says then.
fn answer(address: &str, answer: impl FnOnce([u8; 40]) -> Vec<u8>) -> Option<[u8; 40]> {
    let mut stream = TcpStream::connect(address).expect("it works");
    let mut hello = [0; 40];
    stream.read_exact(&mut hello).expect("it works");
    stream.write_all(&answer(hello)).expect("it works");
    let mut last = [0; 40];
    stream.read_exact(&mut last).is_ok().then_some(last)
}

#[test]
fn a_replayed_or_reflected_handshake_proves_nothing() {
    within_a_minute(|| {
        let server = Manager::builder().address(tcp()).key(key()).in_thread().unwrap();
        let real = host(server.address());
        // A relay that keeps what a true client has said.
        let relay = TcpListener::bind("127.0.0.1:0").unwrap();
        let relayed = Address::tcp(relay.local_addr().unwrap().to_string());
        let client =
            thread::spawn(move || Client::builder().key(key()).connect(&relayed).map(drop));
        let (mut near, mut far) = (relay.accept().unwrap().0, TcpStream::connect(&real).unwrap());
        let (mut hello, mut proof, mut last) = ([0; 40], [0; 72], [0; 40]);
        far.read_exact(&mut hello).unwrap();
        near.write_all(&hello).unwrap();
        near.read_exact(&mut proof).unwrap();
        far.write_all(&proof).unwrap();
        far.read_exact(&mut last).unwrap();
        near.write_all(&last).unwrap();
        client.join().unwrap().unwrap();
        assert_eq!(last[0], 1);
        // The key is in none of it.
        let all = [&hello[..], &proof, &last].concat();
        assert!(!all.windows(8).any(|part| key().as_bytes().starts_with(part)));

        let refused = |last: Option<[u8; 40]>| last.is_none_or(|last| last == [0; 40]);
        assert!(refused(answer(&real, |_| proof.to_vec())), "a replay");
        // The listener's own proof of that handshake, and its own greeting.
        let reflected = |hello: [u8; 40]| [&hello[..], &last[8..]].concat();
        assert!(refused(answer(&real, reflected)), "a reflection");
        let unkeyed = |mut hello: [u8; 40]| {
            hello[4] = 0;
            [&hello[..], &[0; 32]].concat()
        };
        assert!(refused(answer(&real, unkeyed)), "a client that claims to need no key");
        for bit in [40 * 8, 71 * 8 + 7] {
            let turned = |hello: [u8; 40]| {
                let mut bytes = proof.to_vec();
                bytes[8..40].copy_from_slice(&hello[8..]);
                bytes[bit / 8] ^= 1 << (bit % 8);
                bytes
            };
            assert!(refused(answer(&real, turned)), "a proof with another bit");
        }

        // A false server that replays a true one's words is found out by the client.
        let false_server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::tcp(false_server.local_addr().unwrap().to_string());
        let client =
            thread::spawn(move || Client::builder().key(key()).connect(&address).unwrap_err());
        let mut stream = false_server.accept().unwrap().0;
        stream.write_all(&hello).unwrap();
        stream.read_exact(&mut [0; 72]).unwrap();
        stream.write_all(&last).unwrap();
        assert!(matches!(client.join().unwrap(), Error::Refused));
        served(&server);
    });
}

/// The right client is served as ever.
fn served(server: &Manager) {
    let list = server.list([1u64, 2, 3]).expect("it works");
    assert_eq!(list.pop().expect("it works"), Some(3));
}

#[test]
fn peers_that_say_nothing_keep_none_out() {
    within_a_minute(|| {
        let server = Manager::builder()
            .address(tcp())
            .key(key())
            .max_unauthenticated(4)
            .handshake_timeout(Duration::from_secs(3600))
            .in_thread()
            .unwrap();
        let real = host(server.address());
        let silent: Vec<_> = (0..40).map(|_| TcpStream::connect(&real).unwrap()).collect();
        let client = Client::builder().key(key()).connect_manager(server.address()).unwrap();
        client.ping().unwrap();
        // The first of them has been given up.
        let mut first = silent.first().unwrap();
        let mut rest = Vec::new();
        let _ = first.read_to_end(&mut rest);
        assert!(rest.len() <= 40, "{}", rest.len());
        served(&server);

        // And one that has time for its handshake loses it.
        let hasty = Listener::builder().key(key()).handshake_timeout(Duration::from_millis(20));
        let listener = hasty.bind(&tcp()).unwrap();
        let _silent = TcpStream::connect(host(listener.address())).unwrap();
        let late = listener.accept();
        assert!(matches!(late, Err(Error::HandshakeTimedOut(_))), "{late:?}");
        let none = listener.accept_timeout(Duration::from_millis(1));
        assert!(matches!(none, Err(Error::TimedOut)), "{none:?}");
    });
}

/// A number at random (xorshift).
fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// A connection to a server without a key, after its handshake.
fn joined(address: &Address) -> net::UnixStream {
    let name = address.to_string();
    let name = net::SocketAddr::from_abstract_name(name.trim_start_matches("abstract:"))
        .expect("it works");
    let mut stream = net::UnixStream::connect_addr(&name).expect("it works");
    let mut hello = [0; 72];
    stream.read_exact(&mut hello[..40]).expect("it works");
    stream.write_all(&hello).expect("it works");
    stream.read_exact(&mut hello[..40]).expect("it works");
    stream
}

fn frame(kind: u16, len: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"PMF1".to_vec();
    bytes.extend(kind.to_le_bytes());
    bytes.extend([0; 2]);
    bytes.extend(len.to_le_bytes());
    bytes.extend([0; 16]);
    bytes.extend(body);
    bytes
}

/// The memory of this process, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("it works");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it works");
    line.trim().trim_end_matches(" kB").parse().expect("it works")
}

#[test]
fn random_frames_are_refused_and_cost_nothing() {
    // More of them take longer than a minute.
    let count = std::env::var("POOL_MANAGER_FRAMES").ok().and_then(|text| text.parse().ok());
    let act = |count: u64| {
        let server = Manager::in_thread().unwrap();
        let mut seed = 7;
        served(&server);
        let before = resident();
        for round in 0..count {
            let mut stream = joined(server.address());
            let len = random(&mut seed) % 200;
            let body: Vec<u8> = (0..len).map(|_| random(&mut seed) as u8).collect();
            let kind = (random(&mut seed) % 6) as u16;
            let bytes = match round % 5 {
                0 => body,
                1 => frame(kind, len, &body),
                2 => frame(2, random(&mut seed), &body),
                3 => frame(2, 1 << 63, &body),
                // As much as is allowed, of which little comes.
                _ => frame(2, 64 << 20, &body),
            };
            let _ = stream.write_all(&bytes);
            if round % 100 == 0 {
                served(&server);
            }
        }
        served(&server);
        let grown = resident().saturating_sub(before);
        println!("{count} frames: {grown} KiB more");
        assert!(grown < 64 << 10, "{grown} KiB more");
    };
    match count {
        Some(count) => act(count),
        None => within_a_minute(move || act(2000)),
    }
}

wire! {
    /// What a client says first, and what a call has: as the crate defines it.
    struct Body {
        values: Vec<(Vec<u8>, Vec<u64>)>,
        numbers: Vec<u64>,
        texts: Vec<String>,
    }
}

/// A client's first frame, for a new session.
fn join() -> Vec<u8> {
    let body = Body { values: Vec::new(), numbers: vec![0, 0], texts: Vec::new() };
    let body = pool_ipc::to_bytes(&body).expect("it works");
    frame(2, body.len() as u64, &body)
}

#[test]
fn calls_at_random_are_answered_or_end_their_client() {
    within_a_minute(|| {
        let server = Manager::in_thread().unwrap();
        let mut seed = 11;
        let kept = server.dict::<u64, u64>().unwrap();
        let mut answered = 0;
        for round in 0..300 {
            let mut stream = joined(server.address());
            stream.write_all(&join()).unwrap();
            let mut reply = [0; 32];
            stream.read_exact(&mut reply).unwrap();
            assert_eq!(reply[4], 4, "a reply");
            let mut rest = vec![0; u64::from_le_bytes(reply[8..16].try_into().unwrap()) as usize];
            stream.read_exact(&mut rest).unwrap();
            let numbers = (0..random(&mut seed) % 4).map(|_| random(&mut seed) % 3).collect();
            let text = ["dict", "list", "Queue", "Value", "x"][round % 5].to_owned();
            let bytes: Vec<u8> =
                (0..random(&mut seed) % 40).map(|_| random(&mut seed) as u8).collect();
            let values = (0..random(&mut seed) % 3).map(|n| (bytes.clone(), vec![n; n as usize]));
            let body = Body { values: values.collect(), numbers, texts: vec![text] };
            let body = match round % 4 {
                0 => bytes,
                _ => pool_ipc::to_bytes(&body).unwrap().to_vec(),
            };
            let mut call = frame(3, body.len() as u64, &body);
            call[16] = (random(&mut seed) % 3) as u8;
            call[24] = (random(&mut seed) % 20) as u8;
            call[28] = 1;
            stream.write_all(&call).unwrap();
            answered += u32::from(stream.read_exact(&mut reply).is_ok());
        }
        assert!(answered > 250, "{answered}");
        // Some of them may have been calls of this one.
        kept.insert(1, 2).unwrap();
        assert_eq!(kept.get(&1).unwrap(), Some(2));
        served(&server);
    });
}

#[test]
fn a_client_of_the_session_that_sends_anything_is_dropped_alone() {
    within_a_minute(|| {
        let server = Manager::in_thread().unwrap();
        let join = pool_ipc::to_bytes(&(0u64, 0u64)).unwrap();
        for bytes in [frame(2, 16, &join), frame(3, 1, &[0]), frame(4, 0, &[]), frame(2, 0, &[])] {
            let mut stream = joined(server.address());
            stream.write_all(&bytes).unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            assert!(rest.len() < 1000, "{}", rest.len());
        }
        served(&server);
    });
}

#[test]
fn messages_are_bounded_and_typed() {
    within_a_minute(|| {
        let address = Address::unique().unwrap();
        let listener = Listener::builder().max_message_bytes(1000).bind(&address).unwrap();
        let connect = |address: &Address| Client::builder().connect(address);
        let [ours, theirs] = meet(&listener, connect);
        let (mut ours, mut theirs) = (ours.unwrap(), theirs.unwrap());
        // What is too large is not sent, and the connection goes on.
        let error = ours.send(&vec![0u8; 2000]).unwrap_err();
        assert!(matches!(error, Error::TooLarge { limit: 1000, .. }), "{error:?}");
        ours.send(&String::from("tea")).unwrap();
        let wrong = theirs.recv::<(u64, Vec<bool>, String)>();
        assert!(matches!(wrong, Err(Error::Decode(_))), "{wrong:?}");
        ours.send(&Some(3u8)).unwrap();
        assert_eq!(theirs.recv::<Option<u8>>().unwrap(), Some(3));
        let none = theirs.recv_timeout::<u8>(Duration::from_millis(1));
        assert!(matches!(none, Err(Error::TimedOut)), "{none:?}");
        let (_sender, receiver) = pool_ipc::channel::channel::<u8>(1).unwrap();
        let error = ours.send(&receiver).unwrap_err();
        assert!(matches!(error, Error::Encode(_)), "{error:?}");
        ours.send(&7u8).unwrap();
        assert_eq!(theirs.recv::<u8>().unwrap(), 7);
        // What arrives too large ends it.
        theirs.send(&vec![0u8; 2000]).unwrap();
        let error = ours.recv::<Vec<u8>>().unwrap_err();
        assert!(matches!(error, Error::TooLarge { limit: 1000, .. }), "{error:?}");
        assert!(ours.send(&1u8).is_err());
        assert!(theirs.recv::<u8>().is_err());
    });
}

#[test]
fn a_stream_of_the_users_own_carries_messages() {
    within_a_minute(|| {
        let (near, far) = net::UnixStream::pair().unwrap();
        let client = thread::spawn(move || {
            let mut connection = Client::builder().key(key()).connect_over(far).unwrap();
            connection.send(&vec![String::from("over"); 2000]).unwrap();
        });
        let mut connection = Listener::builder().key(key()).accept_over(near).unwrap();
        let limited = connection.recv_timeout::<u8>(Duration::from_secs(1));
        assert!(matches!(limited, Err(Error::NotSupported(_))), "{limited:?}");
        assert_eq!(connection.recv::<Vec<String>>().unwrap().len(), 2000);
        client.join().unwrap();
        assert!(matches!(connection.recv::<u8>(), Err(Error::Disconnected)));
    });
}

#[test]
fn the_file_of_a_socket_goes_with_its_listener() {
    let folder = std::env::temp_dir().join(format!("pool-manager-test-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let address = Address::unix(folder.join("socket"));
    let listener = Listener::bind(&address).unwrap();
    let taken = Listener::bind(&address);
    assert!(matches!(taken, Err(Error::Bind { .. })), "{taken:?}");
    drop(listener);
    let gone = Client::connect(&address);
    assert!(matches!(gone, Err(Error::Connect { .. })), "{gone:?}");
    std::fs::remove_dir(&folder).unwrap();
}
