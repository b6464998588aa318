//! An installation: the folder with everything that one platform on this machine keeps. Only one process runs on it.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use kit::seal::{Secret, hex};
use serde::{Deserialize, Serialize};

use crate::daemon::Account;
use crate::ports::Ports;

/// Which installation.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Place {
    /// Folder with the platform's data; `.plaza` in the current folder unless given.
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) data_dir: Option<PathBuf>,
}

impl Place {
    /// The folder, absolute.
    pub(crate) fn dir(&self) -> anyhow::Result<PathBuf> {
        if let Some(dir) = &self.data_dir {
            return std::path::absolute(dir).context("the folder given by --data-dir");
        }
        let here = std::env::current_dir().context("the current folder")?;
        match Account::needed()? {
            // As root in /root, where PostgreSQL's user may not enter: a folder for system data takes its place, so
            // that the first start works for whoever is root in a fresh container.
            Some(account) if account.barred(&here).is_some() => {
                let name = here.to_string_lossy().trim_matches('/').replace('/', "-");
                Ok(Path::new("/var/lib/plaza").join(name))
            }
            _ => Ok(here.join(".plaza")),
        }
    }
}

/// What is remembered between starts, in `state.json`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct State {
    pub(crate) ports: Ports,
    /// Tells the secret that the data was made with from any other.
    secret: String,
    /// Whether the demo people were made.
    #[serde(default)]
    pub(crate) demo: bool,
}

impl State {
    pub(crate) fn made_with(&self, secret: &str) -> bool {
        fingerprint(secret).is_ok_and(|fingerprint| fingerprint == self.secret)
    }
}

/// Where a running platform answers: the ready-file, and `run.json` for our other commands.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Addresses {
    pub(crate) edge: String,
    pub(crate) admin: String,
    pub(crate) grpc: BTreeMap<String, String>,
    pub(crate) data_dir: PathBuf,
    /// The server, as its administrator.
    pub(crate) database_url: String,
    pub(crate) redis_url: String,
    /// Where `media` keeps files.
    pub(crate) storage_url: String,
}

/// An installation that is ours as long as this value lives.
pub(crate) struct Installation {
    pub(crate) dir: PathBuf,
    pub(crate) account: Option<Account>,
    pub(crate) secret: String,
    pub(crate) state: State,
    /// Everything goes when we leave.
    pub(crate) ephemeral: bool,
    lock: File,
}

impl Installation {
    /// Opens or makes it, and keeps others out.
    pub(crate) fn open(dir: PathBuf, ephemeral: bool) -> anyhow::Result<Self> {
        let account = Account::needed()?;
        // Root's data is nobody's business, but PostgreSQL's user must come through.
        let mode = if account.is_some() { 0o711 } else { 0o700 };
        DirBuilder::new().recursive(true).mode(mode).create(&dir).with_context(|| {
            format!("making the folder {}: choose one that may be written with --data-dir", dir.display())
        })?;
        if let Some(reason) = account.as_ref().and_then(|account| barred(account, &dir)) {
            bail!(reason);
        }
        let lock = lock(&dir)?;
        let fresh = !dir.join("state.json").exists();
        let secret = secret(&dir, fresh)?;
        let mut state: State = if fresh { State::default() } else { read(&dir.join("state.json"))? };
        if fresh {
            state.secret = fingerprint(&secret)?;
        } else if !state.made_with(&secret) {
            bail!(
                "PLAZA_SECRET is not the secret that the data in {} was made with; without that one it cannot be read",
                dir.display()
            );
        }
        for folder in ["storage", "outbox"] {
            DirBuilder::new().recursive(true).mode(0o700).create(dir.join(folder))?;
        }
        let installation = Self { dir, account, secret, state, ephemeral, lock };
        installation.save()?;
        Ok(installation)
    }

    /// Remembers the state.
    pub(crate) fn save(&self) -> anyhow::Result<()> {
        write(&self.dir.join("state.json"), &serde_json::to_vec_pretty(&self.state)?)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A folder that belongs to PostgreSQL's and Redis's user.
    pub(crate) fn make_private(&self, path: &Path) -> anyhow::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        self.account.as_ref().map_or(Ok(()), |account| account.own(path))
    }

