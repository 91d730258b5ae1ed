//! The page of a dashboard in a headless Chromium, where there is one: a map goes from 0 to 100 %,
//! a failure appears with its text and its backtrace, a call is cancelled by keys, a wrong token is
//! refused, and the page can be read after the program's end.
//!
//! Without libtest, which shows no line of a test that passes: where there is no Chromium, it says
//! so.

use std::{env, process::Command, thread, time::Duration};

use pool_api::{Error, InsightsOptions, SharedEvent, WorkerPool, dashboard::Dashboard};

mod chromium;
#[allow(dead_code)]
#[path = "../support/json.rs"]
mod json;

use chromium::Chromium;

// SAFETY: as in libc's headers for Linux.
unsafe extern "C" {
    safe fn alarm(seconds: u32) -> u32;
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    // Panics have their backtraces where the environment asks for them.
    if env::var_os("RUST_BACKTRACE").is_none() {
        let status = Command::new(env::current_exe()?).env("RUST_BACKTRACE", "1").status()?;
        std::process::exit(status.code().unwrap_or(1));
    }
    // The end of a test that hangs.
    alarm(240);
    let Some(path) = chromium::find() else {
        println!("skipped: dashboard_browser: no Chromium is installed, nor named by CHROMIUM");
        println!("test result: ok. 0 passed; 0 failed");
        return Ok(());
    };
    let Some(mut browser) = Chromium::start(&path) else {
        println!("skipped: dashboard_browser: {} cannot be started here", path.display());
        println!("test result: ok. 0 passed; 0 failed");
        return Ok(());
    };
    watch(&mut browser)?;
    println!("test the_page_in_a_browser ... ok");
    println!("test result: ok. 1 passed; 0 failed");
    Ok(())
}

type Halves = (SharedEvent, SharedEvent);

/// An item waits until its half may go on.
fn gated((first, second): &Halves, n: u64) -> u64 {
    if n < 50 {
        first.wait()
    } else {
        second.wait()
    }
    n
}

fn fails(n: u64) -> u64 {
    assert_ne!(n, 7, "<b>seven</b> cannot be");
    n
}

fn endless(n: u64) -> u64 {
    thread::sleep(Duration::from_millis(2));
    n
}

/// What the page has in the call of this function, by a selector.
fn in_call(function: &str, selector: &str) -> String {
    format!(
        "[...document.querySelectorAll('.call')].find((call) => \
         call.querySelector('h4').textContent === 'dashboard_browser::{function}')\
         ?.querySelector('{selector}')"
    )
}

fn watch(browser: &mut Chromium) -> Outcome {
    let dashboard = Dashboard::builder().ports(0..=0).announce(false).start()?;
    let address = dashboard.address().to_owned();
    let (host, _) = address["http://".len()..].split_once('/').ok_or("a path")?;
    let origin = format!("http://{host}");

    browser.go(&format!("{origin}/{}/", "0".repeat(32)));
    browser.wait_for("document.body.innerText.includes('which is missing or wrong')", "true");
    // The browser says itself that this was refused.
    browser.complaints.clear();

    browser.go(&address);
    browser.wait_for("document.getElementById('connection')?.dataset.state", "live");
    browser.wait_for("document.getElementById('empty').hidden", "false");

    let pool = WorkerPool::builder().n_jobs(2).enable_insights(InsightsOptions::new()).build()?;
    goes_to_the_end(browser, &pool)?;
    fails_with_its_text(browser, &pool);
    is_cancelled_by_keys(browser, &pool);

    // Nothing was asked of any other host, and the page has complained of nothing.
    let own = format!(
        "performance.getEntriesByType('resource').every((one) => one.name.startsWith('{origin}/'))"
    );
    browser.wait_for(&own, "true");
    // (The refused page has no icon, so the browser asks for one, and is refused that as well.)
    let icon = format!("\"url\":\"{origin}/favicon.ico\"");
    browser.complaints.retain(|complaint| !complaint.contains(&icon));
    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);

    drop(pool);
    dashboard.shutdown();
    browser.wait_for("document.getElementById('connection').dataset.state", "lost");
    browser.wait_for("document.getElementById('banner').hidden", "false");
    browser.wait_for(&format!("{}.textContent", in_call("gated", ".word")), "Done");
    browser.wait_for(&format!("{}.textContent", in_call("endless", ".word")), "Cancelled");
    Ok(())
}

fn goes_to_the_end(browser: &mut Chromium, pool: &WorkerPool) -> Outcome {
    let halves: Halves = (SharedEvent::new()?, SharedEvent::new()?);
    let done = format!("{}?.getAttribute('aria-valuenow')", in_call("gated", "[role=progressbar]"));
    let text =
        format!("{}?.getAttribute('aria-valuetext')", in_call("gated", "[role=progressbar]"));
    let word = format!("{}?.textContent", in_call("gated", ".word"));
    thread::scope(|scope| {
        let map =
            scope.spawn(|| pool.tasks(0..100u64).with(halves.clone()).chunk_size(1).map(gated));
        browser.wait_for(&done, "0");
        browser.wait_for(&word, "Running");
        let stage = "document.querySelector('.pool tbody td.wide').textContent";
        browser.wait_for(
            &format!("{stage}.startsWith('working dashboard_browser::gated, item ')"),
            "true",
        );
        halves.0.set();
        browser.wait_for(&text, "50 of 100");
        browser.wait_for(&done, "50");
        halves.1.set();
        browser.wait_for(&done, "100");
        browser.wait_for(&word, "Done");
        assert_eq!(map.join().expect("no panic")?, (0..100).collect::<Vec<_>>());
        Ok(())
    })
}

fn fails_with_its_text(browser: &mut Chromium, pool: &WorkerPool) {
    let failed = pool.map(0..10u64, fails);
    assert!(matches!(failed, Err(Error::Task(_))), "{failed:?}");
    browser.wait_for(&format!("{}?.textContent", in_call("fails", ".word")), "Failed");
    let text = format!("{}.textContent", in_call("fails", ".errors p"));
    // As text, and not as markup.
    browser.wait_for(&format!("{text}.includes('<b>seven</b> cannot be')"), "true");
    let backtrace = format!("{}?.textContent", in_call("fails", ".errors pre"));
    browser.wait_for(&format!("{backtrace}.includes('dashboard_browser::fails')"), "true");
    browser.wait_for("document.querySelectorAll('b').length", "0");
}

fn is_cancelled_by_keys(browser: &mut Chromium, pool: &WorkerPool) {
    let button = in_call("endless", "button");
    thread::scope(|scope| {
        let map = scope.spawn(|| pool.map(0..10_000_000u64, endless));
        browser.wait_for(&format!("{button}?.hidden"), "false");
        browser
            .wait_for(&format!("({button}.focus(), document.activeElement === {button})"), "true");
        browser.press("Enter", 13, "\\r");
        browser.wait_for(&format!("{button}.textContent"), "Really cancel?");
        browser.press("Enter", 13, "\\r");
        browser.wait_for(&format!("{}.textContent", in_call("endless", ".word")), "Cancelled");
        let result = map.join().expect("no panic");
        assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    });
}
