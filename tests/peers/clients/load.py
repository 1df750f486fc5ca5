"""Measures brokers under the official clients' load, in turns: messages a second, the broker's and
the client's processor seconds for a million messages, the broker's peak resident memory. Medians.

    python3 tests/peers/clients/load.py PROGRAM [--backend tokio|smol] [--apache NAMESRV PID]
    python3 tests/peers/clients/load.py --apache NAMESRV PID
    options: [--rounds 3] [--bytes 128] [--scale 1.0] [--workloads sync,...] [--languages java,go]

Of ours one broker in memory and one on disk with asynchronous flush. Each round and workload is a
new topic; the brokers live for all rounds, as Apache's does.
"""

import argparse
import contextlib
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

# Nothing that is made belongs beside the sources.
sys.dont_write_bytecode = True
import peers  # noqa: E402

# Messages and callers, as in the baseline.
WORKLOADS = {
    "sync": (100_000, 32),
    "async": (100_000, 32),
    "batch": (640_000, 4),
    "consume": (500_000, 32),
}
SECONDS_MAX = 330
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time of a process, all threads."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"no peak of process {pid}")


def measure(command, home, broker):
    """One run: messages a second, processor seconds per million of broker and client."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=peers.environment(home),
    )
    try:
        lines = peers.Lines(process.stdout)

        def line(start):
            found = lines.wait(start, lambda all_: next(
                (each for each in all_ if each.startswith((start, "FAILED"))), None), SECONDS_MAX)
            if found.startswith("FAILED"):
                raise SystemExit(f"{command}: {found}")
            return found

        def go_on():
            process.stdin.write("\n")
            process.stdin.flush()

        line("begin")
        before = cpu_seconds(broker), cpu_seconds(process.pid)
        go_on()
        _, messages, seconds = line("done ").split()
        after = cpu_seconds(broker), cpu_seconds(process.pid)
        go_on()
        process.wait(60)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    million = int(messages) / 1e6
    return (
        int(messages) / float(seconds),
        (after[0] - before[0]) / million,
        (after[1] - before[1]) / million,
    )


def client(language, home, workload, namesrv, size, scale):
    messages, callers = WORKLOADS[workload]
    arguments = [
        "load", workload, namesrv, "--messages", str(int(messages * scale)),
        "--bytes", str(size), "--callers", str(callers),
    ]
    if language == "go":
        return [str(peers.GO_CLIENT), *arguments]
    # All of the compiler: speed is what counts here.
    classes = f"{peers.CLASSES}:{peers.JARS}/*"
    return ["java", f"-Duser.home={home}", "-cp", classes, "Main", *arguments]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("program", nargs="?")
    parser.add_argument("--apache", nargs=2, metavar=("NAMESRV", "PID"))
    parser.add_argument("--backend", choices=["tokio", "smol"], default="tokio")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bytes", type=int, default=128)
    parser.add_argument("--scale", type=float, default=1.0, help="of the usual number of messages")
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--languages", default="java,go")
    given = parser.parse_args()
    if not given.program and not given.apache:
        parser.error("a program, --apache, or both")
    peers.build()
    workloads, languages = given.workloads.split(","), given.languages.split(",")
    results = {}
    with tempfile.TemporaryDirectory(prefix="load-") as folder, contextlib.ExitStack() as running:
        home = pathlib.Path(folder)
        brokers = {}
        if given.program:
            on_disk = ["--store", str(home / "store"), "--flush", "interval"]
            kinds = {"memory": ["--memory"], "disk": on_disk}
            for kind, options in kinds.items():
                program = pathlib.Path(given.program).resolve()
                process, namesrv, _ = running.enter_context(
                    peers.broker(program, "--backend", given.backend, *options))
                brokers[kind] = process.pid, namesrv
        if given.apache:
            brokers["Apache"] = int(given.apache[1]), given.apache[0]
        for _ in range(given.rounds):
            for language in languages:
                for workload in workloads:
                    for name, (pid, namesrv) in brokers.items():
                        command = client(
                            language, home, workload, namesrv, given.bytes, given.scale)
                        result = measure(command, home, pid)
                        results.setdefault((language, workload, name), []).append(result)
        peaks = {name: peak_mib(pid) for name, (pid, _) in brokers.items()}
    print(f"{given.bytes} bytes, medians of {given.rounds} rounds; "
          "processor seconds per million messages\n")
    print("| client | workload | broker | messages/s | broker CPU s/M | client CPU s/M |")
    print("| --- | --- | --- | ---: | ---: | ---: |")
    for (language, workload, name), rounds in results.items():
        rate, of_broker, of_client = map(statistics.median, zip(*rounds))
        print(f"| {language} | {workload} | {name} "
              f"| {rate:,.0f} | {of_broker:.1f} | {of_client:.1f} |")
    print()
    for name, peak in peaks.items():
        print(f"{name}: peak resident {peak:.0f} MiB")


if __name__ == "__main__":
    main()
