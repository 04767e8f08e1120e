//! A client of stdio: one process of the gateway, many calls at once.

use super::{
    Era, Row,
    load::{INITIALIZE, INITIALIZED, STEP, Tally, call, is_answer},
    site::Site,
};
use crate::{Error, process};
use std::{
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout},
    time::timeout,
};

/// A gateway that its client started.
pub(super) struct Program {
    child: Child,
    id: u32,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    calls: Vec<String>,
}

impl Program {
    /// Starts it; `at_once` calls will be in flight.
    pub(super) async fn start(site: &Site, row: &Row, at_once: u16) -> Result<Self, Error> {
        let mut command = tokio::process::Command::from(site.stdio(row.server)?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let id = child.id().ok_or("no process")?;
        let (input, output) = child.stdin.take().zip(child.stdout.take()).ok_or("no pipes")?;
        let calls = (0..usize::from(at_once)).map(|id| call(id, row.era) + "\n").collect();
        let mut program = Self { child, id, input, output: BufReader::new(output), calls };
        if row.era == Era::Session {
            program.say(&format!("{INITIALIZE}\n")).await?;
            program.line().await?;
            program.say(&format!("{INITIALIZED}\n")).await?;
        }
        // It serves: what is measured is not its start.
        let first = program.calls[0].clone();
        program.say(&first).await?;
        let answer = program.line().await?;
        if is_answer(answer.as_bytes()) { Ok(program) } else { Err(answer.into()) }
    }

    async fn say(&mut self, text: &str) -> Result<(), Error> {
        Ok(timeout(STEP, self.input.write_all(text.as_bytes())).await??)
    }

    async fn line(&mut self) -> Result<String, Error> {
        let mut line = String::new();
        if timeout(STEP, self.output.read_line(&mut line)).await?? == 0 {
            return Err("the gateway ended".into());
        }
        Ok(line)
    }

    /// CPU time of the process.
    pub(super) fn cpu(&self) -> Duration {
        process::cpu_of(self.id)
    }

    /// Keeps all calls in flight for so long, and waits for the last ones.
    pub(super) async fn call_for(&mut self, wanted: Duration) -> Result<Tally, Error> {
        let (mut tally, end) = (Tally::new()?, Instant::now() + wanted);
        let mut began = vec![Instant::now(); self.calls.len()];
        let all = self.calls.concat();
        self.say(&all).await?;
        let mut open = self.calls.len();
        while open > 0 {
            let line = self.line().await?;
            let index = id(&line).filter(|id| *id < began.len()).ok_or_else(|| line.clone())?;
            tally.add(began[index].elapsed(), is_answer(line.as_bytes()));
            if Instant::now() < end {
                began[index] = Instant::now();
                let again = self.calls[index].clone();
                self.say(&again).await?;
            } else {
                open -= 1;
            }
        }
        Ok(tally)
    }

    /// Closes its input and waits for its end.
    pub(super) async fn end(self) -> Result<(), Error> {
        let Self { mut child, input, .. } = self;
        drop(input);
        let status = timeout(STEP, child.wait()).await??;
        if status.success() { Ok(()) } else { Err(format!("the gateway ended with {status}").into()) }
    }
}

/// The id of an answer.
fn id(line: &str) -> Option<usize> {
    let (_, rest) = line.split_once("\"id\":")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
