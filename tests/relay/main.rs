//! A program that is an MCP server for whoever started it: its standard streams are a connection to the test that plays the server.

#![allow(clippy::print_stderr, reason = "the last words of a program that cannot do its work")]

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    process::ExitCode,
};

/// Bytes that are carried at once.
const CHUNK: usize = 16 * 1024;

fn main() -> ExitCode {
    let Some(address) = std::env::args().nth(1) else {
        eprintln!("usage: holdfast-test-relay ADDRESS");
        return ExitCode::FAILURE;
    };
    match relay(&address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("holdfast-test-relay: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Ends when the test has closed its side; the end of the input is passed on to it.
fn relay(address: &str) -> io::Result<()> {
    let mut towards = TcpStream::connect(address)?;
    towards.set_nodelay(true)?;
    let mut from = towards.try_clone()?;
    std::thread::spawn(move || {
        // Whoever stopped talking will not be told.
        let _ = carry(&mut io::stdin(), &mut towards);
        let _ = towards.shutdown(Shutdown::Write);
    });
    carry(&mut from, &mut io::stdout())
}

/// Every byte as it comes.
fn carry(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = from.read(&mut chunk)?;
        if length == 0 {
            return Ok(());
        }
        to.write_all(&chunk[..length])?;
        to.flush()?;
    }
}
