//! The whole measurement, from an idle machine to a file of results.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use proto::access::v1::Role;
use sqlx::{Connection, PgConnection};

use crate::platform::{self, EDGE, Ground, Platform, SERVICES, Separate, SignedIn, Somebody};
use crate::process::{self, Memory, Process, answers, free_port};
use crate::report::{Report, Start};
use crate::rounds::{self, Load, Plan, Series, Subject, median};
use crate::{machine, single};

/// As many connections as make both cores busy without queueing for long.
const CONNECTIONS: usize = 16;
/// What a service's pool has.
const POOL: usize = 8;
const AGROVET: &str = "/api/auth/users/me/";
const CONECTAR: &str = "/api/v1/users/me";
const ADS: &str = "/api/adds/?page_size=20";
/// People who sell, and ads of each of them: a page shows twenty people, and there is another one.
const SELLERS: (usize, usize) = (20, 2);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// One short round of each: shows that everything runs, and measures nothing. Writes no file.
    #[arg(long)]
    quick: bool,
    /// A PostgreSQL server that we may create databases on.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    redis_url: String,
    /// Where the results are written.
    #[arg(long, default_value = "bench/RESULTS.md")]
    results: PathBuf,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let binaries = std::env::current_exe()?.parent().context("a program lies in a folder")?.to_owned();
    ensure!(
        options.quick || !cfg!(debug_assertions),
        "a debug build measures nothing: run `make bench`, or add --quick"
    );
    platform::check(&binaries)?;
    ensure!(
        Command::new("pgbench").arg("--version").output().is_ok(),
        "pgbench is not in PATH: start this by scripts/bench.sh, which puts PostgreSQL's programs there"
    );
    let dir = std::env::temp_dir().join(format!("plaza-bench.{}", std::process::id()));
    fs::create_dir(&dir).with_context(|| format!("creating {}", dir.display()))?;
    let ground = Ground {
        binaries,
        dir: dir.clone(),
        database_url: options.database_url.clone(),
        redis_url: options.redis_url.clone(),
    };
    // Whatever ends this, what was started is stopped by being dropped.
    tokio::spawn(process::watch_signals());
    let outcome = measure(&options, &ground).await;
    let _ = fs::remove_dir_all(&dir);
    let report = outcome?;
    println!("{}", report.tables());
    if options.quick {
        say("quick: nothing was written");
    } else {
        report.write(&options.results)?;
        say(&format!("written to {}", options.results.display()));
    }
    Ok(())
}

pub(crate) fn say(text: &str) {
    eprintln!("» {text}");
}

async fn measure(options: &Options, ground: &Ground) -> anyhow::Result<Report> {
    let plan = Plan {
        rounds: if options.quick { 1 } else { 5 },
        seconds: if options.quick { 1 } else { 3 },
        connections: CONNECTIONS,
    };
    let (version, postmaster) = postgres(&ground.database_url).await?;
    let machine = machine::describe(&version);
    let idle = Duration::from_secs(if options.quick { 3 } else { 30 });

    say("starting the platform, once as separate processes and once as one");
    let (separate, many) = Separate::start(ground).await?;
    let (one, _) = platform::start_plaza(ground)?;

    say(&format!("waiting {} s for the memory of idle processes", idle.as_secs()));
    process::pause(idle)?;
    let memory = memory(&many, &one)?;

    say("starting each service again until it is ready");
    let mut starts = Vec::new();
    for name in SERVICES {
        let times = (0..plan.rounds).map(|_| separate.time_to_ready(name)).collect::<anyhow::Result<Vec<_>>>()?;
        let ms: Vec<_> = times.iter().map(|time| time.as_secs_f64() * 1000.0).collect();
        starts.push(Start { name, ms: median(ms) });
    }

    say("users/me and a list of ads through the platform and through one process");
    let (reads, ads) = reads(ground, &many, &one, plan, postmaster).await?;

    say("a tiny RPC by tonic, by kit, and behind REST");
    drop((many, one));
    let echoes = echoes(ground, plan, postmaster).await?;
    Ok(Report { machine, plan, idle, memory, starts, reads, ads, echoes })
}

