//! What the numbers were measured on.

use std::fs;
use std::process::Command;

use chrono::Utc;

/// Lines of `name: value`, in Markdown.
pub(crate) fn describe(postgres: &str) -> Vec<String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let cpu = cpu.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let ram = read("/proc/meminfo");
    let ram = ram.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or_default() / 1_048_576.0;
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or_default();
    vec![
        format!("Date: {}", Utc::now().format("%Y-%m-%d %H:%M UTC")),
        format!("CPU: {}, {cores} cores", cpu.unwrap_or("unknown")),
        format!("Memory: {ram:.1} GiB; load average at the start: {load}"),
        format!("Kernel: Linux {}", read("/proc/sys/kernel/osrelease").trim()),
        format!("PostgreSQL {postgres}; {}; {}", said("redis-server", &["--version"]), said("rustc", &["--version"])),
        format!("Plaza {} at commit {}", env!("CARGO_PKG_VERSION"), commit()),
    ]
}

fn commit() -> String {
    let changed =
        if said("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty() { "" } else { " + changes" };
    format!("{}{changed}", said("git", &["rev-parse", "--short", "HEAD"]))
}

/// The first words a program says, up to where details begin.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&output);
    let line = text.lines().next().unwrap_or_default();
    line.split(" sha=").next().unwrap_or_default().trim().to_owned()
}
