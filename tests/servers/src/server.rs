//! One Redis server.

use crate::{
    Certificates, Result,
    process::{Process, free_port, program},
    until,
};
use nix::sys::signal::Signal;
use redis::{ErrorKind, RedisError, Value};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tempfile::TempDir;

/// Time a server gets to start.
const START: Duration = Duration::from_secs(10);
/// Times that it is started anew because somebody took its port.
const PORTS_TRIED: usize = 5;
/// What it writes, in its folder.
const LOG: &str = "server.log";
/// Time one command of a test gets.
const COMMAND: Duration = Duration::from_secs(5);

/// What kind of server. Without any option: no password, no TLS, nothing saved, on a free port.
#[derive(Clone, Debug, Default)]
pub struct Options {
    args: Vec<String>,
    port: Option<u16>,
    program: Option<PathBuf>,
    password: Option<String>,
    certificates: Option<Certificates>,
    sentinel_config: Option<String>,
}

impl Options {
    /// Nothing but the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// A password of the default user.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.arg("--requirepass", password)
    }

    /// An ACL user, in the words of `ACL SETUSER`: `name on >password ~* +@all`.
    #[must_use]
    pub fn user(mut self, rules: &str) -> Self {
        self.args.push("--user".to_owned());
        self.args.extend(rules.split_whitespace().map(str::to_owned));
        self
    }

    /// The most memory, and what happens then: such as `2mb`, `noeviction`.
    #[must_use]
    pub fn memory(self, most: &str, policy: &str) -> Self {
        self.arg("--maxmemory", most).arg("--maxmemory-policy", policy)
    }

    /// TLS instead of clear text. Clients need no certificate.
    #[must_use]
    pub fn tls(mut self, certificates: &Certificates) -> Self {
        self.certificates = Some(certificates.clone());
        self
    }

    /// Any directive of redis.conf, as on the command line.
    #[must_use]
    pub fn arg(mut self, name: &str, value: &str) -> Self {
        self.args.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// This port, for a server that takes the place of another one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Another program that behaves like `redis-server`.
    #[must_use]
    pub fn program(mut self, program: &Path) -> Self {
        self.program = Some(program.to_owned());
        self
    }

    /// The password that this crate's own commands use.
    pub(crate) fn log_in(&mut self, password: &str) {
        self.password = Some(password.to_owned());
    }

    /// A sentinel instead, with these lines in its file.
    pub(crate) fn sentinel(config: String) -> Self {
        Self { sentinel_config: Some(config), ..Self::default() }
    }
}

/// A running server, or one that was killed and can be started again on its port.
#[derive(Debug)]
pub struct Server {
    process: Process,
    port: u16,
    options: Options,
    folder: TempDir,
}

