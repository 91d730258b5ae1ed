//! A headless Chromium, over a pair of pipes.
//!
//! Invariant: it ends with the value, and leaves no file behind.

use std::{
    env, fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::json::Json;

/// What it is called, and the variable that says where it is.
const NAMES: [&str; 6] = [
    "chromium",
    "chromium-headless-shell",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome-headless-shell",
];
const VARIABLE: &str = "CHROMIUM";

pub(crate) struct Chromium {
    process: Child,
    to: ChildStdin,
    from: ChildStdout,
    arrived: Vec<u8>,
    last: i64,
    session: Option<String>,
    profile: PathBuf,
    /// What the page has complained of.
    pub(crate) complaints: Vec<String>,
}

/// Where one is installed.
pub(crate) fn find() -> Option<PathBuf> {
    if let Some(path) = env::var_os(VARIABLE) {
        return Some(path.into());
    }
    let folders: Vec<_> = env::split_paths(&env::var_os("PATH")?).collect();
    let paths = NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    paths.into_iter().find(|path| path.is_file())
}

impl Chromium {
    /// Starts it with one empty page; `None` if it cannot be started here.
    pub(crate) fn start(path: &Path) -> Option<Self> {
        let profile = format!("chromium-{}", std::process::id());
        let profile = Path::new(env!("CARGO_TARGET_TMPDIR")).join(profile);
        // It reads orders from descriptor 3 and answers at 4.
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1"])
            .arg(path)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"])
            .args(["--disable-dev-shm-usage", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let (to, from) = (process.stdin.take()?, process.stdout.take()?);
        let (arrived, complaints) = (Vec::new(), Vec::new());
        let mut chromium =
            Self { process, to, from, arrived, last: 0, session: None, profile, complaints };
        let page = chromium.call("Target.createTarget", "{\"url\":\"about:blank\"}")?;
        let page = page.get("targetId").text().to_owned();
        let attach = format!("{{\"targetId\":\"{page}\",\"flatten\":true}}");
        let session = chromium.call("Target.attachToTarget", &attach)?;
        chromium.session = Some(session.get("sessionId").text().to_owned());
        for what in ["Page.enable", "Runtime.enable", "Log.enable"] {
            chromium.call(what, "{}")?;
        }
        Some(chromium)
    }

    /// Calls a method of the protocol with these parameters.
    pub(crate) fn call(&mut self, method: &str, parameters: &str) -> Option<Json> {
        self.last += 1;
        let id = self.last;
        let session = match &self.session {
            Some(session) => format!(",\"sessionId\":\"{session}\""),
            None => String::new(),
        };
        let order =
            format!("{{\"id\":{id},\"method\":\"{method}\",\"params\":{parameters}{session}}}\0");
        self.to.write_all(order.as_bytes()).ok()?;
        loop {
            let text = self.message()?;
            // Messages with fractions are no answers to anything that is asked here.
            let Some(message) = Json::read(&text) else {
                self.note(&text);
                continue;
            };
            if message.get("id").number() == id {
                return Some(message.get("result").clone());
            }
            self.note(&text);
        }
    }

    fn note(&mut self, text: &str) {
        if ["Runtime.exceptionThrown", "Content Security Policy", "\"level\":\"error\""]
            .iter()
            .any(|sign| text.contains(sign))
        {
            self.complaints.push(text.to_owned());
        }
    }

    fn message(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.arrived.iter().position(|byte| *byte == 0) {
                let message: Vec<_> = self.arrived.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&message[..end]).into_owned());
            }
            let mut buffer = [0; 1 << 14];
            let count = self.from.read(&mut buffer).ok().filter(|count| *count > 0)?;
            self.arrived.extend_from_slice(&buffer[..count]);
        }
    }

    pub(crate) fn go(&mut self, address: &str) {
        let went = self.call("Page.navigate", &format!("{{\"url\":\"{address}\"}}"));
        assert!(went.is_some(), "the browser has ended");
    }

    /// The value of an expression, as text.
    pub(crate) fn text_of(&mut self, expression: &str) -> String {
        let expression = format!("String({expression})").replace('\\', "\\\\").replace('"', "\\\"");
        let parameters = format!("{{\"expression\":\"{expression}\",\"returnByValue\":true}}");
        let value = self.call("Runtime.evaluate", &parameters).expect("the browser has ended");
        value.get("result").get("value").text().to_owned()
    }

    /// Waits until an expression has this value.
    pub(crate) fn wait_for(&mut self, expression: &str, expected: &str) {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let value = self.text_of(expression);
            if value == expected {
                return;
            }
            if Instant::now() > until {
                let page = self.text_of("document.body.innerText");
                panic!("{expression} is {value:?}, not {expected:?}, of a page with: {page}");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses a key.
    pub(crate) fn press(&mut self, key: &str, code: u32, text: &str) {
        for (kind, text) in [("keyDown", text), ("keyUp", "")] {
            let parameters = format!(
                "{{\"type\":\"{kind}\",\"key\":\"{key}\",\"code\":\"{key}\",\
                 \"windowsVirtualKeyCode\":{code},\"text\":\"{text}\"}}"
            );
            self.call("Input.dispatchKeyEvent", &parameters);
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        self.session = None;
        self.call("Browser.close", "{}");
        let until = Instant::now() + Duration::from_secs(10);
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < until {
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.profile);
    }
}
