//! What a call of an object costs, beside the same bytes over a bare socket.
//!
//! `cargo run --release -p pool-manager --example round_trips`

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use pool_core::Process;
use pool_manager::{Address, Client, Error, Listener, Manager};

const ROUNDS: u32 = 10_000;

fn per_round(mut round: impl FnMut() -> Result<(), Error>) -> Result<Duration, Error> {
    for _ in 0..ROUNDS / 10 {
        round()?;
    }
    let start = Instant::now();
    for _ in 0..ROUNDS {
        round()?;
    }
    Ok(start.elapsed() / ROUNDS)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut near, mut far) = UnixStream::pair()?;
    let echo = std::thread::spawn(move || {
        let mut bytes = [0; 64];
        while far.read_exact(&mut bytes).is_ok() && far.write_all(&bytes).is_ok() {}
    });
    let mut bytes = [0; 64];
    let bare = per_round(|| {
        near.write_all(&bytes).expect("the thread reads");
        near.read_exact(&mut bytes).expect("the thread answers");
        Ok(())
    })?;
    drop(near);
    echo.join().expect("the thread does not panic");

    // Another process at the other end of the socket.
    let address = Address::unique()?;
    let listener = Listener::bind(&address)?;
    let process = Process::builder().spawn(
        |address: String| {
            let address = address.parse().expect("it is an address");
            let mut connection = Client::connect(&address).expect("the listener is there");
            while let Ok(number) = connection.recv::<u64>() {
                connection.send(&number).expect("the other side reads");
            }
        },
        address.to_string(),
    )?;
    let mut connection = listener.accept()?;
    let messages = per_round(|| {
        connection.send(&7u64)?;
        connection.recv::<u64>().map(drop)
    })?;
    drop(connection);
    process.join()?;

    let manager = Manager::start()?;
    let value = manager.value(7u64)?;
    let dict = manager.dict::<String, u64>()?;
    dict.insert("key".into(), 1)?;
    let key = String::from("key");
    let calls = [
        ("a message of a connection and its answer", messages),
        ("Manager::ping", per_round(|| manager.ping())?),
        ("ValueProxy::get", per_round(|| value.get().map(drop))?),
        ("DictProxy::get", per_round(|| dict.get(&key).map(drop))?),
        ("DictProxy::insert", per_round(|| dict.insert("key".into(), 2).map(drop))?),
    ];
    println!("64 bytes there and back over a bare socket: {bare:?}");
    for (name, time) in calls {
        println!("{name}: {time:?}, {:.2} times that", time.as_secs_f64() / bare.as_secs_f64());
    }
    Ok(())
}
