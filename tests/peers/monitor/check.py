"""Checks a demo's monitor with other people's programs: Prometheus scrapes it, evaluates the
shipped rules and must know every series that rules and dashboard ask for, with exact counts after a
known workload, beside a producer that is watched; InfluxDB must return the exported points; a
webhook must hear of an outage; the dashboards are looked at in Chromium.

    python3 tests/peers/monitor/check.py PROGRAM [tokio|smol ...]
"""

import contextlib
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]
RULES = ROOT / "docs/monitoring/prometheus-rules.yml"
DASHBOARD = ROOT / "docs/monitoring/grafana-dashboard.json"
LOOK = ROOT / "tests/peers/dashboard"
# What only some runtimes tell about themselves.
ONLY_ON = {"turbopump_runtime_tasks_alive": "tokio", "turbopump_runtime_queue_depth": "tokio"}
MESSAGES = 400_000
SECONDS_MAX = 60


def free_port():
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


def until(what, look):
    """Waits until `look` returns something; the servers come up and scrape in their own time."""
    end = time.monotonic() + SECONDS_MAX
    seen = None
    while time.monotonic() < end:
        try:
            seen = look()
            if seen:
                return seen
        except OSError as error:
            seen = error
        time.sleep(0.2)
    raise SystemExit(f"not within {SECONDS_MAX} s: {what}; the last was {seen!r}")


