//! `pool-dashboard`: a dashboard of its own, to which any number of programs connect.

#![forbid(unsafe_code)]

use std::{
    env,
    io::{self, Write},
    process::ExitCode,
    thread,
};

use pool_dashboard::{Dashboard, DashboardBuilder};

const USAGE: &str = "\
usage: pool-dashboard [--ports FIRST-LAST] [--no-cancel]

Serves a page that shows the pools of the programs that connect to it by
Dashboard::connect, until it is ended by Ctrl-C.

  --ports FIRST-LAST  the ports to try; 8080-8099 by default, 0 for any free one
  --no-cancel         nothing can be cancelled from the page
  --help              this text
";

fn main() -> ExitCode {
    let mut builder = Dashboard::builder().alone().announce(false);
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (arg.as_str(), None),
        };
        builder = match (name, value) {
            ("--help" | "-h", None) => {
                print!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            ("--no-cancel", None) => builder.allow_cancel(false),
            ("--ports" | "--port-range", value) => {
                match value.or_else(|| args.next()).and_then(|value| with_ports(&builder, &value)) {
                    Some(builder) => builder,
                    None => return misused("--ports needs a port, or two as in 8080-8099"),
                }
            }
            _ => return misused(&format!("there is no option {arg:?}")),
        };
    }
    match builder.start() {
        Ok(dashboard) => serve(&dashboard),
        Err(error) => {
            eprintln!("pool-dashboard: {error}");
            ExitCode::FAILURE
        }
    }
}

fn with_ports(builder: &DashboardBuilder, text: &str) -> Option<DashboardBuilder> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    Some(builder.clone().ports(first..=last))
}

fn misused(complaint: &str) -> ExitCode {
    eprint!("pool-dashboard: {complaint}\n{USAGE}");
    ExitCode::from(2)
}

/// Says where, and never returns: the process ends by a signal.
fn serve(dashboard: &Dashboard) -> ExitCode {
    let said = writeln!(
        io::stdout(),
        "Dashboard: {}\nPrograms connect by Dashboard::connect with this address.",
        dashboard.address()
    );
    if said.is_err() {
        return ExitCode::FAILURE;
    }
    loop {
        thread::park();
    }
}
