//! The guest programs written in Rust, one subcommand each; a file here is a program.

use std::process::ExitCode;

mod std_channels;
mod std_files;
mod std_process;
mod std_threads;
mod std_time;
mod std_unix_sockets;

fn main() -> ExitCode {
    guest_tests::check::run(&[
        ("std_channels", std_channels::run),
        ("std_files", std_files::run),
        ("std_process", std_process::run),
        ("std_threads", std_threads::run),
        ("std_time", std_time::run),
        ("std_unix_sockets", std_unix_sockets::run),
    ])
}