    /// A password for one purpose, the same at every start.
    pub(crate) fn password(&self, purpose: &str) -> String {
        hex(&Secret::new(self.secret.as_bytes()).derive(purpose)[..16])
    }

    /// Tells our other commands where the platform answers.
    pub(crate) fn announce(&self, addresses: &Addresses) -> anyhow::Result<()> {
        write(&self.path("run.json"), &serde_json::to_vec_pretty(addresses)?)
    }

    /// Leaves it as it shall be found next time.
    pub(crate) fn close(self) -> anyhow::Result<()> {
        let _ = fs::remove_file(self.path("run.json"));
        if self.ephemeral {
            fs::remove_dir_all(&self.dir).with_context(|| format!("deleting {}", self.dir.display()))?;
        }
        Ok(self.lock.unlock()?)
    }
}

/// The addresses of the platform that runs on `dir` right now.
pub(crate) fn running(dir: &Path) -> anyhow::Result<Option<Addresses>> {
    let Ok(file) = File::open(dir.join("lock")) else { return Ok(None) };
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) if dir.join("run.json").exists() => read(&dir.join("run.json")).map(Some),
        _ => Ok(None),
    }
}

/// The same, or what to do about it.
pub(crate) fn expect_running(place: &Place) -> anyhow::Result<Addresses> {
    let dir = place.dir()?;
    running(&dir)?.with_context(|| {
        format!("no platform runs on {}: start it with `plaza up`, or name its folder with --data-dir", dir.display())
    })
}

/// What to do when PostgreSQL's user cannot come to its data.
pub(crate) fn barred(account: &Account, dir: &Path) -> Option<String> {
    let closed = account.barred(dir)?;
    Some(format!(
        "PostgreSQL does not run as root but as the user {}, who may not enter {}. Choose a folder that everybody may \
         enter, such as --data-dir /var/lib/plaza, or run plaza as another user than root",
        account.name,
        closed.display(),
    ))
}

fn lock(dir: &Path) -> anyhow::Result<File> {
    let path = dir.join("lock");
    let mut options = OpenOptions::new();
    let opened = options.create(true).truncate(false).read(true).write(true).mode(0o644).open(&path);
    let mut file = opened.with_context(|| format!("opening {}: was it made by another user?", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            let edge = running(dir).ok().flatten().map_or(String::new(), |found| format!(" at {}", found.edge));
            bail!(
                "a platform already runs on {}{edge} (process {}). Stop it first, or start another beside it with \
                 --data-dir and --port, or with --ephemeral",
                dir.display(),
                pid.trim(),
            );
        }
        Err(TryLockError::Error(error)) => return Err(error).with_context(|| format!("locking {}", path.display())),
    }
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}

/// The secret from the environment, or the installation's own.
fn secret(dir: &Path, fresh: bool) -> anyhow::Result<String> {
    let file = dir.join("secret");
    let text = if let Ok(secret) = std::env::var("PLAZA_SECRET") {
        secret
    } else if let Some(path) = std::env::var_os("PLAZA_SECRET_FILE") {
        fs::read_to_string(&path).with_context(|| format!("PLAZA_SECRET_FILE: {}", path.to_string_lossy()))?
    } else {
        if fresh && !file.exists() {
            write(&file, hex(&kit::seal::random::<32>()).as_bytes())?;
        }
        fs::read_to_string(&file).with_context(|| {
            format!("reading {}: without this file the data beside it cannot be read", file.display())
        })?
    };
    let text = text.trim().to_owned();
    text.parse::<Secret>().map_err(|what| anyhow::anyhow!("the secret {what}"))?;
    Ok(text)
}

fn fingerprint(secret: &str) -> anyhow::Result<String> {
    let secret: Secret = secret.parse().map_err(|what| anyhow::anyhow!("the secret {what}"))?;
    Ok(hex(&secret.derive("fingerprint")[..8]))
}

pub(crate) fn read<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is broken", path.display()))
}

/// Writes a file that only we may read; whoever reads it sees the old content or the new one.
pub(crate) fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let half = path.with_added_extension(format!("{}.part", std::process::id()));
    let written = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&half)?;
        file.write_all(content)?;
        file.sync_data()?;
        fs::rename(&half, path)
    };
    written().with_context(|| format!("writing {}", path.display()))
}
