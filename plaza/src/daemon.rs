//! Programs that run beside us: PostgreSQL and Redis. They die with us even when we are killed, never run as root, and
//! are not in our terminal's process group, so that a Ctrl-C stops the services first.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

/// Whom the programs run as when we are root, because PostgreSQL refuses to be root.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// `None` when we are not root: then they run as ourselves.
    pub(crate) fn needed() -> anyhow::Result<Option<Self>> {
        // The owner of a process's entry is its effective user.
        if fs::metadata("/proc/self").context("looking at /proc/self")?.uid() != 0 {
            return Ok(None);
        }
        let users = fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?;
        let find = |name: &str| users.lines().find_map(|line| Self::parse(line).filter(|account| account.name == name));
        let account = find("postgres").or_else(|| find("nobody")).filter(|account| account.uid != 0);
        account.map(Some).context("PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to be")
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let uid = fields.nth(1)?.parse().ok()?;
        Some(Self { name, uid, gid: fields.next()?.parse().ok()? })
    }

    /// The first folder on the way to `path` that this user may not enter.
    pub(crate) fn barred(&self, path: &Path) -> Option<PathBuf> {
        let mut ancestors: Vec<_> = path.ancestors().collect();
        ancestors.reverse();
        let closed = |folder: &&Path| {
            fs::metadata(folder).is_ok_and(|found| {
                let enter = match (found.uid() == self.uid, found.gid() == self.gid) {
                    (true, _) => 0o100,
                    (_, true) => 0o010,
                    _ => 0o001,
                };
                found.mode() & enter == 0
            })
        };
        ancestors.into_iter().find(closed).map(Path::to_owned)
    }

    pub(crate) fn own(&self, path: &Path) -> anyhow::Result<()> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
            .with_context(|| format!("giving {} to the user {}", path.display(), self.name))
    }
}

/// A command that runs as `account`, outside of our process group, and is interrupted when we die. The kernel watches
/// the thread that starts it, so start it on the main thread, not in a spawned task.
pub(crate) fn command(account: Option<&Account>, program: &Path, folder: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "INT"]);
    if let Some(account) = account {
        let (uid, gid) = (account.uid.to_string(), account.gid.to_string());
        command.args(["--reuid", &uid, "--regid", &gid, "--clear-groups"]);
    }
    command.arg("--").arg(program).current_dir(folder).process_group(0).stdin(Stdio::null());
    command
}

/// A running program.
pub(crate) struct Daemon {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts it with its output appended to `log` and `input` as its standard input.
    pub(crate) async fn start(
        name: &'static str,
        mut command: Command,
        input: Option<String>,
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        let output = open_log(&log)?;
        command.stdout(output.try_clone()?).stderr(output);
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().with_context(|| format!("starting {name}: {program} (is it installed?)"))?;
        if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
            stdin.write_all(input.as_bytes()).await.with_context(|| format!("configuring {name}"))?;
        }
        Ok(Self { name, child, log })
    }

    /// Waits until it ends by itself, and says so as an error.
    pub(crate) async fn ended(&mut self) -> anyhow::Error {
        let status = match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        anyhow::anyhow!("{} ended ({status}). The end of {}:\n{}", self.name, self.log.display(), tail(&self.log, 8))
    }

    /// Asks it to end by one signal after the other, each with its time, and at last ends it.
    pub(crate) async fn stop(mut self, signals: &[(&str, Duration)]) {
        for (name, patience) in signals {
            let Some(pid) = self.child.id() else { return };
            signal(pid, name).await;
            if tokio::time::timeout(*patience, self.child.wait()).await.is_ok() {
                return;
            }
        }
        let _ = self.child.kill().await;
    }
}

/// How PostgreSQL and Redis both end cleanly, then not so cleanly.
pub(crate) const GENTLY: &[(&str, Duration)] =
    &[("INT", Duration::from_secs(20)), ("QUIT", Duration::from_secs(5)), ("KILL", Duration::from_secs(5))];

/// Ends a program of a former start of ours that outlived it: the one with this number, if it works in `folder`. Both
/// programs make their data folder their working folder, so a number that is somebody else's by now is never taken for
/// ours.
pub(crate) async fn stop_orphan(pid: u32, folder: &Path) -> anyhow::Result<bool> {
    if !works_in(pid, folder) {
        return Ok(false);
    }
    for (name, patience) in GENTLY {
        signal(pid, name).await;
        let tries = patience.as_millis() / 20;
        for _ in 0..tries {
            if !works_in(pid, folder) {
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    bail!("process {pid} of an earlier start still uses {}; end it with: kill -9 {pid}", folder.display())
}

fn works_in(pid: u32, folder: &Path) -> bool {
    let works = fs::read_link(format!("/proc/{pid}/cwd"));
    works.is_ok_and(|works| fs::canonicalize(folder).is_ok_and(|folder| folder == works))
}

/// The shell's `kill`, because the program of that name is not everywhere.
async fn signal(pid: u32, name: &str) {
    let pid = pid.to_string();
    let _ = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\" 2>/dev/null", name, &pid]).status().await;
}

/// Appends; a log that has grown large is put aside, and the one put aside before is forgotten.
fn open_log(path: &Path) -> anyhow::Result<File> {
    if fs::metadata(path).is_ok_and(|found| found.len() > 16 << 20) {
        let _ = fs::rename(path, path.with_extension("log.1"));
    }
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    opened.with_context(|| format!("opening {}", path.display()))
}

/// The last lines of a file.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<_> = text.lines().collect();
    let from = all.len().saturating_sub(lines);
    all[from..].iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// The first of `names` in `PATH`.
pub(crate) fn in_path(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_closed_folder_on_the_way_is_named() {
        let top = std::env::temp_dir().join(format!("plaza-barred-{}", std::process::id()));
        fs::create_dir_all(top.join("closed/inner")).unwrap();
        fs::set_permissions(top.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
        let somebody = Account::parse("somebody:x:64123:64123::/:/bin/false").unwrap();
        assert_eq!(somebody.barred(&top.join("closed/inner/not-there-yet")), Some(top.join("closed")));
        assert_eq!(somebody.barred(&top), None);
        fs::remove_dir_all(top).unwrap();
    }
}
