//! `plaza`: the whole platform on one machine, and what its operator needs beside it.

mod chat;
mod daemon;
mod demo;
mod doctor;
mod events;
mod import;
mod installation;
mod pki;
mod ports;
mod postgres;
mod redis_server;
mod report;
mod services;
mod up;

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand, ValueEnum};

/// Plaza: one platform behind Agrovet and Conectar.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the whole platform on this machine until Ctrl-C.
    Up(up::Options),
    /// Say what is wrong with this machine or with a configuration; takes the flags of `up`.
    Doctor(doctor::Options),
    /// Make the demo people in a running platform. Again: only what is missing.
    Seed(demo::Options),
    /// Bring in what another platform had, from its dump.
    Import(import::Options),
    /// Events that could not be applied, and events as they pass.
    Events(events::Options),
    /// Chat as one person of a running platform, in a terminal or in a pipe.
    Chat(chat::Options),
    /// Print the OpenAPI document of one community's REST API.
    Openapi { dialect: Dialect },
}

#[derive(Clone, Copy, ValueEnum)]
enum Dialect {
    Agrovet,
    Conectar,
}

fn main() -> ExitCode {
    if let Some(code) = services::called_by_name() {
        return code;
    }
    let began = Instant::now();
    let cli = Cli::parse();
    // Every TLS connection of the process uses it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("plaza: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Up(options) => up::run(options, began).await.map(|()| ExitCode::SUCCESS),
            Command::Doctor(options) => doctor::run(options).await,
            Command::Seed(options) => demo::run(options).await.map(|()| ExitCode::SUCCESS),
            Command::Import(options) => import::run(options).await,
            Command::Events(options) => events::run(options).await,
            Command::Chat(options) => chat::run(options).await,
            Command::Openapi { dialect } => openapi(dialect).map(|()| ExitCode::SUCCESS),
        }
    });
    kit::telemetry::shutdown();
    // Whatever still blocks a thread, such as a name being looked up, shall not hold up the exit.
    runtime.shutdown_background();
    outcome.unwrap_or_else(|error| {
        eprintln!("plaza: {error:#}");
        ExitCode::FAILURE
    })
}

fn openapi(dialect: Dialect) -> anyhow::Result<()> {
    let document = match dialect {
        Dialect::Agrovet => edge_gateway::docs::agrovet(),
        Dialect::Conectar => edge_gateway::docs::conectar(),
    };
    report::print(document.to_pretty_json()?);
    Ok(())
}
