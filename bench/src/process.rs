//! Processes that the bench starts, and what the kernel says they use.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

/// The kernel's unit in /proc is a hundredth of a second on every Linux.
const TICK_US: u64 = 10_000;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Notes Ctrl-C and SIGTERM, so that everything that waits ends and what was started is stopped.
pub(crate) async fn watch_signals() {
    let stop = kit::Stop::new();
    kit::service::stop_at_signal(stop.clone()).await;
    INTERRUPTED.store(true, Ordering::SeqCst);
}

/// An error once we were asked to leave.
pub(crate) fn go_on() -> anyhow::Result<()> {
    ensure!(!INTERRUPTED.load(Ordering::SeqCst), "interrupted");
    Ok(())
}

/// Does nothing for a while.
pub(crate) fn pause(length: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + length;
    while Instant::now() < end {
        go_on()?;
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// A process that ends when this is dropped.
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) pid: u32,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it; what it says goes to `<name>.log` in `dir`.
    pub(crate) fn start(name: &str, command: &mut Command, dir: &Path) -> anyhow::Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let file = File::create(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().to_string_lossy()))?;
        Ok(Self { name: name.to_owned(), pid: child.id(), child, log })
    }

    /// Waits until `done` or the process ended; says what it logged when neither comes to pass.
    pub(crate) fn wait_until(&mut self, limit: Duration, mut done: impl FnMut() -> bool) -> anyhow::Result<()> {
        let end = Instant::now() + limit;
        while !done() {
            go_on()?;
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}: {}", self.name, self.last_words());
            }
            if Instant::now() > end {
                bail!("{} was not ready in {limit:?}: {}", self.name, self.last_words());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Ends it as it stands.
    pub(crate) fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to leave and waits for it.
    fn stop(&mut self) {
        // The standard library knows only SIGKILL, which would leave the files of an ephemeral platform behind.
        let asked = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &self.pid.to_string()]).status();
        let end = Instant::now() + Duration::from_secs(if asked.is_ok() { 15 } else { 0 });
        while Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.stop();
        }
    }
}

/// A port of this machine that nobody listens on. Below 32768, where the kernel takes ports for outgoing connections.
pub(crate) fn free_port() -> anyhow::Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    for _ in 0..1000 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + ((std::process::id() as u16).wrapping_mul(37).wrapping_add(step)) % 12_000;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no free port between 20000 and 32000")
}

/// Whether a GET is answered with 200.
pub(crate) fn answers(address: SocketAddr, path: &str) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(200))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(&head == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

/// User and system time of a process so far; with `reaped`, also of its children that ended.
fn cpu_us(pid: &str, reaped: bool) -> anyhow::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))?;
    // The name in parentheses may hold anything; what follows it is numbers. See proc(5).
    let fields: Vec<_> = stat[stat.rfind(')').unwrap_or(0) + 1..].split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    let (utime, stime, cutime, cstime) = (ticks(11), ticks(12), ticks(13), ticks(14));
    Ok((utime + stime + if reaped { cutime + cstime } else { 0 }) * TICK_US)
}

/// User and system time of some processes.
pub(crate) fn cpu_of(pids: &[u32]) -> anyhow::Result<u64> {
    pids.iter().map(|pid| cpu_us(&pid.to_string(), false)).sum()
}

pub(crate) fn own_cpu_us() -> anyhow::Result<u64> {
    cpu_us("self", false)
}

/// A process with its children, living and ended: PostgreSQL has one per connection.
pub(crate) fn cpu_of_family(pid: u32) -> anyhow::Result<u64> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    let mut sum = cpu_us(&pid.to_string(), true)?;
    for child in children.split_whitespace() {
        // One that ends between the two reads is a moment's loss.
        sum += cpu_us(child, true).unwrap_or_default();
    }
    Ok(sum)
}

/// Processor time of some processes by thread, in nanoseconds: what one request costs. `/proc/<pid>/stat` counts in
/// hundredths of a second.
pub(crate) struct Spent(HashMap<String, u64>);

impl Spent {
    /// What these processes, and the children of `family`, have used so far. A thread or a child that ended between two
    /// questions is not counted: the services' connections and threads stay, and their statements have no workers.
    pub(crate) fn of(pids: &[u32], family: u32) -> anyhow::Result<Self> {
        let children = fs::read_to_string(format!("/proc/{family}/task/{family}/children"))?;
        let mut spent = Self(HashMap::new());
        for pid in pids {
            spent.add(&pid.to_string()).with_context(|| format!("the processor time of process {pid}"))?;
        }
        for child in children.split_whitespace() {
            let _ = spent.add(child);
        }
        ensure!(spent.0.values().sum::<u64>() > 0, "this kernel does not say how long threads ran (CONFIG_SCHED_INFO)");
        Ok(spent)
    }

    fn add(&mut self, pid: &str) -> anyhow::Result<()> {
        for task in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
            // It may have ended since the folder was read.
            let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else { continue };
            let ns = text.split_whitespace().next().and_then(|ns| ns.parse().ok()).context("schedstat is a number")?;
            self.0.insert(task.file_name().to_string_lossy().into_owned(), ns);
        }
        Ok(())
    }

    pub(crate) fn since(&self, before: &Self) -> Duration {
        let each =
            self.0.iter().map(|(thread, ns)| ns.saturating_sub(before.0.get(thread).copied().unwrap_or_default()));
        Duration::from_nanos(each.sum())
    }
}

/// Time that the machine's cores were busy since it started.
pub(crate) fn machine_busy_us() -> anyhow::Result<u64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let ticks: Vec<u64> =
        stat.lines().next().unwrap_or_default().split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest time is part of user's.
    let idle = ticks.iter().skip(3).take(2).sum::<u64>();
    Ok((ticks.iter().take(8).sum::<u64>() - idle) * TICK_US)
}

/// Memory of a process in kB: all it has mapped and touched, and with shared pages divided by who shares them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) rss_kb: u64,
    pub(crate) pss_kb: u64,
}

pub(crate) fn memory(pid: u32) -> anyhow::Result<Memory> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kb = |name: &str| {
        let line = rollup.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or_default()
    };
    Ok(Memory { rss_kb: kb("Rss:"), pss_kb: kb("Pss:") })
}
