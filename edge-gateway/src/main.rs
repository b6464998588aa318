//! The edge as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    kit::main::<edge_gateway::Config, _>("edge-gateway", edge_gateway::run)
}
