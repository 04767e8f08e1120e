//! One thing to ask of the server: a command, or a script by its digest.

use std::sync::OnceLock;

use redis::ToRedisArgs;

/// A Lua script. It is sent by its digest (EVALSHA), and in full only where the server does not know it: after a start, a flush, a failover.
pub(crate) struct Script {
    source: &'static str,
    digest: OnceLock<redis::Script>,
}

impl Script {
    /// For a `static`: the digest is computed when it is first used.
    pub(crate) const fn new(source: &'static str) -> Self {
        Self { source, digest: OnceLock::new() }
    }

    fn digest(&self) -> &str {
        self.digest.get_or_init(|| redis::Script::new(self.source)).get_hash()
    }
}

/// A command with its arguments. Its `Debug` shows the name only.
#[derive(Clone)]
pub(crate) struct Command {
    form: Form,
    repeatable: bool,
}

#[derive(Clone)]
enum Form {
    Plain { name: &'static str, command: redis::Cmd },
    Script { script: &'static Script, keys: Vec<Vec<u8>>, args: Vec<Vec<u8>> },
}

impl Command {
    /// A command by name, such as `GET`, its arguments added with [`Command::arg`].
    pub(crate) fn new(name: &'static str) -> Self {
        Self { form: Form::Plain { name, command: redis::cmd(name) }, repeatable: false }
    }

    /// A script on keys of one hash slot.
    pub(crate) fn script(script: &'static Script, keys: Vec<Vec<u8>>, args: Vec<Vec<u8>>) -> Self {
        Self { form: Form::Script { script, keys, args }, repeatable: false }
    }

    /// Appends an argument; to a script, one more of its arguments.
    pub(crate) fn arg(mut self, arg: impl ToRedisArgs) -> Self {
        match &mut self.form {
            Form::Plain { command, .. } => {
                command.arg(arg);
            }
            Form::Script { args, .. } => args.extend(arg.to_redis_args()),
        }
        self
    }

    /// Doing it twice is as good as once. Only such a command is sent again when its answer did not come; one that the server
    /// refused without doing it is always sent again while there is time.
    pub(crate) fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    pub(crate) fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    /// What goes to the server. `in_full`: the server does not know the script.
    pub(crate) fn packed(&self, in_full: bool) -> redis::Cmd {
        match &self.form {
            Form::Plain { command, .. } => command.clone(),
            Form::Script { script, keys, args } => {
                let mut command = redis::cmd(if in_full { "EVAL" } else { "EVALSHA" });
                command
                    .arg(if in_full { script.source } else { script.digest() })
                    .arg(keys.len())
                    .arg(keys)
                    .arg(args);
                command
            }
        }
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.form {
            Form::Plain { name, .. } => write!(f, "{name}"),
            Form::Script { .. } => write!(f, "EVALSHA"),
        }
    }
}
