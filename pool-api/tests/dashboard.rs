//! A dashboard beside pools of each start method: what it shows, what it cancels, programs that
//! connect to it, and that nothing is left of it.
//!
//! Without libtest, since Fork needs a process with one thread.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use pool_api::{
    Error, InsightsOptions, StartMethod, WorkerPool,
    dashboard::{Dashboard, DashboardError},
};

#[path = "support/each_method.rs"]
mod each_method;
#[allow(dead_code)]
#[path = "conformance/footprint.rs"]
mod footprint;
#[allow(dead_code)]
#[path = "support/scratch.rs"]
mod scratch;
#[path = "support/sys.rs"]
mod sys;

use each_method::{Case, Outcome, pool, run_all};

/// What this program is started as: `serve METHOD` or `connect METHOD ADDRESS`.
const ROLE: &str = "POOL_DASHBOARD_TEST_ROLE";

fn main() -> Outcome {
    match env::var(ROLE) {
        Ok(role) => play(&role),
        Err(_) => run_all(&CASES),
    }
}

const CASES: [(&str, Case); 5] = [
    ("calls_and_their_failures_are_shown", shown),
    ("a_call_is_cancelled_from_the_page", cancelled),
    ("no_process_of_a_pool_has_the_socket", sockets),
    ("programs_connect", programs),
    ("nothing_listens_after_a_kill", killed),
];

fn start() -> Result<Dashboard, DashboardError> {
    Dashboard::builder().ports(0..=0).announce(false).start()
}