/// PostgreSQL's version and its first process.
pub(crate) async fn postgres(url: &str) -> anyhow::Result<(String, u32)> {
    let mut connection = PgConnection::connect(url).await.context("connecting to PostgreSQL")?;
    let version: String = sqlx::query_scalar("show server_version").fetch_one(&mut connection).await?;
    let folder: String = sqlx::query_scalar("show data_directory").fetch_one(&mut connection).await?;
    let file = Path::new(&folder).join("postmaster.pid");
    let pid = fs::read_to_string(&file).with_context(|| {
        format!("{}: the CPU of PostgreSQL can be read only on this machine, by its user or by root", file.display())
    })?;
    let pid = pid.lines().next().and_then(|line| line.trim().parse().ok()).context("PostgreSQL's process id")?;
    let buffers: String = sqlx::query_scalar("show shared_buffers").fetch_one(&mut connection).await?;
    let version = format!("{} with {buffers} of buffers", version.split(' ').next().unwrap_or_default());
    Ok((version, pid))
}

fn memory(many: &Platform, one: &Platform) -> anyhow::Result<Vec<(String, Memory)>> {
    let processes = many.processes.iter().chain(&one.processes);
    processes.map(|process| Ok((process.name.clone(), process::memory(process.pid)?))).collect()
}

async fn reads(
    ground: &Ground,
    many: &Platform,
    one: &Platform,
    plan: Plan,
    postmaster: u32,
) -> anyhow::Result<(Vec<Series>, Vec<Series>)> {
    let buyer = Somebody { phone: Some("50588887777".into()), email: None, role: Role::Consumer };
    let client = Somebody { phone: None, email: Some("ana@example.com".into()), role: Role::Client };
    let (buyer_of_many, client_of_many) = (many.register(&buyer).await?, many.register(&client).await?);
    let (buyer_of_one, client_of_one) = (one.register(&buyer).await?, one.register(&client).await?);
    for platform in [many, one] {
        let (sellers, of_each) = SELLERS;
        platform.fill_with_ads(sellers, of_each).await?;
    }

    let address = free_port()?;
    let database_url = ground.database("bench_users");
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("single").args(["--listen", &address.to_string(), "--edge", &many.edge.to_string()]);
    command.args(["--database-url", &database_url, "--database-pool", &POOL.to_string()]);
    for name in ["profiles", "marketplace", "media"] {
        command.arg(format!("--{name}-url")).arg(ground.database(&format!("bench_{name}")));
    }
    let mut single = Process::start("single", &mut command, &ground.dir)?;
    // It has no readiness of its own; a refused request says as well that it listens.
    single.wait_until(Duration::from_secs(10), || std::net::TcpStream::connect(address).is_ok())?;

    let get = |target, path, signed_in: &SignedIn| Load::Http { target, path, token: Some(signed_in.token.clone()) };
    let named = |platform: &Platform| platform.processes.iter().map(|p| (p.name.clone(), p.pid)).collect::<Vec<_>>();
    let yardstick = vec![(single.name.clone(), single.pid)];
    let script = ground.dir.join("select.sql");
    fs::write(&script, format!("{};\n", single::FETCH_PERSON.replace("$1", ":id")))?;
    let subject = |name: &str, servers, load| Subject { name: name.to_owned(), servers, load };
    let subjects = vec![
        subject("one axum process, Agrovet", yardstick.clone(), get(address, AGROVET, &buyer_of_many)),
        subject("separate processes, Agrovet", named(many), get(many.edge, AGROVET, &buyer_of_many)),
        subject("plaza up, Agrovet", named(one), get(one.edge, AGROVET, &buyer_of_one)),
        subject("one axum process, Conectar", yardstick.clone(), get(address, CONECTAR, &client_of_many)),
        subject("separate processes, Conectar", named(many), get(many.edge, CONECTAR, &client_of_many)),
        subject("plaza up, Conectar", named(one), get(one.edge, CONECTAR, &client_of_one)),
        subject(
            "pgbench, the same select",
            Vec::new(),
            Load::Pgbench { script, url: database_url, id: buyer_of_many.id.clone(), clients: POOL },
        ),
    ];
    // A profile is made when the news of a registration arrives.
    for of_platform in [&subjects[1], &subjects[2]] {
        let until = Instant::now() + Duration::from_secs(10);
        while body(&of_platform.load)?["consumer_profile"].is_null() {
            ensure!(Instant::now() < until, "no profile was made");
            process::pause(Duration::from_millis(50))?;
        }
    }
    same_answer(&subjects[0], &subjects[1])?;
    same_answer(&subjects[3], &subjects[4])?;
    let ads = vec![
        subject("one axum process", yardstick, get(address, ADS, &buyer_of_many)),
        subject("separate processes", named(many), get(many.edge, ADS, &buyer_of_many)),
        subject("plaza up", named(one), get(one.edge, ADS, &buyer_of_one)),
    ];
    same_answer(&ads[0], &ads[1])?;
    Ok((rounds::run(subjects, plan, postmaster)?, rounds::run(ads, plan, postmaster)?))
}

