//! The program in `tests/peers/yamux`.

use core::net::SocketAddr;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

/// The program, built once.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("../target"), |target| root.join("..").join(target));
    let program = target.join("peers/yamux");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(root.join("peers/yamux"))
        .status()
        .unwrap_or_else(|error| panic!("go is missing ({error}): run .ci/peers-install"));
    assert!(built.success(), "go build failed: see above");
    program
});

/// One run of the program.
pub(crate) struct Go {
    child: Child,
}

impl Go {
    /// A server; where it listens.
    pub(crate) fn serve() -> (Self, SocketAddr) {
        let mut child = Command::new(&*PROGRAM)
            .arg("serve")
            .stdout(Stdio::piped())
            .spawn()
            .expect("it was just built");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a piped standard output");
        BufReader::new(stdout).read_line(&mut line).expect("it says where it listens");
        let address = line.trim().parse().expect("an address");
        (Self { child }, address)
    }

    /// A user of the streams of a server.
    pub(crate) fn load(at: SocketAddr, streams: usize, bytes: usize) -> Self {
        let mut command = Command::new(&*PROGRAM);
        command.arg("load").arg(at.to_string());
        command.arg(streams.to_string()).arg(bytes.to_string());
        Self { child: command.spawn().expect("it was just built") }
    }

    /// It must have found everything as it should be.
    pub(crate) fn wait(mut self) {
        let status = self.child.wait().expect("it is ours");
        assert!(status.success(), "the Go program complains: see above");
    }
}

impl Drop for Go {
    /// No process is left of a test that failed.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
