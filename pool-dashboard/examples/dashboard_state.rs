//! What a page shows, as a script can ask for it: JSON at `state` below the address.
//!
//! `cargo run --example dashboard_state`

use std::{
    error::Error,
    io::{Read, Write},
    net::TcpStream,
};

use pool_dashboard::Dashboard;

fn main() -> Result<(), Box<dyn Error>> {
    let dashboard = Dashboard::builder().ports(0..=0).announce(false).name("example").start()?;
    let rest = dashboard.address().trim_start_matches("http://");
    let (host, path) = rest.split_once('/').ok_or("the address has a path")?;
    let mut stream = TcpStream::connect(host)?;
    write!(stream, "GET /{path}state HTTP/1.1\r\nHost: {host}\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let (_, json) = response.split_once("\r\n\r\n").ok_or("the response has a body")?;
    println!("{json}");
    assert!(json.contains("\"name\":\"example\""));
    Ok(())
}