/// A comparison of two programs that answer different things would be worth nothing.
fn same_answer(single: &Subject, platform: &Subject) -> anyhow::Result<()> {
    let (ours, theirs) = (body(&single.load)?, body(&platform.load)?);
    ensure!(ours == theirs, "the answers differ:\n{} {ours}\n{} {theirs}", single.name, platform.name);
    Ok(())
}

fn body(load: &Load) -> anyhow::Result<serde_json::Value> {
    use std::io::{Read, Write};
    let Load::Http { target, path, token } = load else { anyhow::bail!("not a GET") };
    let mut stream = std::net::TcpStream::connect(target)?;
    let token = token.as_deref().unwrap_or_default();
    // HTTP/1.0, so that the body comes in one piece and ends with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n")?;
    let mut answer = String::new();
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer has a head")?;
    serde_json::from_str(body).with_context(|| format!("{path} answered {head}\n{body}"))
}

async fn echoes(ground: &Ground, plan: Plan, postmaster: u32) -> anyhow::Result<Vec<Series>> {
    let start = |name: &str, arguments: &[String]| -> anyhow::Result<Process> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments);
        Process::start(name, &mut command, &ground.dir)
    };
    let arguments = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let certificate = |name: &str| {
        let path = |file: String| ground.dir.join(file).to_string_lossy().into_owned();
        arguments(&[
            "--tls-ca",
            &path("ca.pem".into()),
            "--tls-cert",
            &path(format!("{name}.pem")),
            "--tls-key",
            &path(format!("{name}.key")),
        ])
    };

    let (tonic, service, front) = (free_port()?, free_port()?, free_port()?);
    let (secure_service, secure_front) = (free_port()?, free_port()?);
    let service_arguments = |listen: &str| {
        arguments(&[
            "service",
            "--secret",
            "a secret of the bench and of nothing else",
            "--listen",
            listen,
            "--database-url",
            "postgres://nobody@127.0.0.1/nothing",
        ])
    };
    let front_arguments = |listen: &str, peer: &str| arguments(&["front", "--listen", listen, "--peer", peer]);
    let mut processes = vec![
        (start("tonic", &arguments(&["tonic", "--listen", &tonic.to_string()]))?, tonic),
        (start("service", &service_arguments(&service.to_string()))?, service),
        (start("front", &front_arguments(&front.to_string(), &service.to_string()))?, front),
        (
            start("secure-service", &[service_arguments(&secure_service.to_string()), certificate("auth")].concat())?,
            secure_service,
        ),
        (
            start(
                "secure-front",
                &[front_arguments(&secure_front.to_string(), &secure_service.to_string()), certificate(EDGE)].concat(),
            )?,
            secure_front,
        ),
    ];
    for (process, address) in &mut processes {
        process.wait_until(Duration::from_secs(10), || std::net::TcpStream::connect(*address).is_ok())?;
    }
    for address in [front, secure_front] {
        ensure!(answers(address, "/echo"), "the echo at {address} answers no 200");
    }

    let server = |at: &[usize]| at.iter().map(|at| (processes[*at].0.name.clone(), processes[*at].0.pid)).collect();
    let rest = |target| Load::Http { target, path: "/echo", token: None };
    let subject = |name: &str, servers, load| Subject { name: name.to_owned(), servers, load };
    let subjects = vec![
        subject("tonic", server(&[0]), Load::Grpc { target: tonic, connections: CONNECTIONS, streams: 1 }),
        subject(
            "tonic, 2 connections of 8 streams",
            server(&[0]),
            Load::Grpc { target: tonic, connections: 2, streams: CONNECTIONS / 2 },
        ),
        subject("kit's server", server(&[1]), Load::Grpc { target: service, connections: CONNECTIONS, streams: 1 }),
        subject("REST → kit → kit's server", server(&[2, 1]), rest(front)),
        subject("the same with mutual TLS", server(&[4, 3]), rest(secure_front)),
    ];
    rounds::run(subjects, plan, postmaster)
}
