//! Rounds: each subject gets its load in turn, and again, so that what disturbs the machine for a while disturbs all
//! alike. What is compared is compared within a round; what is shown is the median over the rounds.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::load::Outcome;
use crate::process;

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) seconds: u64,
    pub(crate) connections: usize,
}

/// Servers and the load on them.
pub(crate) struct Subject {
    pub(crate) name: String,
    /// The processes that answer; their CPU is what the answers cost.
    pub(crate) servers: Vec<(String, u32)>,
    pub(crate) load: Load,
}

#[derive(Clone)]
pub(crate) enum Load {
    Http {
        target: SocketAddr,
        path: &'static str,
        token: Option<String>,
    },
    Grpc {
        target: SocketAddr,
        connections: usize,
        streams: usize,
    },
    /// A script for pgbench and the id it looks for.
    Pgbench {
        script: PathBuf,
        url: String,
        id: String,
        clients: usize,
    },
}

/// One subject in one round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// CPU µs per request of each server.
    pub(crate) servers_us: Vec<f64>,
    /// CPU µs per request of PostgreSQL.
    pub(crate) postgres_us: f64,
    /// Which part of the machine somebody else used meanwhile, 0 to 1.
    pub(crate) others: f64,
}

impl Measured {
    pub(crate) fn cpu_us(&self) -> f64 {
        self.servers_us.iter().sum()
    }
}

/// A subject through all rounds.
pub(crate) struct Series {
    pub(crate) subject: Subject,
    pub(crate) rounds: Vec<Measured>,
}

impl Series {
    pub(crate) fn median(&self, value: impl Fn(&Measured) -> f64) -> f64 {
        median(self.rounds.iter().map(value).collect())
    }

    /// The median of what this costs against the other, round by round.
    pub(crate) fn against(&self, other: &Series, value: impl Fn(&Measured) -> f64) -> f64 {
        median(self.rounds.iter().zip(&other.rounds).map(|(a, b)| value(a) / value(b)).collect())
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// Runs all rounds. The order turns round with every round, so that nobody always comes first or after the same.
pub(crate) fn run(subjects: Vec<Subject>, plan: Plan, postmaster: u32) -> anyhow::Result<Vec<Series>> {
    let mut all: Vec<_> = subjects.into_iter().map(|subject| Series { subject, rounds: Vec::new() }).collect();
    for round in 0..plan.rounds {
        let count = all.len();
        let order: Vec<_> = if round % 2 == 0 { (0..count).collect() } else { (0..count).rev().collect() };
        for at in order {
            process::go_on()?;
            let series = &mut all[at];
            let measured = measure(&series.subject, plan, postmaster).with_context(|| series.subject.name.clone())?;
            eprintln!(
                "  round {} of {}: {:<44} {:>7.0}/s {:>6.1} µs",
                round + 1,
                plan.rounds,
                series.subject.name,
                measured.per_second,
                measured.cpu_us() + if count_postgres(&series.subject) { measured.postgres_us } else { 0.0 }
            );
            series.rounds.push(measured);
        }
    }
    Ok(all)
}

/// pgbench has no server of ours.
fn count_postgres(subject: &Subject) -> bool {
    subject.servers.is_empty()
}

/// Times of everybody at one moment.
struct Clock {
    servers: Vec<u64>,
    postgres: u64,
    machine: u64,
}

impl Clock {
    fn read(subject: &Subject, postmaster: u32) -> anyhow::Result<Self> {
        let servers = subject.servers.iter().map(|(_, pid)| process::cpu_of(&[*pid])).collect::<anyhow::Result<_>>()?;
        Ok(Self { servers, postgres: process::cpu_of_family(postmaster)?, machine: process::machine_busy_us()? })
    }
}

fn measure(subject: &Subject, plan: Plan, postmaster: u32) -> anyhow::Result<Measured> {
    let mut command = command(subject, plan)?;
    let mut load = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("starting the load")?;
    let stdout = load.stdout.take().context("its output is a pipe")?;
    let mut lines = BufReader::new(stdout).lines();
    let ours = !matches!(subject.load, Load::Pgbench { .. });
    if ours {
        let line = lines.next().transpose()?;
        if line.as_deref() != Some("go") {
            anyhow::bail!("no load: {}", String::from_utf8_lossy(&load.wait_with_output()?.stderr));
        }
    }
    let before = Clock::read(subject, postmaster)?;
    let last =
        if ours { vec![lines.next().context("the load ended early")??] } else { lines.collect::<Result<_, _>>()? };
    let after = Clock::read(subject, postmaster)?;
    let output = load.wait_with_output()?;
    ensure!(output.status.success(), "the load failed: {}", String::from_utf8_lossy(&output.stderr));

    let outcome = if ours { serde_json::from_str(&last[0])? } else { read_pgbench(&last, plan)? };
    ensure!(
        outcome.errors * 1000 <= outcome.requests && outcome.requests > 0,
        "{} of {} requests failed: {}",
        outcome.errors,
        outcome.requests + outcome.errors,
        String::from_utf8_lossy(&output.stderr)
    );
    let each = |us: u64| us as f64 / outcome.requests as f64;
    let servers: Vec<_> = after.servers.iter().zip(&before.servers).map(|(after, before)| after - before).collect();
    let postgres = after.postgres.saturating_sub(before.postgres);
    let known = servers.iter().sum::<u64>() + postgres + outcome.own_cpu_us;
    let cores = std::thread::available_parallelism()?.get() as f64;
    let others = (after.machine - before.machine).saturating_sub(known) as f64 / (outcome.seconds * 1e6 * cores);
    Ok(Measured {
        per_second: outcome.requests as f64 / outcome.seconds,
        p50_ms: f64::from(outcome.p50_us) / 1000.0,
        p99_ms: f64::from(outcome.p99_us) / 1000.0,
        servers_us: servers.into_iter().map(each).collect(),
        postgres_us: each(postgres),
        others: if ours { others } else { 0.0 },
    })
}

fn command(subject: &Subject, plan: Plan) -> anyhow::Result<Command> {
    let (seconds, connections) = (plan.seconds.to_string(), plan.connections.to_string());
    let mut command = Command::new(std::env::current_exe()?);
    match &subject.load {
        Load::Http { target, path, token } => {
            command.arg("http").args(["--target", &target.to_string(), "--path", path]);
            command.args(["--connections", &connections, "--seconds", &seconds]);
            if let Some(token) = token {
                command.env("BENCH_TOKEN", token);
            }
        }
        Load::Grpc { target, connections, streams } => {
            command.arg("grpc").args(["--target", &target.to_string(), "--seconds", &seconds]);
            command.args(["--connections", &connections.to_string(), "--streams", &streams.to_string()]);
        }
        Load::Pgbench { script, url, id, clients } => {
            command = Command::new("pgbench");
            command.args(["--no-vacuum", "--protocol=prepared", "--jobs=1", &format!("--client={clients}")]);
            command
                .arg(format!("--time={seconds}"))
                .arg(format!("--define=id={id}"))
                .arg("--file")
                .arg(script)
                .arg(url);
        }
    }
    Ok(command)
}

fn read_pgbench(lines: &[String], plan: Plan) -> anyhow::Result<Outcome> {
    let number = |name: &str| {
        let line = lines.iter().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok())
    };
    let requests = number("number of transactions actually processed: ").context("pgbench's report")? as u64;
    // pgbench tells the average only.
    let average_us = number("latency average = ").unwrap_or_default() * 1000.0;
    Ok(Outcome { requests, seconds: plan.seconds as f64, p50_us: average_us as u32, ..Outcome::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
