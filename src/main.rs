//! The `toolgate` binary: arguments → run.

fn main() -> std::process::ExitCode {
    toolgate::cli::main()
}
