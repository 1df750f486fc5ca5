"""Judges a broker by the official clients of RocketMQ, unmodified: what they send must arrive, as
it was, as often and in the order that they promise; and mqadmin must see it.

    python3 tests/peers/clients/check.py PROGRAM [--backend tokio|smol] [--store DIR | --memory]
    python3 tests/peers/clients/check.py --apache NAMESRV
    options: [--only NAME,...] [--language java,go,mqadmin] [--tls]
"""

import argparse
import contextlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

# Nothing that is made belongs beside the sources.
sys.dont_write_bytecode = True
import peers  # noqa: E402

SECONDS_MAX = 240
# mqadmin gives up by itself, but a broker that keeps it waiting must not hold up everything.
COMMAND_SECONDS_MAX = 40


class Report:
    """Lines of all suites as they come, and whether all is well."""

    def __init__(self):
        self.lock = threading.Lock()
        self.passed = 0
        self.failed = []

    def line(self, line):
        with self.lock:
            if line.startswith("ok "):
                self.passed += 1
            else:
                self.failed.append(line)
            print(line, flush=True)


def suite(report, name, command, home):
    """Runs a client's scenarios; whatever it prints that is no verdict counts as failure, too."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=peers.environment(home),
    )
    timer = threading.Timer(SECONDS_MAX, process.kill)
    timer.start()
    noise = []
    verdicts = 0
    for line in process.stdout:
        if line.startswith(("ok ", "FAILED ")):
            verdicts += 1
            report.line(line.rstrip("\n"))
        else:
            noise.append(line)
    status = process.wait()
    timer.cancel()
    if verdicts == 0 or status not in (0, 1):
        said = "".join(noise[-20:])
        report.line(f"FAILED {name} ended with {status} after {verdicts} verdicts: {said}")


class Admin:
    """mqadmin, whose exit status says nothing: what it prints must be right. One process for all
    commands; a new one takes over when one of them does not end."""

    def __init__(self, home, namesrv, report):
        self.home = home
        self.namesrv = namesrv
        self.report = report
        self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def run(self, *arguments):
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                peers.java(self.home, "Main", "mqadmin"), stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                env=peers.environment(self.home),
            )
            self.lines = peers.Lines(self.process.stdout)
        shown = len(self.lines.lines)
        self.process.stdin.write("\t".join([*arguments, "-n", self.namesrv]) + "\n")
        self.process.stdin.flush()
        try:
            end = self.lines.wait("the end", lambda lines: next(
                (i + 1 for i in range(shown, len(lines)) if lines[i].endswith("\f")), None),
                COMMAND_SECONDS_MAX)
            # Some commands end without a new line.
            return "\n".join(self.lines.lines[shown:end]).rstrip("\f")
        except peers.TooLate as late:
            self.stop()
            return str(late)

    def step(self, command, *arguments, name=None, expected=(), absent=(), until=False):
        """One command; with `until` again and again while what it shows is still to come."""
        begin = time.monotonic()
        while True:
            shown = self.run(command, *arguments)
            missing = [what for what in expected if not re.search(what, shown)]
            missing += [f"not {what}" for what in absent if re.search(what, shown)]
            if not missing or not until or time.monotonic() - begin > COMMAND_SECONDS_MAX:
                break
            time.sleep(0.5)
        name = name or command
        if missing:
            seen = " ".join(shown.split())[:1500]
            self.report.line(f"FAILED mqadmin/{name} does not show {missing}: {seen}")
        else:
            self.report.line(f"ok mqadmin/{name} {time.monotonic() - begin:.1f}")
        return shown


@contextlib.contextmanager
def consumer(home, namesrv, topic, group):
    """A Java push consumer in a process of its own, and its lines: bodies."""
    process = subprocess.Popen(
        peers.java(home, "Main", "consume", namesrv, topic, group), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=peers.environment(home),
    )
    try:
        yield peers.Lines(process.stdout)
        process.stdin.close()
        process.wait(20)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def mqadmin(report, home, namesrv):
    with Admin(home, namesrv, report) as admin:
        commands(report, admin, home, namesrv)


def commands(report, admin, home, namesrv):
    run = f"{time.time_ns() // 1_000_000:x}"
    topic, group = f"admin-topic-{run}", f"admin-group-{run}"
    begin = int(time.time() * 1000) - 60_000

    shown = admin.step("clusterList", expected=[r"#Cluster Name", r":\d+ +V\d"])
    row = re.search(r"^(\S+) +(\S+) +0 +(\S+:\d+) +V", shown, re.M)
    if not row:
        report.line(f"FAILED mqadmin/clusterList no row of a master: {' '.join(shown.split())}")
        return
    cluster, name, address = row.groups()
    queue = rf"{re.escape(name)} +"

    admin.step("brokerStatus", "-b", address, expected=[r"brokerVersionDesc +: V", r"putTps"])
    admin.step("updateTopic", "-b", address, "-t", topic, "-r", "4", "-w", "4",
               expected=[rf"create topic to {address} success", rf"topicName={topic}"])
    admin.step("topicList", expected=[rf"(?m)^{topic}$"])
    shown = admin.step("topicRoute", "-t", topic, expected=[re.escape(address)])
    with contextlib.suppress(ValueError):
        route = json.loads(re.sub(r"([{,]\s*)(\d+)(\s*:)", r'\1"\2"\3', shown[shown.index("{"):]))
        queues = [(data["readQueueNums"], data["writeQueueNums"]) for data in route["queueDatas"]]
        if queues != [(4, 4)]:
            report.line(f"FAILED mqadmin/topicRoute queues {queues}")
    empty = [rf"(?m)^{queue}{i} +0 +0" for i in range(4)]
    admin.step("topicStatus", "-t", topic, name="topicStatus-empty", expected=empty)
    ids = []
    for i, body in enumerate(("first", "second")):
        shown = admin.step("sendMessage", "-t", topic, "-p", body, "-k", f"key-{run}-{i}",
                           "-c", "tag", "-b", name, "-i", "1", name=f"sendMessage-{body}",
                           expected=[rf"{queue}1 +SEND_OK +\w+"])
        ids += re.findall(r"SEND_OK +(\w+)", shown)
    admin.step("topicStatus", "-t", topic, expected=[rf"(?m)^{queue}1 +0 +2 +\d{{4}}-"])
    for i, unique in enumerate(ids):
        admin.step("queryMsgByKey", "-t", topic, "-k", f"key-{run}-{i}", until=True,
                   name=f"queryMsgByKey-{i}", expected=[rf"{unique} +1 +{i}"])
    if ids:
        admin.step("queryMsgByUniqueKey", "-t", topic, "-i", ids[0], expected=[
            rf"(?m)^Topic: +{topic}$", r"(?m)^Tags: +\[tag\]$", rf"(?m)^Keys: +\[key-{run}-0\]$",
            r"(?m)^Queue ID: +1$", r"(?m)^Queue Offset: +0$", r"(?m)^Reconsume Times: +0$"])
    shown = admin.step("queryMsgByOffset", "-t", topic, "-b", name, "-i", "1", "-o", "1", expected=[
        r"(?m)^Queue Offset: +1$", rf"(?m)^Keys: +\[key-{run}-1\]$"])
    found = re.search(r"OffsetID: +(\w{32})", shown)
    shown = admin.step("queryMsgById", "-t", topic, "-i", found.group(1) if found else "unknown",
                       expected=[rf"(?m)^Topic: +{topic}$", rf"(?m)^Keys: +\[key-{run}-1\]$"])
    # The command writes bodies to files.
    path = re.search(r"Message Body Path: +(\S+)", shown)
    if not path or pathlib.Path(path.group(1)).read_text() != "second":
        report.line(f"FAILED mqadmin/queryMsgById the body is not at {path}")

    admin.step("updateSubGroup", "-b", address, "-g", group,
               expected=[rf"create subscription group to {address} success", rf"groupName={group}"])
    with consumer(home, namesrv, topic, group) as bodies:
        bodies.wait("both messages", lambda lines: {"first", "second"} <= set(lines), 40)
        admin.step("consumerConnection", "-g", group, until=True, expected=[
            r"(?m)^\S+@\S+ +127\.0\.0\.1:\d+ +JAVA", rf"(?m)^{topic} +\*",
            r"ConsumeType: CONSUME_PASSIVELY", r"MessageModel: CLUSTERING"])
        # Offsets are committed every 5 s, for the first time after 10 s.
        name = "consumerProgress-g"
        admin.step("consumerProgress", "-g", group, until=True, name=name, expected=[
            rf"{topic} +{queue}1 +2 +2 +", r"Consume Diff Total: 0"])
        admin.step("consumerProgress", expected=[rf"(?m)^{group} +1 +V\d\S* +PUSH +CLUSTERING"],
                   until=True)
        admin.step("resetOffsetByTime", "-g", group, "-t", topic, "-s", str(begin), expected=[
            rf"{queue}1 +0"])
        try:
            bodies.wait("both messages again", lambda lines: all(
                lines.count(body) >= 2 for body in ("first", "second")), 40)
            report.line("ok mqadmin/resetOffsetByTime-consumed 0")
        except peers.TooLate as late:
            report.line(f"FAILED mqadmin/resetOffsetByTime-consumed {late}")
    admin.step("deleteSubGroup", "-c", cluster, "-g", group, expected=[
        rf"delete subscription group \[{group}\] from broker \[{address}\]"])
    admin.step("deleteTopic", "-c", cluster, "-t", topic, expected=[
        rf"delete topic \[{topic}\] from cluster \[{cluster}\] success",
        r"from NameServer success"])
    admin.step("topicList", name="topicList-deleted", expected=[r"TBW102|\w"],
               absent=[rf"(?m)^{topic}$"], until=True)


def check(namesrv, only, languages):
    report = Report()
    with tempfile.TemporaryDirectory(prefix="clients-") as folder:
        home = pathlib.Path(folder)
        some = ["--only", only] if only else []
        works = {
            "java": lambda: suite(report, "java", peers.java(
                home, "Main", "scenarios", namesrv, *some), home),
            "go": lambda: suite(report, "go", [
                str(peers.GO_CLIENT), "scenarios", namesrv, *some], home),
            "mqadmin": lambda: mqadmin(report, home, namesrv),
        }

        def guarded(language):
            try:
                works[language]()
            except BaseException as failed:  # A thread's failure is a failure of the run.
                report.line(f"FAILED {language} {failed!r}")

        threads = [threading.Thread(target=guarded, args=(language,)) for language in languages]
        begin = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    seconds = time.monotonic() - begin
    print(f"{report.passed} passed, {len(report.failed)} failed in {seconds:.0f} s", flush=True)
    return not report.failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("program", nargs="?")
    parser.add_argument("--apache", metavar="NAMESRV")
    parser.add_argument("--backend", choices=["tokio", "smol"], default="tokio")
    parser.add_argument("--only", metavar="NAME,...")
    parser.add_argument("--language", default="", help="java, go, mqadmin, with commas between")
    parser.add_argument("--tls", action="store_true",
                        help="nothing but TLS with certificates of both sides; Java and mqadmin, "
                             "because the Go client has none")
    store = parser.add_mutually_exclusive_group()
    store.add_argument("--store", metavar="DIR")
    store.add_argument("--memory", action="store_true")
    given = parser.parse_args()
    if bool(given.program) == bool(given.apache):
        parser.error("either a program or --apache")
    if given.tls and given.apache:
        parser.error("--tls is for a program of ours")
    languages = [word for word in given.language.split(",") if word]
    if given.tls and not languages:
        languages = ["java"] if given.only else ["java", "mqadmin"]
    if not languages:
        # mqadmin's commands build on each other: no scenarios to choose from.
        languages = ["java", "go"] if given.only else ["java", "go", "mqadmin"]
    peers.build()
    if given.apache:
        sys.exit(not check(given.apache, given.only, languages))
    options = ["--backend", given.backend]
    options += ["--store", given.store] if given.store else ["--memory"]
    program = pathlib.Path(given.program).resolve()
    with tempfile.TemporaryDirectory(prefix="certificates-") as folder:
        if given.tls:
            options += peers.encrypt(pathlib.Path(folder))
        with peers.broker(program, *options) as (_, namesrv, _):
            well = check(namesrv, given.only, languages)
    sys.exit(not well)


if __name__ == "__main__":
    main()
