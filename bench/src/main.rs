//! `make bench`: what the mesh costs, as ratios measured in one run. `bench run` starts everything, measures and writes
//! `bench/RESULTS.md`; the other commands are the processes it starts.

mod chat;
mod echo;
mod lists;
mod load;
mod machine;
mod platform;
mod process;
mod report;
mod rounds;
mod run;
mod single;

use std::process::ExitCode;

use clap::Parser;

/// Measures what the mesh costs.
#[derive(Parser)]
enum Command {
    /// Start everything, measure, write the results. Call it through scripts/bench.sh.
    Run(run::Options),
    /// Start everything, fill it with a large community and measure its lists. Call it through scripts/bench.sh.
    Lists(lists::Options),
    /// Start everything and measure chat. Call it through scripts/bench.sh.
    Chat(chat::speed::Options),
    /// Kill processes under people who write, and look for lost messages. Call it through scripts/soak-chat.sh.
    Soak(chat::soak::Options),
    /// Load: GET requests over HTTP/1.1.
    Http(load::Http),
    /// Load: a tiny unary RPC.
    Grpc(load::Grpc),
    /// Load: sockets that say nothing.
    Idle(chat::speed::Idle),
    /// Server: WebSockets that say what they hear.
    WsEcho(chat::speed::Echo),
    /// Server: the same answer as the platform's `users/me`, without gRPC in between.
    Single(single::Options),
    /// Server: the tiny RPC by bare tonic.
    Tonic(echo::Tonic),
    /// Server: the tiny RPC with everything that `kit` puts around it.
    Service(Box<echo::Kit>),
    /// Server: REST in front of the tiny RPC, by `kit`'s client.
    Front(echo::Front),
}

fn main() -> ExitCode {
    let command = Command::parse();
    // One thread of load leaves the other core to the servers; servers have what services have.
    let threads = match command {
        Command::Http(_) | Command::Grpc(_) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    }
    .enable_all()
    .build();
    let outcome = threads.map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            match command {
                Command::Run(options) => run::run(options).await,
                Command::Lists(options) => lists::run(options).await,
                Command::Chat(options) => chat::speed::run(options).await,
                Command::Idle(options) => options.run().await,
                Command::WsEcho(options) => options.run().await,
                Command::Soak(options) => chat::soak::run(options).await,
                Command::Http(options) => options.run().await,
                Command::Grpc(options) => options.run().await,
                Command::Single(options) => single::run(options).await,
                Command::Tonic(options) => options.run().await,
                Command::Service(options) => options.run().await,
                Command::Front(options) => options.run().await,
            }
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
