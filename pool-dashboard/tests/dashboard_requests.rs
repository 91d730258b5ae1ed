//! What a dashboard does with requests that are not meant: wrong tokens and hosts, headers without
//! an end, connections that say nothing, pages that read nothing, by the thousand.
//!
//! A process has one dashboard, so the tests run one after another.

#![allow(clippy::unwrap_used)]

#[path = "support/deadline.rs"]
mod deadline;

use std::{
    fs,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use deadline::within_limit;
use pool_dashboard::{Dashboard, DashboardError};

/// Bytes by which a server under fire may grow: its places, each with its buffers, and what the
/// allocator keeps of them.
const GROWTH: u64 = 24 << 20;

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start() -> Dashboard {
    Dashboard::builder().ports(0..=0).announce(false).start().unwrap()
}

/// `127.0.0.1:PORT`, and the path.
fn parts(dashboard: &Dashboard) -> (String, String) {
    let rest = dashboard.address().strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    (host.to_owned(), format!("/{path}"))
}

fn connect(host: &str) -> TcpStream {
    let stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// The whole response, and its status.
fn ask(host: &str, head: &str) -> (u16, String) {
    let mut stream = connect(host);
    let _ = stream.write_all(head.as_bytes());
    let mut response = String::new();
    let _ = stream.read_to_string(&mut response);
    let status = response.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, response)
}

fn get(host: &str, path: &str) -> (u16, String) {
    ask(host, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
}

/// The most memory that this process has had, in bytes.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The dashboard still answers, and has not grown.
fn is_well(dashboard: &Dashboard, before: u64) {
    let (host, path) = parts(dashboard);
    assert_eq!(get(&host, &path).0, 200);
    let after = peak_memory();
    assert!(after < before + GROWTH, "it has grown by {} bytes", after - before);
}

#[test]
fn the_page_asks_no_other_host_for_anything() {
    within_limit(|| {
        let _alone = alone();
        let dashboard = start();
        let (host, path) = parts(&dashboard);
        let (status, page) = get(&host, &path);
        assert_eq!(status, 200);
        assert!(page.contains("Content-Security-Policy: default-src 'none'; script-src 'nonce-"));
        for header in
            ["Cache-Control: no-store", "Referrer-Policy: no-referrer", "X-Frame-Options: DENY"]
        {
            assert!(page.contains(&format!("\r\n{header}\r\n")), "{header}");
        }
        let others =
            page.split("http").filter(|rest| rest.starts_with("://") || rest.starts_with("s://"));
        // The name of a namespace is no request.
        let others: Vec<_> =
            others.filter(|rest| !rest.starts_with("://www.w3.org/2000/svg")).collect();
        assert!(others.is_empty(), "{others:?}");
        assert!(
            !page.contains("{nonce}") && !page.contains("{style}") && !page.contains("{script}")
        );
        let (status, state) = get(&host, &format!("{path}state"));
        assert_eq!(status, 200);
        assert!(
            state.contains("Content-Type: application/json\r\n")
                && state.contains("\"programs\":[")
        );
    });
}

#[test]
fn ten_thousand_requests_with_wrong_tokens_and_hosts_are_refused() {
    within_limit(|| {
        let _alone = alone();
        let dashboard = start();
        let (host, path) = parts(&dashboard);
        let (before, open) = (peak_memory(), descriptors());
        let token = path.trim_matches('/');
        for number in 0..10_000u32 {
            let wrong = format!("{number:032x}");
            let (path, sent_host) = match number % 4 {
                0 => (format!("/{wrong}/"), host.as_str()),
                1 => ("/".to_owned(), host.as_str()),
                2 => (path.clone(), "evil"),
                _ => (format!("/{}/state", &token[..31]), host.as_str()),
            };
            let (status, text) =
                ask(&host, &format!("GET {path} HTTP/1.1\r\nHost: {sent_host}\r\n\r\n"));
            assert_eq!(status, 403, "{number}: {text}");
            assert!(!text.contains(token));
        }
        is_well(&dashboard, before);
        let other = "Origin: http://evil.example\r\n";
        let post =
            format!("POST {path}cancel?program=0&pool=1&call=1 HTTP/1.1\r\nHost: {host}\r\n");
        assert_eq!(ask(&host, &format!("{post}{other}\r\n")).0, 403);
        assert_eq!(ask(&host, &format!("{post}\r\n")).0, 404, "no such call");
        drop(dashboard);
        assert!(descriptors() <= open, "{} descriptors are left", descriptors());
    });
}

#[test]
fn connections_that_say_nothing_give_way() {
    within_limit(|| {
        let _alone = alone();
        let dashboard = start();
        let (host, _) = parts(&dashboard);
        let before = peak_memory();
        let mut idle = Vec::new();
        for number in 0..400 {
            let mut stream = connect(&host);
            // Half of a request, and not even that.
            if number % 2 == 0 {
                let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost:");
            }
            idle.push(stream);
        }
        is_well(&dashboard, before);
        // Those that gave way were closed; the server has not kept all.
        assert_eq!(idle[0].read(&mut [0; 64]).unwrap_or(0), 0);
    });
}

#[test]
fn a_header_without_an_end_is_refused() {
    within_limit(|| {
        let _alone = alone();
        let dashboard = start();
        let (host, path) = parts(&dashboard);
        let before = peak_memory();
        for head in
            ["", "GET / HTTP/1.1\r\nX: ", &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nX: ")]
        {
            let mut stream = connect(&host);
            let block = [b'a'; 1 << 16];
            let mut sent = stream.write(head.as_bytes()).unwrap() as u64;
            // 1 GiB, if it were read.
            while sent < 1 << 30
                && let Ok(count) = stream.write(&block)
            {
                sent += count as u64;
            }
            assert!(sent < 1 << 30, "it was all read");
        }
        let (status, _) = ask(&host, &format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(20_000)));
        assert_eq!(status, 431);
        let body = format!(
            "POST {path}cancel HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1073741824\r\n\r\n"
        );
        assert_eq!(ask(&host, &body).0, 413);
        is_well(&dashboard, before);
    });
}

#[test]
fn a_page_that_reads_nothing_costs_nothing_and_others_go_on() {
    within_limit(|| {
        let _alone = alone();
        let dashboard = start();
        let (host, path) = parts(&dashboard);
        let before = peak_memory();
        let events = format!("GET {path}events HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let mut slow: Vec<_> = (0..20).map(|_| connect(&host)).collect();
        slow.iter_mut().for_each(|stream| stream.write_all(events.as_bytes()).unwrap());
        // At most so many pages have events.
        let mut refused = String::new();
        let _ = slow.pop().unwrap().read_to_string(&mut refused);
        assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
        is_well(&dashboard, before);
        drop(slow);
        // The places of those that have gone are free again.
        let mut page = loop {
            let mut page = connect(&host);
            page.write_all(events.as_bytes()).unwrap();
            let mut status = [0; 12];
            page.read_exact(&mut status).unwrap();
            if status.ends_with(b"200") {
                break page;
            }
        };
        let mut text = String::new();
        let mut buffer = [0; 4096];
        while text.matches("event: state\ndata: {").count() < 3 {
            let count = page.read(&mut buffer).unwrap();
            assert_ne!(count, 0, "{text}");
            text.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        dashboard.shutdown();
        text.clear();
        page.read_to_string(&mut text).unwrap();
        assert!(text.contains("event: end\ndata: {"), "{text}");
        assert!(TcpStream::connect(&host).is_err(), "something listens still");
    });
}

#[test]
fn a_second_dashboard_and_wrong_options_are_refused_by_name() {
    within_limit(|| {
        let _alone = alone();
        let first = start();
        let (host, _) = parts(&first);
        let second = Dashboard::start();
        assert!(matches!(second, Err(DashboardError::AlreadyRunning { .. })), "{second:?}");
        let connected = Dashboard::connect(first.address());
        assert!(matches!(connected, Err(DashboardError::AlreadyRunning { .. })), "{connected:?}");
        let text = second.unwrap_err().to_string();
        assert_eq!(text, format!("this program has a dashboard already, at http://{host}"));
        drop(first);

        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let refused = Dashboard::builder().ports(port..=port).start();
        let Err(DashboardError::NoPortFree { first, last, .. }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!((first, last), (port, port));

        let builder = Dashboard::builder;
        #[allow(clippy::reversed_empty_ranges)]
        let wrong = [
            builder().ports(9..9),
            builder().ports(9..=8),
            builder().ports(..),
            builder().ports(..9),
            builder().ports(9..),
            builder().ports(0..=9),
            builder().name(""),
            builder().name("a\0b"),
            builder().name("a\n"),
            builder().name("a".repeat(101)),
        ];
        for builder in wrong {
            let refused = builder.clone().start();
            assert!(
                matches!(refused, Err(DashboardError::InvalidInput(_))),
                "{builder:?}: {refused:?}"
            );
        }
        for address in ["", "\0", "http://127.0.0.1:1/", "127.0.0.1:1"] {
            let refused = Dashboard::connect(address);
            assert!(
                matches!(refused, Err(DashboardError::InvalidInput(_))),
                "{address}: {refused:?}"
            );
        }
        let token = "0".repeat(32);
        let absent = Dashboard::connect(&format!("http://127.0.0.1:{port}/{token}/"));
        drop(taken);
        // The system has taken the connection, as for a dashboard whose program is stopped.
        let Err(DashboardError::Connect { address, source }) = absent else { panic!("{absent:?}") };
        assert_eq!(address, format!("http://127.0.0.1:{port}"));
        assert_eq!(source.kind(), ErrorKind::TimedOut);
        assert_eq!(source.to_string(), "it has not answered within 5 s");
        let absent = Dashboard::connect(&format!("http://127.0.0.1:{port}/{token}/"));
        assert!(matches!(absent, Err(DashboardError::Connect { .. })), "{absent:?}");
        // All of that has left nothing behind.
        start().shutdown();
    });
}

#[test]
fn the_command_serves_programs_until_it_is_ended() {
    within_limit(|| {
        let _alone = alone();
        let command = || Command::new(env!("CARGO_BIN_EXE_pool-dashboard"));
        for (args, code) in [
            (&["--help"][..], 0),
            (&["--ports"], 2),
            (&["--ports", "x"], 2),
            (&["--ports", "70000"], 2),
            (&["--fast"], 2),
            (&["--ports", "9-8"], 1),
            (&["--ports=0-9"], 1),
        ] {
            let output = command().args(args).output().unwrap();
            assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
        }
        let mut child = command().args(["--ports", "0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.strip_prefix("Dashboard: ").unwrap().trim().to_owned();
        let connection = Dashboard::builder().name("a \"program\"").connect(&address).unwrap();
        assert_eq!(connection.address(), address);
        let second = Dashboard::connect(&address);
        assert!(matches!(second, Err(DashboardError::AlreadyConnected { .. })), "{second:?}");
        let (host, path) = address.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let state_with = |expected: &str| {
            while !get(host, &format!("/{path}state")).1.contains(expected) {
                thread::sleep(Duration::from_millis(5));
            }
        };
        state_with("\"lost\":null,\"name\":\"a \\\"program\\\"\"");
        connection.shutdown();
        state_with("\"cancel\":false");
        // A connection outlives its dashboard without harm.
        let connection = Dashboard::connect(&address).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(TcpStream::connect(host).is_err());
        connection.shutdown();
        let absent = Dashboard::connect(&address);
        assert!(matches!(absent, Err(DashboardError::Connect { .. })), "{absent:?}");
    });
}

#[test]
fn a_program_that_sends_no_frames_is_disconnected() {
    within_limit(|| {
        let _alone = alone();
        let dashboard = start();
        let (host, path) = parts(&dashboard);
        let before = peak_memory();
        let head = format!(
            "POST {path}connect HTTP/1.1\r\nHost: {host}\r\nUpgrade: pool-dashboard/1\r\n\r\n"
        );
        // An unknown kind, a body of 4 GiB, a state that is no archive.
        for frame in [
            &[0, 0, 0, 0, 9, 0, 0, 0][..],
            &[255; 8],
            &[8, 0, 0, 0, 1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8],
        ] {
            let mut stream = connect(&host);
            stream.write_all(head.as_bytes()).unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).unwrap();
            assert!(answer.ends_with(b"101"));
            stream.write_all(frame).unwrap();
            let mut rest = String::new();
            let ended = stream.read_to_string(&mut rest);
            let is_late = |error: &std::io::Error| error.kind() == ErrorKind::WouldBlock;
            assert!(!ended.is_err_and(|error| is_late(&error)), "it goes on");
        }
        // Places for programs are given back, and bounded.
        let open: Vec<_> = (0..17)
            .map(|_| {
                let mut stream = connect(&host);
                stream.write_all(head.as_bytes()).unwrap();
                let mut status = [0; 12];
                stream.read_exact(&mut status).unwrap();
                (stream, status.ends_with(b"101"))
            })
            .collect();
        assert_eq!(open.iter().filter(|(_, connected)| *connected).count(), 16);
        is_well(&dashboard, before);
    });
}
