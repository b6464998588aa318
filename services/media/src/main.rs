fn main() -> std::process::ExitCode {
    kit::main::<media::Config, _>("media", media::run)
}
