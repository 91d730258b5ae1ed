//! A server behind streams of the program's own.
//!
use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

#[path = "support/deadline.rs"]
mod deadline;

use deadline::within_a_minute;
use pool_manager::{
    Address, AuthKey, Client, DictProxy, Error, Forwarder, Manager, Process, StartMethod, forward,
};

/// What a TLS session is here: bytes are others on the way.
struct Veiled(TcpStream);

impl Read for Veiled {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        buffer[..read].iter_mut().for_each(|byte| *byte ^= 0x5a);
        Ok(read)
    }
}

impl Write for Veiled {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let veiled: Vec<u8> = buffer.iter().map(|byte| byte ^ 0x5a).collect();
        self.0.write(&veiled)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Forwards to the server what comes to a port; each end is told.
fn gate(server: Address) -> (u16, mpsc::Receiver<Result<(), Error>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let (ends, ended) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (server, ends) = (server.clone(), ends.clone());
            thread::spawn(move || ends.send(forward(Veiled(stream), &server)));
        }
    });
    (port, ended)
}

fn key(text: &str) -> AuthKey {
    AuthKey::new(text).expect("it is long enough")
}

/// What a program does that reaches the server through the port only.
fn client_side(port: u16) -> Result<u64, String> {
    let streams = Arc::new(AtomicU64::new(0));
    let counted = streams.clone();
    let open = move || {
        counted.fetch_add(1, SeqCst);
        TcpStream::connect(("127.0.0.1", port)).map(Veiled)
    };
    let text = |error: Error| error.to_string();
    let forwarder = Forwarder::start(open).map_err(text)?;
    let builder = Client::builder().key(key("a long secret of both"));
    let client = builder.connect_manager(forwarder.address()).map_err(text)?;
    let dict = client.dict::<String, Vec<u8>>().map_err(text)?;
    let large = vec![7; 300_000]; // more than a step
    dict.insert("large".into(), large.clone()).map_err(text)?;
    let worker = Process::builder().start_method(StartMethod::Spawn).spawn(
        |dict: DictProxy<String, Vec<u8>>| dict.insert("small".into(), vec![1]).is_ok(),
        dict.clone(),
    );
    assert!(worker.and_then(Process::join).map_err(|error| error.to_string())?);
    assert_eq!(dict.get(&"small".into()).map_err(text)?, Some(vec![1]));
    assert_eq!(dict.get(&"large".into()).map_err(text)?, Some(large));

    // The key is checked by the two ends.
    let wrong = Client::builder().key(key("another long secret"));
    let refused = wrong.connect_manager(forwarder.address());
    assert!(matches!(refused, Err(Error::Refused)), "{refused:?}");
    let none = Client::builder().connect_manager(forwarder.address());
    assert!(matches!(none, Err(Error::KeyRequired)), "{none:?}");

    // Without the forwarder there is no way.
    let address = forwarder.address().clone();
    drop(forwarder);
    let after = dict.len();
    assert!(matches!(after, Err(Error::Disconnected | Error::Io(_))), "{after:?}");
    let gone = builder.connect_manager(&address);
    assert!(matches!(gone, Err(Error::Connect { .. })), "{gone:?}");
    Ok(streams.load(SeqCst))
}

#[test]
fn proxies_work_in_all_processes_over_streams_of_the_programs_own() {
    within_a_minute(|| {
        let manager = Manager::builder().key(key("a long secret of both")).start().unwrap();
        let (port, _ended) = gate(manager.address().clone());
        let program = Process::builder().start_method(StartMethod::Spawn);
        let streams = program.spawn(client_side, port).unwrap().join().unwrap();
        // One of the program, one of its worker, two that were refused.
        assert_eq!(streams, Ok(4));
        manager.shutdown().unwrap();
    });
}

#[test]
fn a_way_that_leads_nowhere_is_an_error() {
    within_a_minute(|| {
        let forwarder =
            Forwarder::start(|| Err::<Veiled, _>(io::ErrorKind::ConnectionRefused.into())).unwrap();
        let builder = Client::builder().handshake_timeout(Duration::from_secs(30));
        let client = builder.connect_manager(forwarder.address());
        assert!(matches!(client, Err(Error::Disconnected | Error::Io(_))), "{client:?}");

        let nowhere = Address::unique().unwrap();
        let (port, ended) = gate(nowhere);
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0);
        let end = ended.recv().unwrap();
        assert!(matches!(end, Err(Error::Connect { .. })), "{end:?}");
    });
}

#[test]
fn a_peer_that_says_nothing_is_let_go() {
    within_a_minute(|| {
        let manager = Manager::in_thread().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut silent = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let end = forward(stream, manager.address());
        assert!(matches!(end, Err(Error::HandshakeTimedOut(_))), "{end:?}");
        let mut hello = Vec::new();
        silent.read_to_end(&mut hello).unwrap();
        assert_eq!(hello.len(), 40);
    });
}

/// A stream of whose reads every other one times out, after the handshake.
struct Hesitant {
    stream: Veiled,
    read: usize,
    is_due: bool,
}

impl Read for Hesitant {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.is_due = !self.is_due && self.read >= 72;
        if self.is_due {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let read = self.stream.read(buffer)?;
        self.read += read;
        Ok(read)
    }
}

impl Write for Hesitant {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[test]
fn a_read_that_times_out_is_tried_again() {
    within_a_minute(|| {
        let manager = Manager::builder().key(key("a long secret of both")).start().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = manager.address().clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let stream = Hesitant { stream: Veiled(stream), read: 0, is_due: false };
                let server = server.clone();
                thread::spawn(move || forward(stream, &server));
            }
        });
        let program = Process::builder().start_method(StartMethod::Spawn);
        let ended = program.spawn(client_side, port).unwrap().join().unwrap();
        assert_eq!(ended, Ok(4));
        manager.shutdown().unwrap();
    });
}

#[test]
fn bytes_that_are_no_managers_end_the_connection() {
    within_a_minute(|| {
        let manager = Manager::in_thread().unwrap();
        let (port, ended) = gate(manager.address().clone());
        for len in [0, 71, 72, 104, 100_000] {
            let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let mut stream = Veiled(stream);
            stream.read_exact(&mut [0; 40]).unwrap();
            // The other side may have ended it meanwhile.
            let _ = stream.write_all(&vec![0x33; len]);
            let _ = stream.0.shutdown(Shutdown::Write);
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            assert!(rest.len() <= 40, "{len}: {}", rest.len());
            let _ = ended.recv().unwrap();
        }
        assert_eq!(manager.object_count().unwrap(), 0);
        manager.ping().unwrap();
    });
}
