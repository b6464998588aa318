fn main() -> std::process::ExitCode {
    kit::main::<users::Config, _>("users", users::run)
}
