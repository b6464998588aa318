fn main() -> std::process::ExitCode {
    kit::main::<profiles::Config, _>("profiles", profiles::run)
}