fn request(dashboard: &str, method: &str, what: &str) -> Outcome<String> {
    let rest = dashboard.strip_prefix("http://").ok_or("an address")?;
    let (host, path) = rest.split_once('/').ok_or("a path")?;
    let mut stream = TcpStream::connect(host)?;
    write!(stream, "{method} /{path}{what} HTTP/1.1\r\nHost: {host}\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    Ok(response)
}

/// Asks for the state until it is as expected.
fn state_with(dashboard: &str, expected: impl Fn(&str) -> bool) -> Outcome<String> {
    for _ in 0..2000 {
        let state = request(dashboard, "GET", "state")?;
        if expected(&state) {
            return Ok(state);
        }
        thread::sleep(Duration::from_millis(5));
    }
    Err(format!("waited in vain: {}", request(dashboard, "GET", "state")?).into())
}

fn double(n: u64) -> u64 {
    assert_ne!(n, 777, "this is the one");
    2 * n
}

fn shown(method: StartMethod) -> Outcome {
    let dashboard = start()?;
    let builder = WorkerPool::builder().start_method(method).n_jobs(2);
    let pool = builder.enable_insights(InsightsOptions::new()).build()?;
    pool.map(0..500u64, double)?;
    let failed = pool.map(700..800u64, double);
    assert!(matches!(failed, Err(Error::Task(_))), "{failed:?}");
    // Before the state: a worker may still be on its way up.
    let pids = pool.worker_pids();
    let state = request(dashboard.address(), "GET", "state")?;
    let has = |text: &str| assert!(state.contains(text), "{text:?} is missing in {state}");
    has("\"function\":\"dashboard::double\"");
    has("tests/dashboard.rs:");
    has("\"form\":\"map\",\"total\":500,\"done\":500,\"failed\":0,");
    has("\"outcome\":\"done\"");
    has("\"outcome\":\"failed\"");
    has("this is the one");
    has(&format!("\"method\":\"{method}\",\"closed\":false,\"jobs\":2,"));
    has("\"stage\":\"waiting\"");
    has("\"insights\":{\"completed\":");
    for pid in pids {
        has(&format!("\"pid\":{pid},\"stage\":"));
    }
    // What a pool did is still there after its end.
    drop(pool);
    let state = request(dashboard.address(), "GET", "state")?;
    assert!(state.contains("\"closed\":true") && state.contains("\"done\":500"), "{state}");
    dashboard.shutdown();
    Ok(())
}

fn slow(n: u64) -> u64 {
    thread::sleep(Duration::from_millis(2));
    n
}

fn cancelled(method: StartMethod) -> Outcome {
    for allowed in [true, false] {
        let builder = Dashboard::builder().ports(0..=0).announce(false);
        let dashboard = builder.allow_cancel(allowed).start()?;
        let pool = pool(method)?;
        let address = dashboard.address().to_owned();
        let canceller = thread::spawn(move || {
            let running = "\"outcome\":\"running\"";
            let state = state_with(&address, |state| state.contains(running));
            let state = state.map_err(|error| error.to_string())?;
            let number = |key: &str| {
                let (_, rest) = state.split_once(key).ok_or(format!("{key} is missing"))?;
                let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                Ok::<_, String>(rest[..digits].to_owned())
            };
            let (pool, call) =
                (number("\"pools\":[{\"number\":")?, number("\"calls\":[{\"number\":")?);
            let what = format!("cancel?program=0&pool={pool}&call={call}");
            request(&address, "POST", &what).map_err(|error| error.to_string())
        });
        let items = if allowed { 1_000_000 } else { 500 };
        let result = pool.map(0..items, slow);
        let answer = canceller.join().map_err(|_| "the thread panicked")??;
        if allowed {
            assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
            assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
            let state = request(dashboard.address(), "GET", "state")?;
            assert!(state.contains("\"outcome\":\"cancelled\""), "{state}");
        } else {
            assert_eq!(result?.len(), 500);
            assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        }
        drop(pool);
        dashboard.shutdown();
    }
    Ok(())
}

/// The sockets that a process has, by their inodes.
fn sockets_of(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    let names = links.map(|link| link.to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("socket:")).collect()
}

fn descendants(pid: u32) -> Vec<u32> {
    let children = footprint::children_of(pid);
    let all = children.iter().flat_map(|child| descendants(*child)).collect::<Vec<_>>();
    [children, all].concat()
}

fn sockets(method: StartMethod) -> Outcome {
    let before = sockets_of(std::process::id());
    let dashboard = start()?;
    // A page is open meanwhile.
    let host = dashboard.address()["http://".len()..].split('/').next().ok_or("a host")?.to_owned();
    let mut page = TcpStream::connect(&host)?;
    let path = &dashboard.address()["http://".len() + host.len()..];
    write!(page, "GET {path}events HTTP/1.1\r\nHost: {host}\r\n\r\n")?;
    page.read_exact(&mut [0; 12])?;
    let mut own = sockets_of(std::process::id());
    own.retain(|socket| !before.contains(socket));
    // The listener, two of the waker, the page's connection; the other end of that is the test's.
    assert!(own.len() >= 5, "{own:?}");
    let test = {
        let name =
            fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&page)))?;
        name.to_string_lossy().into_owned()
    };
    own.retain(|socket| *socket != test);
    let pool = pool(method)?;
    pool.map(0..100u64, double)?;
    let pids = descendants(std::process::id());
    assert!(pids.len() >= 2 || method == StartMethod::Threads, "{pids:?}");
    for pid in pids {
        let shared: Vec<_> = sockets_of(pid).into_iter().filter(|one| own.contains(one)).collect();
        assert!(shared.is_empty(), "process {pid} has {shared:?}");
    }
    // The thread is there again, and the page with it.
    page.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut text = String::new();
    while !text.contains("dashboard::double") {
        let mut buffer = [0; 4096];
        let count = page.read(&mut buffer)?;
        assert_ne!(count, 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    drop(pool);
    dashboard.shutdown();
    Ok(())
}

/// This program, in another role, and the line that it says first.
fn other(role: &str) -> Outcome<(Child, String)> {
    let mut child = Command::new(env::current_exe()?)
        .env(ROLE, role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("piped")?).read_line(&mut line)?;
    Ok((child, line.trim().to_owned()))
}

/// What this program does in another role: it runs a map, says something, and works on until its
/// input ends.
fn play(role: &str) -> Outcome {
    let mut words = role.split(' ');
    let (what, method) = (words.next(), words.next().ok_or("a method")?.parse()?);
    let dashboard = match (what, words.next()) {
        (Some("serve"), None) => start()?,
        (Some("connect"), Some(address)) => {
            Dashboard::builder().name("the other one").connect(address)?
        }
        _ => return Err("no role".into()),
    };
    let pool = pool(method)?;
    pool.map(0..321u64, double)?;
    println!("{}", dashboard.address());
    let later = pool.map_async(0..10_000_000u64, slow);
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop(later);
    Ok(())
}

fn programs(method: StartMethod) -> Outcome {
    let dashboard = start()?;
    let address = dashboard.address();
    let (mut child, said) = other(&format!("connect {method} {address}"))?;
    assert_eq!(said, address);
    let pid = child.id();
    let state = state_with(address, |state| {
        state.contains("\"outcome\":\"running\"") && state.contains("\"done\":321,")
    })?;
    assert!(state.contains("\"name\":\"the other one\","), "{state}");
    assert!(state.contains(&format!("\"pid\":{pid},\"cancel\":true,")), "{state}");
    // Its call is cancelled over here.
    let part = state.split(&format!("\"pid\":{pid},\"cancel\"")).nth(1).ok_or("it is there")?;
    let number = |key: &str| {
        let rest = part.split(key).nth(1).unwrap_or_default();
        rest.split(|digit: char| !digit.is_ascii_digit()).next().unwrap_or_default().to_owned()
    };
    let id = state.split("\"name\":\"the other one\"").next().unwrap_or_default();
    let id = id.rsplit("\"id\":").next().unwrap_or_default();
    let id: String = id.chars().take_while(char::is_ascii_digit).collect();
    let call = part.split("\"calls\":[").nth(1).unwrap_or_default();
    let running = call.split("{\"number\":").find(|one| one.contains("\"running\""));
    let running = running.and_then(|one| one.split(',').next()).ok_or("one goes on")?;
    let what =
        format!("cancel?program={id}&pool={}&call={running}", number("\"pools\":[{\"number\":"));
    let answer = request(address, "POST", &what)?;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{what}: {answer}");
    state_with(address, |state| state.contains("\"outcome\":\"cancelled\""))?;
    // Its end leaves its last state.
    drop(child.stdin.take());
    assert!(child.wait()?.success());
    let state = state_with(address, |state| state.contains("\"cancel\":false"))?;
    assert!(!state.contains("\"lost\":null,\"name\":\"the other one\""), "{state}");
    assert!(state.contains("\"done\":321,"), "{state}");
    // One that is killed is lost as well.
    let (mut child, _) = other(&format!("connect {method} {address}"))?;
    child.kill()?;
    child.wait()?;
    let pid = child.id();
    state_with(address, |state| state.contains(&format!("\"pid\":{pid},\"cancel\":false")))?;
    dashboard.shutdown();
    Ok(())
}

fn killed(method: StartMethod) -> Outcome {
    let (mut child, address) = other(&format!("serve {method}"))?;
    let host = address["http://".len()..].split('/').next().ok_or("a host")?.to_owned();
    let wrong = format!("http://{host}/{}/", "0".repeat(32));
    let refused = Dashboard::connect(&wrong);
    assert!(matches!(refused, Err(DashboardError::Refused(_))), "{refused:?}");
    assert!(request(&address, "GET", "state")?.contains("\"done\":321,"));
    let below = descendants(child.id());
    child.kill()?;
    child.wait()?;
    assert!(TcpStream::connect(&host).is_err(), "something listens at {host}");
    scratch::wait_until("no process of the killed program is left", || {
        below.iter().all(|pid| sys::has_ended(*pid))
    });
    Ok(())
}