impl Server {
    /// Starts it and waits until it answers.
    pub fn start(options: &Options) -> Result<Self> {
        let mut folder = tempfile::tempdir()?;
        let tries = if options.port.is_some() { 1 } else { PORTS_TRIED };
        let mut last = None;
        for _ in 0..tries {
            let port = options.port.map_or_else(free_port, Ok)?;
            let process = launch(options, port, folder.path())?;
            let mut server = Self { process, port, options: options.clone(), folder };
            match server.wait_ready() {
                Ok(()) => return Ok(server),
                Err(why) if server.log().contains("Address already in use") => last = Some(why),
                Err(why) => return Err(why),
            }
            std::fs::remove_file(server.folder.path().join(LOG))?;
            folder = server.folder;
        }
        Err(last.unwrap_or_else(|| "no port".into()))
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `redis://127.0.0.1:port`, or `rediss://`, without a login.
    pub fn url(&self) -> String {
        let scheme = if self.options.certificates.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://{}", self.address())
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it has written.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result {
        self.process.kill()
    }

    /// SIGTERM: it says goodbye, and the port is closed afterwards.
    pub fn terminate(&mut self) -> Result {
        self.process.signal(Signal::SIGTERM)?;
        until("the server has ended", START, || self.process.has_ended().then_some(()))
    }

    /// SIGSTOP: it keeps its sockets and answers nothing.
    pub fn stop(&self) -> Result {
        self.process.signal(Signal::SIGSTOP)
    }

    /// SIGCONT.
    pub fn cont(&self) -> Result {
        self.process.signal(Signal::SIGCONT)
    }

    /// Starts it again on its port, and waits until it answers.
    pub fn restart(&mut self) -> Result {
        let _ = self.process.kill();
        self.process = launch(&self.options, self.port, self.folder.path())?;
        self.wait_ready()
    }

    /// Forgets all data and all scripts.
    pub fn flush(&self) -> Result {
        self.command(&["FLUSHALL"])?;
        self.command(&["SCRIPT", "FLUSH"])?;
        Ok(())
    }

    /// One command on a connection of its own.
    pub fn command(&self, words: &[&str]) -> Result<Value> {
        self.try_command(words).map_err(|why| format!("{words:?} on port {}: {why}", self.port).into())
    }

    /// A field of `INFO`.
    pub fn info(&self, field: &str) -> Result<String> {
        let text: String = redis::from_redis_value(self.command(&["INFO", "everything"])?)?;
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.map(|value| value.trim().to_owned()).ok_or_else(|| format!("INFO has no {field}").into())
    }

    fn try_command(&self, words: &[&str]) -> std::result::Result<Value, RedisError> {
        let mut connection = self.connection()?;
        let mut command = redis::cmd(words.first().copied().unwrap_or("PING"));
        for word in words.iter().skip(1) {
            command.arg(*word);
        }
        command.query(&mut connection)
    }

    fn connection(&self) -> std::result::Result<redis::Connection, RedisError> {
        let mut settings = redis::RedisConnectionInfo::default();
        if let Some(password) = &self.options.password {
            settings = settings.set_password(password);
        }
        let place = redis::ConnectionAddr::Tcp("127.0.0.1".to_owned(), self.port);
        let info = redis::IntoConnectionInfo::into_connection_info(place)?.set_redis_settings(settings);
        let connection = redis::Client::open(info)?.get_connection_with_timeout(COMMAND)?;
        connection.set_read_timeout(Some(COMMAND))?;
        connection.set_write_timeout(Some(COMMAND))?;
        Ok(connection)
    }

    fn wait_ready(&mut self) -> Result {
        let mut ended = false;
        let ready = until("the server answers", START, || {
            ended = self.process.has_ended();
            (ended || self.answers()).then_some(())
        });
        match ready {
            Ok(()) if !ended => Ok(()),
            Ok(()) => Err(format!("the server ended at its start:\n{}", self.log()).into()),
            Err(why) => Err(format!("{why}; its log:\n{}", self.log()).into()),
        }
    }

    fn answers(&self) -> bool {
        if self.options.certificates.is_some() {
            return std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok();
        }
        match self.try_command(&["PING"]) {
            Ok(_) => true,
            // A server that wants a login is up, one that reads its data is not.
            Err(why) => why.code() == Some("NOAUTH") || matches!(why.kind(), ErrorKind::AuthenticationFailed),
        }
    }
}

fn launch(options: &Options, port: u16, folder: &Path) -> Result<Process> {
    let redis = match &options.program {
        Some(program) => program.clone(),
        None => match std::env::var_os("HOLDFAST_REDIS_SERVER") {
            Some(program) => PathBuf::from(program),
            None => program("redis-server")?,
        },
    };
    let mut command = Command::new(redis);
    if let Some(config) = &options.sentinel_config {
        let file = folder.join("sentinel.conf");
        // A sentinel writes what it learned into its file; started again it goes on from there.
        if !file.exists() {
            std::fs::write(&file, config)?;
        }
        command.arg(&file).arg("--sentinel");
    }
    let text = port.to_string();
    let plain = if options.certificates.is_some() { "0" } else { &text };
    command.current_dir(folder).args(["--port", plain, "--bind", "127.0.0.1"]);
    if options.sentinel_config.is_none() {
        command.args(["--save", "", "--repl-diskless-sync-delay", "0", "--enable-debug-command", "yes"]);
    }
    if let Some(certificates) = &options.certificates {
        command
            .args(["--tls-port", &text, "--tls-auth-clients", "no", "--tls-cert-file"])
            .arg(certificates.cert());
        command
            .arg("--tls-key-file")
            .arg(certificates.key())
            .arg("--tls-ca-cert-file")
            .arg(certificates.ca());
    }
    command.args(&options.args);
    let pid_file = folder.join("pid");
    command.arg("--pidfile").arg(&pid_file);
    Process::start(&mut command, folder.join(LOG), pid_file)
}
