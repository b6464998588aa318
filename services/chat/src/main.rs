fn main() -> std::process::ExitCode {
    kit::main::<chat::Config, _>("chat", chat::run)
}
