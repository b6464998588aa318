fn main() -> std::process::ExitCode {
    kit::main::<forum::Config, _>("forum", forum::run)
}
