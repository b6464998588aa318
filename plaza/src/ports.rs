//! Ports of our own, remembered so that they stay the same from start to start.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context;

/// Below 32768, where the kernel takes ports for outgoing connections.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

pub(crate) type Ports = BTreeMap<String, u16>;

/// A listener on this machine only: on the remembered port if it is free, or on another, which is then remembered.
pub(crate) fn listen(ports: &mut Ports, name: &str) -> anyhow::Result<TcpListener> {
    let remembered = ports.get(name).copied();
    let random = (0..100).map(|_| {
        let number = u16::from_be_bytes(kit::seal::random());
        RANGE.start + number % (RANGE.end - RANGE.start)
    });
    // Reserved for another of ours that does not run yet.
    let random = random.filter(|port| !ports.values().any(|taken| taken == port)).collect::<Vec<_>>();
    for port in remembered.into_iter().chain(random) {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            ports.insert(name.to_owned(), port);
            return Ok(listener);
        }
    }
    anyhow::bail!("no free port between {} and {} for {name}", RANGE.start, RANGE.end)
}

/// A free port for a program that binds it itself.
pub(crate) fn free(ports: &mut Ports, name: &str) -> anyhow::Result<u16> {
    Ok(listen(ports, name)?.local_addr().context("the port that was just bound")?.port())
}

/// Why a port that people know by number cannot be had, and what to do.
pub(crate) fn refusal(port: u16, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let by = holder(port).unwrap_or_else(|| "another program".to_owned());
            format!("port {port} is used by {by}: end that program, or take another port with --port")
        }
        io::ErrorKind::PermissionDenied => {
            format!("port {port} is only for root: take another with --port, from 1024 on")
        }
        _ => format!("port {port}: {error}"),
    }
}

/// The program that listens on a port, as far as we may see it: `python3 (process 4711)`.
pub(crate) fn holder(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let table = fs::read_to_string(table).ok()?;
        table.lines().skip(1).find_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let local = u16::from_str_radix(fields.get(1)?.rsplit(':').next()?, 16).ok()?;
            // 0A is LISTEN.
            (local == port && *fields.get(3)? == "0A").then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
        })
    })?;
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).find_map(|pid| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
        let ours = open.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|target| target.as_os_str() == &*socket);
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        ours.then(|| format!("{} (process {pid})", name.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_remembered_and_given_up_when_somebody_else_has_it() {
        let mut ports = Ports::new();
        let first = listen(&mut ports, "a").unwrap();
        let port = ports["a"];
        drop(first);
        let again = listen(&mut ports, "a").unwrap();
        assert_eq!(ports["a"], port);
        let other = listen(&mut ports, "a").unwrap();
        assert_ne!(other.local_addr().unwrap().port(), port);
        assert_eq!(again.local_addr().unwrap().port(), port);
    }

    #[test]
    fn who_listens_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let named = holder(listener.local_addr().unwrap().port()).unwrap();
        assert!(named.contains(&std::process::id().to_string()), "{named}");
    }
}