@contextlib.contextmanager
def running(command, **options):
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Notices(http.server.BaseHTTPRequestHandler):
    seen = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        Notices.seen.append((body["status"], body["alerts"][0]["labels"]["alertname"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def prometheus(folder, port, *targets):
    """The command, for a configuration that scrapes `targets` each second."""
    listed = ", ".join(f"'127.0.0.1:{target}'" for target in targets)
    config = folder / "prometheus.yml"
    config.write_text(
        f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n"
        f"rule_files: ['{RULES}']\n"
        f"scrape_configs:\n"
        f"  - job_name: turbopump\n"
        f"    static_configs: [{{targets: [{listed}]}}]\n"
    )
    return [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]


def influxd(folder, port):
    config = folder / "influxdb.conf"
    config.write_text(
        f'reporting-disabled = true\nbind-address = "127.0.0.1:0"\n'
        f'[meta]\n  dir = "{folder}/meta"\n'
        f'[data]\n  dir = "{folder}/data"\n  wal-dir = "{folder}/wal"\n'
        f'[http]\n  bind-address = "127.0.0.1:{port}"\n  log-enabled = false\n'
        f'[monitor]\n  store-enabled = false\n[logging]\n  level = "error"\n'
    )
    return ["influxd", "-config", str(config)]


def metrics_of(expression):
    """Names of metrics: identifiers of ours, whatever surrounds them."""
    return set(re.findall(r"\bturbopump_[a-z_]+\b", expression))


def asked_for():
    names = set()
    for line in RULES.read_text().splitlines():
        if "annotations" not in line:
            names |= metrics_of(line.split("#")[0])
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            names |= metrics_of(target["expr"])
    return names


def check_page(url):
    """promtool must accept the live page, with nothing to remark."""
    page = get(url)
    told = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True)
    remarks = (told.stdout + told.stderr).decode()
    if told.returncode != 0 or remarks:
        raise SystemExit(f"promtool check metrics, status {told.returncode}: {remarks}")


def top(url, *expected, index="", attempts=1):
    """What `go tool pprof` reads of a profile; it has to name all that is expected, a sample of
    what takes a few percent of a second in one of some attempts."""
    command = ["go", "tool", "pprof", "-symbolize=none", "-nodecount=10000", "-top"]
    command += [f"-sample_index={index}", url] if index else [url]
    for _ in range(attempts):
        seen = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        missing = [name for name in expected if name not in seen]
        if not missing:
            return
    raise SystemExit(f"{url} does not name {missing}:\n{seen}")


def check_events(port):
    url = f"http://127.0.0.1:{port}/debug"
    events = json.loads(get(url))["events"]["list"]
    for what in ("target is down", "target is back", "alert", "profile"):
        if not any(event["what"] == what for event in events):
            raise SystemExit(f"no event {what!r}: {events}")


@contextlib.contextmanager
def producing(program, backend, folder, monitor):
    """A producer that is watched, with a broker of its own, at a pace that disturbs nobody."""
    name_server, lines = f"127.0.0.1:{free_port()}", folder / "lines"
    lines.write_text("a line\n" * 100_000)
    broker = [program, "broker", "--namesrv", name_server, "--listen", f"127.0.0.1:{free_port()}"]
    produce = [
        program, "produce", str(lines), "--backend", backend, "--topic", "watched",
        "--namesrv", name_server, "--rate", "50", "--monitor", f"127.0.0.1:{monitor}",
    ]
    host, port = name_server.split(":")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with running(broker, **quiet):

        def listens():
            socket.create_connection((host, int(port))).close()
            return True

        until("the broker listens", listens)
        with running(produce, **quiet):
            yield


def check(program, backend, folder):
    monitor, scraper, store, debug = free_port(), free_port(), free_port(), free_port()
    producer = free_port()
    hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Notices)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    Notices.seen.clear()
    influx_url = f"http://127.0.0.1:{store}"
    summary = folder / "summary.json"
    with (
        running(prometheus(folder, scraper, monitor, producer), stderr=subprocess.DEVNULL),
        running(influxd(folder, store), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL),
        producing(program, backend, folder, producer),
    ):
        until("influxd answers", lambda: urllib.request.urlopen(f"{influx_url}/ping").status == 204)
        create = urllib.parse.urlencode({"q": "CREATE DATABASE demo"}).encode()
        urllib.request.urlopen(f"{influx_url}/query", create).read()
        # Go builds it when it is used first, which may take longer than the demo.
        subprocess.run(["go", "tool", "pprof", "-help"], capture_output=True, check=False)
        command = [
            program, "demo", "--backend", backend, "--json",
            "--messages", str(MESSAGES), "--rate", "60000", "--outage", "5,2.5",
            "--monitor", f"127.0.0.1:{monitor}", "--hold", "600",
            "--webhook", f"http://127.0.0.1:{hook.server_port}/hook",
            "--influx", f"{influx_url}/write?db=demo", "--debug", f"127.0.0.1:{debug}",
        ]
        with summary.open("w") as out, running(command, stdout=out, stderr=subprocess.PIPE) as demo:
            api = f"http://127.0.0.1:{scraper}/api/v1"

            def value(expression):
                query = urllib.parse.urlencode({"query": expression})
                result = json.loads(get(f"{api}/query?{query}"))["data"]["result"]
                return float(result[0]["value"][1]) if result else None

            # While there is something to do: names of the demo's own crate, inlined or not.
            url = f"http://127.0.0.1:{debug}/debug/pprof"
            until("the debug pages answer", lambda: get(f"{url}/"))
            top(f"{url}/profile?seconds=1", "Type: cpu", "turbopump", attempts=3)
            # Whatever is held at this moment, all pools have a size.
            pools = ("memory pools", "pool messages")
            top(f"{url}/heap", "Type: size", *pools, index="size")
            top(f"{url}/tasks", "Type: tasks", "monitor_listener", "demo_puller")
            for stage in ("sent", "arrived"):
                expression = f'turbopump_demo_messages_total{{stage="{stage}"}}'
                until(f"{expression} is {MESSAGES}", lambda: value(expression) == MESSAGES)
            done = 'sum(turbopump_batch_items_succeeded_total{batch=~"lane.*"})'
            until(f"{done} is {MESSAGES}", lambda: value(done) == MESSAGES)
            # What was stored twice, because its acknowledgement was lost, counts twice.
            stored = 'turbopump_broker_messages'
            until(f"{stored} is {MESSAGES}", lambda: (value(stored) or 0) >= MESSAGES)

            watched = 'turbopump_send_messages_total{result="ok",topic="watched"}'
            until(f"{watched} grows", lambda: (value(watched) or 0) > 50)
            until("a heartbeat", lambda: value("turbopump_heartbeat_age_seconds") is not None)

            known = set(json.loads(get(f"{api}/label/__name__/values"))["data"])
            check_page(f"http://127.0.0.1:{monitor}/metrics")
            check_page(f"http://127.0.0.1:{producer}/metrics")
            elsewhere = {name for name, runtime in ONLY_ON.items() if runtime != backend}
            missing = sorted(asked_for() - elsewhere - known)
            if missing:
                raise SystemExit(f"asked for, but shown by nobody: {missing}")
            groups = json.loads(get(f"{api}/rules"))["data"]["groups"]
            rules = [rule for group in groups for rule in group["rules"]]
            bad = [rule["name"] for rule in rules if rule["health"] != "ok"]
            if bad or len(rules) < 10:
                raise SystemExit(f"{len(rules)} rules, not well: {bad}")

            until("the webhook hears of the outage and its end", lambda: (
                ("firing", "connections_failing") in Notices.seen
                and ("resolved", "connections_failing") in Notices.seen
            ))
            query = urllib.parse.urlencode({
                "db": "demo",
                "q": 'SELECT last(value) FROM turbopump_demo_messages_total WHERE stage = \'sent\'',
            })

            def last_point():
                series = json.loads(get(f"{influx_url}/query?{query}"))["results"][0].get("series")
                return series and series[0]["values"][0][1] == MESSAGES

            until(f"InfluxDB has the last point, {MESSAGES}", last_point)
            check_events(debug)
            if shutil.which("node"):
                pictures = os.environ.get("PICTURES", str(folder / "pictures"))
                for port, name in ((monitor, backend), (producer, f"{backend}-producer")):
                    look = ["node", "look.mjs", f"http://127.0.0.1:{port}/", f"{pictures}/{name}"]
                    subprocess.run(look, cwd=LOOK, check=True)
            else:
                raise SystemExit("node is missing: run .ci/peers-install")
        if demo.returncode != 0:
            raise SystemExit(f"the demo ended with {demo.returncode}: {demo.stderr.read()!r}")
    result = json.loads(summary.read_text())
    flaws = ("lost", "duplicated", "out_of_order", "damaged", "failed")
    if any(result[flaw] for flaw in flaws) or result["received"] != MESSAGES:
        raise SystemExit(f"not flawless: {result}")
    print(f"{backend}: {len(rules)} rules, {len(asked_for())} metrics, notices {Notices.seen}")


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    subprocess.run(["promtool", "check", "rules", str(RULES)], check=True)
    for backend in sys.argv[2:] or ["tokio", "smol"]:
        with tempfile.TemporaryDirectory() as folder:
            check(program, backend, pathlib.Path(folder))


main()
