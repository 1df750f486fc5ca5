"""What check.py and load.py share: where things are, building the clients, a broker of ours."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
OUT = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "peers/clients"
JARS = OUT / "jars"
CLASSES = OUT / "classes"
GO_CLIENT = OUT / "go-client"
# Chosen so that nothing decided is checked: Apache's broker notes decisions within 3 s.
TRANSACTION_CHECK_MS = 1_000
TRANSACTION_TIMEOUT_MS = 4_000


def build():
    """Compiles both clients; the compilers know what is up to date, or are quick."""
    if not any(JARS.glob("rocketmq-tools-*.jar")):
        raise SystemExit(f"no jars in {JARS}: run .ci/peers-install")
    subprocess.run(["go", "build", "-o", str(GO_CLIENT), "."], cwd=HERE / "go", check=True)
    sources = sorted(str(path) for path in (HERE / "java/src").glob("*.java"))
    shutil.rmtree(CLASSES, ignore_errors=True)
    # The jars name annotations that nobody has; that is none of our business.
    lint = "-Xlint:all,-classfile,-path"
    command = ["javac", lint, "-d", str(CLASSES), "-cp", f"{JARS}/*", *sources]
    told = subprocess.run(command, capture_output=True, text=True)
    if told.returncode != 0:
        raise SystemExit(told.stderr)


# What all of Java's clients are started with, besides.
JAVA_OPTIONS = []


def java(home, main, *arguments, options=()):
    """The command that runs `main`; logs and offsets of the client go to `home`."""
    options = [*JAVA_OPTIONS, *options]
    return [
        "java", f"-Duser.home={home}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *options,
        "-cp", f"{CLASSES}:{JARS}/*", main, *arguments,
    ]


def encrypt(folder):
    """Certificates for both sides, in `folder`; Java's clients use theirs from now on. The options
    of a broker that takes nobody else."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Own")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for who in ("broker", "client"):
        openssl("req", *key, "-keyout", f"{who}.key", "-out", f"{who}.csr", "-subj", f"/CN={who}")
        openssl("x509", "-req", "-in", f"{who}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-CAcreateserial", "-extfile", "names", "-out", f"{who}.pem")
    JAVA_OPTIONS.extend([
        "-Dtls.enable=true", "-Dtls.test.mode.enable=false", "-Dtls.client.authServer=true",
        f"-Dtls.client.trustCertPath={folder}/ca.pem",
        f"-Dtls.client.certPath={folder}/client.pem", f"-Dtls.client.keyPath={folder}/client.key",
    ])
    return ["--tls", "enforcing", "--tls-certificate", f"{folder}/broker.pem",
            "--tls-key", f"{folder}/broker.key", "--tls-client-ca", f"{folder}/ca.pem"]


def environment(home):
    """Go's client writes to the home folder, mqadmin wants a folder of RocketMQ's."""
    unset = {name: value for name, value in os.environ.items() if name != "NAMESRV_ADDR"}
    return {**unset, "HOME": str(home), "ROCKETMQ_HOME": str(home)}


class TooLate(Exception):
    """Something did not come within its time."""


class Lines:
    """A process's lines as they come, read by a thread so that waits can have an end."""

    def __init__(self, stream):
        self.lines = []
        self.changed = threading.Condition()
        self.over = False
        threading.Thread(target=self.read, args=(stream,), daemon=True).start()

    def read(self, stream):
        for line in stream:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.over = True
            self.changed.notify_all()

    def wait(self, what, look, seconds):
        """What `look` makes of the lines, once it makes anything of them."""
        end = time.monotonic() + seconds
        with self.changed:
            while not (found := look(self.lines)):
                left = end - time.monotonic()
                if left <= 0 or self.over:
                    why = "its output ended" if self.over else f"not within {seconds} s"
                    raise TooLate(f"{why}, without {what}; the last lines: {self.lines[-20:]}")
                self.changed.wait(left)
            return found


def addresses(line):
    """Name server and broker of a line like `ready namesrv=127.0.0.1:1 broker=127.0.0.1:2`."""
    found = re.findall(r"[\w.\[\]:-]+:\d+", line)
    if len(found) != 2:
        raise SystemExit(f"not two addresses: {line!r}")
    named = re.search(r"namesrv[= ]*([\w.\[\]:-]+:\d+)", line)
    namesrv = named.group(1) if named else found[0]
    return namesrv, next(address for address in found if address != namesrv)


@contextlib.contextmanager
def broker(program, *options):
    """A broker of ours on ports of its choice: the process, its name server, its address."""
    command = [
        str(program), "broker", "--namesrv", "127.0.0.1:0", "--listen", "127.0.0.1:0",
        "--transaction-check-ms", str(TRANSACTION_CHECK_MS),
        "--transaction-timeout-ms", str(TRANSACTION_TIMEOUT_MS), *options,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        ready = Lines(process.stdout).wait("a line `ready`", lambda lines: next(
            (line for line in lines if line.startswith("ready ")), None), 20)
        yield process, *addresses(ready)
        if process.poll() is not None:
            raise SystemExit(f"the broker ended by itself with {process.returncode}")
        process.send_signal(signal.SIGTERM)
        if process.wait(20) != 0:
            raise SystemExit(f"the broker ended with {process.returncode} after SIGTERM")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
