//! What `plaza up` says: the steps of the start as they are done, on stderr beside the log, and at the end a table of
//! addresses on stdout.

use std::fmt::{Display, Write as _};
use std::io::Write as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::installation::Addresses;
use crate::{demo, postgres};

/// A step of the start.
pub(crate) struct Step {
    name: &'static str,
    begun: Instant,
    found: String,
}

impl Step {
    pub(crate) fn begin(name: &'static str) -> Self {
        Self { name, begun: Instant::now(), found: String::new() }
    }

    /// Something takes a while.
    pub(crate) fn say(&self, what: &str) {
        line(&format!("  … {:<14} {what}", self.name));
    }

    /// What it came to.
    pub(crate) fn found(&mut self, what: impl Into<String>) {
        self.found = what.into();
    }

    pub(crate) fn done(self) {
        line(&format!("  ✓ {:<14} {:<44} {:>6}", self.name, self.found, seconds(self.begun.elapsed())));
    }
}

/// A bar for what takes minutes; where nobody looks at a terminal, a line for every tenth of it.
pub(crate) struct Progress {
    step: Step,
    bar: ProgressBar,
    tenth: u64,
}

impl Progress {
    pub(crate) fn begin(name: &'static str, length: usize) -> Self {
        let bar = ProgressBar::new(length as u64);
        let style =
            ProgressStyle::with_template("  … {prefix:<14} {bar:36} {human_pos:>11} of {human_len:<11} {eta} {msg}");
        bar.set_style(style.expect("the template is right"));
        bar.set_prefix(name);
        Self { step: Step::begin(name), bar, tenth: (length as u64 / 10).max(1) }
    }

    /// One more is done.
    pub(crate) fn step(&self) {
        self.bar.inc(1);
        let done = self.bar.position();
        if self.bar.is_hidden() && self.tenth >= 100_000 && done.is_multiple_of(self.tenth) {
            self.step.say(&format!("{done}"));
        }
    }

    /// All rows are there; what is left has no length.
    pub(crate) fn indexes(&self) {
        match self.bar.is_hidden() {
            true if self.tenth >= 100_000 => self.step.say("building indexes"),
            _ => self.bar.set_message("building indexes"),
        }
    }

    pub(crate) fn done(mut self) {
        self.bar.finish_and_clear();
        self.step.found(self.bar.position().to_string());
        self.step.done();
    }
}

/// A line beside the log. That nobody reads it any more is no reason to stop.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A line of what a command was asked for.
pub(crate) fn print(text: impl Display) {
    if writeln!(std::io::stdout(), "{text}").is_err() {
        // Nobody reads any more, as after `| head`.
        std::process::exit(0);
    }
}

pub(crate) fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

/// The table of addresses and two requests to try.
pub(crate) fn table(addresses: &Addresses, own_database: bool, own_redis: bool, demo: bool) {
    let mut text = String::new();
    let mut row = |what: &str, value: &str| {
        let _ = writeln!(text, "  {what:<28}{value}");
    };
    let edge = &addresses.edge;
    row("REST, WebSocket, gRPC(-web)", edge);
    row("API documents", &format!("{edge}/docs"));
    row("Metrics", &format!("{}/metrics", addresses.admin));
    if own_database {
        let names: Vec<_> = addresses.grpc.keys().map(|service| postgres::database(service)).collect();
        let url = addresses.database_url.trim_end_matches("/postgres");
        row("PostgreSQL", &format!("{url}/{}", names.join(", …/")));
    }
    if own_redis {
        row("Redis", &addresses.redis_url);
    }
    let dir = addresses.data_dir.display();
    row("Mail and SMS", &format!("{dir}/outbox"));
    row("Data, logs", &format!("{dir}"));
    if demo {
        let _ = write!(text, "\n{}", demo::table());
        let _ = write!(text, "\nTry:\n\n{}", demo::requests(edge));
    }
    let _ = write!(std::io::stdout(), "\n{text}\n");
    let _ = std::io::stdout().flush();
}
