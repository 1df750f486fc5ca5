"""Measures what monitoring costs: runs the demo with its monitor on and off, in turns, and compares
the processor time (user and system, of the demo's process) per message.

With the monitor on, a client scrapes the page of Prometheus' text each second. On or off, the demo
collects each second for its alert rules, ten times as often as a monitor does by default: that is
on both sides, and measured by --watch only. Processor time says more than the time of day where
others use the machine; which of a pair comes first alternates.

Where that difference drowns in the noise, --watch measures directly what monitoring takes: a demo
that has sent everything and is held does nothing but be watched, and its processor time is that of
collecting and of being scraped. Locks that it would share with work are free then.

    python3 tests/peers/monitor/overhead.py PROGRAM [--pairs 10] [--messages 4000000]
                                            [--backend tokio] [--watch SECONDS]
"""

import argparse
import contextlib
import glob
import os
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request


def free_port():
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def scrape(url, over, scrapes):
    """Once a second, in this process, so that the client's own time is not counted."""
    while not over.wait(1):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                scrapes.append(len(answer.read()))
        except OSError:
            pass  # Not yet, or not any more: too few scrapes are told below.


def run(arguments, is_watched):
    """Microseconds of processor time per message, and seconds of the run."""
    port = free_port()
    command = [
        arguments.program, "demo", "--json", "--backend", arguments.backend,
        "--messages", str(arguments.messages),
        "--monitor", f"127.0.0.1:{port}" if is_watched else "off",
    ]
    over, scrapes = threading.Event(), []
    url = f"http://127.0.0.1:{port}/metrics"
    scraper = threading.Thread(target=scrape, args=(url, over, scrapes))
    with tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        demo = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        if is_watched:
            scraper.start()
        _, status, usage = os.wait4(demo.pid, 0)
        seconds = time.monotonic() - began
        demo.returncode = os.waitstatus_to_exitcode(status)
        over.set()
        if is_watched:
            scraper.join()
        if demo.returncode != 0:
            errors.seek(0)
            raise SystemExit(f"the demo ended with {demo.returncode}: {errors.read().decode()}")
    if is_watched and len(scrapes) < int(seconds) - 2:
        raise SystemExit(f"only {len(scrapes)} scrapes in {seconds:.1f} s")
    return (usage.ru_utime + usage.ru_stime) * 1e6 / arguments.messages, seconds


def processor_ns(pid):
    """Of all threads that live, as the scheduler counts it."""
    threads = glob.glob(f"/proc/{pid}/task/*/schedstat")
    return sum(int(open(thread).read().split()[0]) for thread in threads)


def watch(arguments):
    """Milliseconds of processor time per second that a held demo takes, scraped and not."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/metrics"
    command = [
        arguments.program, "demo", "--json", "--backend", arguments.backend,
        "--messages", "1000000", "--monitor", f"127.0.0.1:{port}", "--hold", "600",
    ]
    demo = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        # Until it has been idle for a second: all is sent, checked and read back.
        before, idle = 0, False
        while not idle:
            time.sleep(1)
            now = processor_ns(demo.pid)
            before, idle = now, before > 0 and now - before < 100_000_000
        for is_scraped in (False, True):
            over, scrapes = threading.Event(), []
            scraper = threading.Thread(target=scrape, args=(url, over, scrapes))
            began, used = time.monotonic(), processor_ns(demo.pid)
            if is_scraped:
                scraper.start()
            time.sleep(arguments.watch)
            used, took = processor_ns(demo.pid) - used, time.monotonic() - began
            over.set()
            if is_scraped:
                scraper.join()
            print(f"held, {len(scrapes)} scrapes in {took:.1f} s: {used / 1e6 / took:.2f} ms of "
                  f"processor time per second")
    finally:
        demo.send_signal(signal.SIGINT)
        demo.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--messages", type=int, default=4_000_000)
    parser.add_argument("--backend", default="tokio")
    parser.add_argument("--watch", type=int, help="only measure a held demo, for so many seconds")
    arguments = parser.parse_args()
    if arguments.watch:
        return watch(arguments)
    ratios, costs = [], {True: [], False: []}
    for pair in range(arguments.pairs):
        cost = {}
        for is_watched in (pair % 2 == 0, pair % 2 == 1):
            cost[is_watched], seconds = run(arguments, is_watched)
            costs[is_watched].append(cost[is_watched])
            print(f"{'on ' if is_watched else 'off'} {cost[is_watched]:.3f} us, {seconds:.1f} s",
                  flush=True)
        ratios.append(cost[True] / cost[False])
    ratios.sort()
    on, off = (statistics.median(costs[is_watched]) for is_watched in (True, False))
    quartiles = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    print(f"{arguments.backend}, {arguments.pairs} pairs of {arguments.messages} messages")
    print(f"median on {on:.3f} us, off {off:.3f} us of processor time per message")
    print(f"on/off: median {statistics.median(ratios):.4f}, quartiles {quartiles[0]:.4f} to "
          f"{quartiles[2]:.4f}, all {ratios[0]:.4f} to {ratios[-1]:.4f}")


main()
