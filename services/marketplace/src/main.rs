fn main() -> std::process::ExitCode {
    kit::main::<marketplace::Config, _>("marketplace", marketplace::run)
}
