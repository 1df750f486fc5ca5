//! A broker in a process of its own, and commands that are run against it.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A broker with its name server, which goes when the test ends.
pub(crate) struct Broker {
    process: Child,
    pub(crate) name_server: String,
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Broker {
    /// With ports of its choice, and topics only as they are made.
    pub(crate) fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_turbopump"))
            .args(["broker", "--namesrv", "127.0.0.1:0", "--listen", "127.0.0.1:0"])
            .arg("--no-auto-create")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let out = process.stdout.as_mut().expect("it is piped");
        BufReader::new(out).read_line(&mut line).expect("it says that it is ready");
        let address = line.split_once("namesrv=").and_then(|(_, rest)| rest.split_once(' '));
        let (name_server, _) = address.expect("the line has an address");
        Self { process, name_server: name_server.into() }
    }
}

/// What a command has said, and how it has ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) errors: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}{}", self.out, self.errors);
        self
    }
}

/// Runs the program with nobody at its terminal; none of the environment's settings reach it but
/// those that are given.
pub(crate) fn run(arguments: &[&str], variables: &[(&str, &str)], input: &str) -> Ran {
    run_in(Path::new("."), arguments, variables, input)
}

/// The same, in a folder.
pub(crate) fn run_in(
    folder: &Path,
    arguments: &[&str],
    variables: &[(&str, &str)],
    input: &str,
) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_turbopump"));
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("TURBOPUMP_") {
            command.env_remove(name);
        }
    }
    let mut process = command
        .args(arguments)
        .current_dir(folder)
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = process.stdin.take().expect("it is piped");
    // It may have ended without having read it.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = process.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let code = output.status.code().expect("it ends by itself");
    Ran { code, out: text(output.stdout), errors: text(output.stderr) }
}

/// A file of settings, which goes when the test ends.
pub(crate) struct Settings(PathBuf);

impl Settings {
    pub(crate) fn new(name: &str, text: &str) -> Self {
        let file = format!("turbopump-cli-{name}-{}.toml", std::process::id());
        let path = env::temp_dir().join(file);
        fs::write(&path, text).expect("it can be written");
        Self(path)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("a path of ours")
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
