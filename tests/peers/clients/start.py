"""Measures how long a broker takes to start on a store with many messages, with its index files and
without them, with the store in the system's cache and not: seconds from the start of the program
to the line `ready`, and what it has read from the disk until then; medians. Then what it costs to
write index files.

    python3 tests/peers/clients/start.py PROGRAM [--messages 4000000] [--bytes 128] [--rounds 5]

The store is made first, with batches over the broker's own protocol; each message has a tag and a
unique key, as those of the official clients. Takes about two minutes.
"""

import argparse
import json
import os
import pathlib
import signal
import socket
import statistics
import struct
import subprocess
import tempfile
import time

BATCH = 1000


class Broker:
    """A broker that runs, and how long it took to begin."""

    def __init__(self, program, store):
        begin = time.monotonic()
        command = [program, "broker", "--namesrv", "127.0.0.1:0", "--listen", "127.0.0.1:0",
                   "--store", str(store), "--flush", "interval"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.seconds = time.monotonic() - begin
        if not line.startswith("ready"):
            raise SystemExit(f"the broker does not start: {line!r}")
        self.address = line.split("broker=")[1].split()[0]
        io = pathlib.Path(f"/proc/{self.process.pid}/io").read_text()
        self.read_bytes = int(io.split("rchar: ")[1].split()[0])

    def processor_seconds(self):
        """User and system time until now."""
        text = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = text.rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(60) != 0:
            raise SystemExit("the broker has not stopped well")


def send(connection, stream, number, body):
    """A batch to a queue; waits for the answer."""
    fields = {"a": "starts", "b": "Starts", "c": "TBW102", "d": "4", "e": str(number % 4),
              "f": "0", "g": "0", "h": "0", "j": "0", "k": "false", "m": "true"}
    header = json.dumps({"code": 320, "flag": 0, "language": "PYTHON", "opaque": number,
                         "version": 435, "extFields": fields}).encode()
    frame = struct.pack(">II", 4 + len(header) + len(body), len(header)) + header + body
    connection.sendall(frame)
    length, header_length = struct.unpack(">II", stream.read(8))
    answer = json.loads(stream.read(header_length & 0xFFFFFF))
    stream.read(length - 4 - (header_length & 0xFFFFFF))
    if answer["code"] != 0:
        raise SystemExit(f"a batch is refused: {answer}")


def fill(program, store, messages, message_bytes):
    broker = Broker(program, store)
    host, port = broker.address.rsplit(":", 1)
    payload = b"x" * message_bytes
    with socket.create_connection((host, int(port))) as connection:
        stream = connection.makefile("rb")
        for number in range(messages // BATCH):
            parts = []
            for n in range(number * BATCH, (number + 1) * BATCH):
                properties = b"UNIQ_KEY\x01%032X\x02TAGS\x01t\x02" % n
                length = 4 * 5 + len(payload) + 2 + len(properties)
                parts.append(struct.pack(">IIIII", length, 0, 0, 0, len(payload)) + payload
                             + struct.pack(">H", len(properties)) + properties)
            send(connection, stream, number, b"".join(parts))
    await_indexes(store)
    broker.stop()


def await_indexes(store):
    """They are written beside everything else."""
    while len(list(store.glob("*.index"))) + 1 < len(segments(store)):
        time.sleep(0.2)


def cost(program, store):
    """Processor seconds of writing all index files."""
    for path in store.glob("*.index"):
        path.unlink()
    broker = Broker(program, store)
    before = broker.processor_seconds()
    await_indexes(store)
    seconds = broker.processor_seconds() - before
    broker.stop()
    return seconds


def segments(store):
    return [path for path in store.iterdir() if len(path.name) == 20]


def forget(store):
    """Takes the store out of the system's cache."""
    for path in store.iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(program, store, rounds, with_indexes, is_cached):
    seconds, read = [], []
    kept = {path: path.read_bytes() for path in store.glob("*.index")}
    for _ in range(rounds):
        for path, content in kept.items():
            if with_indexes:
                path.write_bytes(content)
            else:
                path.unlink(missing_ok=True)
        if is_cached:
            for path in store.iterdir():
                path.read_bytes()
        else:
            forget(store)
        broker = Broker(program, store)
        seconds.append(broker.seconds)
        read.append(broker.read_bytes)
        # It would write the index files again: it is not given the time.
        broker.process.kill()
        broker.process.wait()
    for path, content in kept.items():
        path.write_bytes(content)
    return statistics.median(seconds), statistics.median(read)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("program")
    parser.add_argument("--messages", type=int, default=4_000_000)
    parser.add_argument("--bytes", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = pathlib.Path(folder)
        fill(options.program, store, options.messages, options.bytes)
        sizes = [path.stat().st_size for path in segments(store)]
        indexes = [path.stat().st_size for path in store.glob("*.index")]
        print(f"{options.messages} messages of {options.bytes} bytes: {len(sizes)} segments of "
              f"{sum(sizes) / 2**20:.0f} MiB, index files of {sum(indexes) / 2**20:.0f} MiB")
        print("| index files | system's cache | seconds | MiB read |")
        print("| --- | --- | --- | --- |")
        for with_indexes in (False, True):
            for is_cached in (False, True):
                seconds, read = measure(options.program, store, options.rounds, with_indexes,
                                        is_cached)
                print(f"| {'yes' if with_indexes else 'no'} | {'warm' if is_cached else 'cold'} "
                      f"| {seconds:.2f} | {read / 2**20:.0f} |", flush=True)
        seconds = cost(options.program, store) / options.messages * 1e6
        print(f"writing index files: {seconds:.2f} processor seconds for a million messages")


main()
