"""What must hold under a real systemd, row by row: each gets the booted host and says what it has seen, or raises."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.systemd_tree import Host, TreeError

ENTRY = re.compile(r"^[A-Z0-9]+-[LS]\d{3}E-")
DAEMON = "hedgegridd.service"
EXCHANGE = "hedgegrid-exchange.service"
# A countdown that outlasts a restart and is over before the watchdog (30 s) has its turn; an outage of minutes is not
# held against the venue for 15 more.
CONFIG = """
[dead_man]
countdown_s = 20
renew_s = 5

[[guard]]
type = "venue_health"
min_uptime_pct = 5
warn_uptime_pct = 10
"""


@dataclass
class Stage:
    """What the rows work on."""

    host: Host
    package: Path
    next_package: Path
    docs: Path
    away_s: float
    notes: dict[str, Any] = field(default_factory=dict)

    # ---------------------------------------------------------------------------------------------- what is true

    def truth(self, port: int = 9081) -> dict[str, Any]:
        """The exchange's own books."""
        ask = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{port}/truth', timeout=10).read().decode())"
        found: dict[str, Any] = json.loads(self.host.out(f'python3.13 -c "{ask}"'))
        return found

    def entries(self, port: int = 9081) -> set[str]:
        """Client order ids of the entries that rest."""
        ids = {str(order["clientOrderId"]) for order in self.truth(port)["open_orders"]}
        return {each for each in ids if ENTRY.match(each)}

    def status(self, socket: str = "/run/hedgegridd/control.sock") -> dict[str, Any]:
        """The daemon's own word; empty when it does not answer."""
        done = self.host.run(f"hedgegridctl --socket {socket} --json status", check=False)
        try:
            found: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            return {}
        return found

    def trades(self, port: int = 9081, socket: str = "/run/hedgegridd/control.sock") -> None:
        """Wait until entries rest and the daemon says that it trades."""
        self.host.wait("entries at the exchange", lambda: self.entries(port), 240)
        self.host.wait("TRADING", lambda: self.status(socket).get("state") == "TRADING", 60)

    def active(self, unit: str = DAEMON) -> bool:
        return self.host.show(unit, "ActiveState") == "active"

    def restarts(self, unit: str = DAEMON) -> int:
        return int(self.host.show(unit, "NRestarts"))

    def cursor(self) -> str:
        """Where the journal is now."""
        return json.loads(self.host.out("journalctl -n 1 -o json --no-pager"))["__CURSOR"]

    def known_at_start(self) -> set[str]:
        """Client order ids of the entries that the newest process has found at the venue: left there, or cancelled by name."""
        text = self.host.out("hedgegridctl journal tail -n 20000 --quiet")
        latest = text.rsplit("a process began", 1)[1]
        return {*re.findall(r"> venue +cancel ([A-Z0-9]+-[LS]\d{3}E-\S+)", latest), *self.entries()}

    def books_agree(self) -> str:
        """That the ledger is the exchange's wallet to the cent; in words."""
        pnl = self.status()["pnl"]
        residual = pnl["residual_usdt"]
        must(residual is not None and abs(float(residual)) < 0.01, f"ledger differs by {residual}")
        return f"ledger - wallet = {float(residual):.4f}"


def must(true: object, otherwise: str) -> None:
    """Raise TreeError with these words when it is not so."""
    if not true:
        raise TreeError(otherwise)


type Row = Callable[[Stage], str]


def install(stage: Stage) -> str:
    """The package goes in by apt; verify and security pass for every unit."""
    host = stage.host
    host.copy(stage.package, "/srv/package.deb")
    host.run("apt-get install -y --no-install-recommends /srv/package.deb", timeout_s=600)
    units = host.out("dpkg -L hedgegridd | grep -E '/systemd/system/.*(service|timer)$'").split()
    verified = host.run(f"systemd-analyze verify --man=yes {' '.join(units)} 2>&1", check=False)
    must(verified.returncode == 0 and not verified.stdout.strip(), f"verify: {verified.stdout[:600]}")
    rated = []
    for unit in [each for each in units if each.endswith(".service")]:
        done = host.run(f"systemd-analyze security --offline=true --threshold=15 {unit} 2>&1", check=False)
        must(done.returncode == 0, f"{unit}: {done.stdout.splitlines()[-1:]}")
        (found,) = re.findall(r"exposure level for \S+: ([0-9.]+)", done.stdout)
        rated.append(float(found))
    must(len(rated) >= 8, f"only {len(rated)} services")
    return f"{len(units)} units verify clean; exposure {min(rated)} to {max(rated)}"


def newcomer(stage: Stage) -> str:
    """The commands of docs/deployment.md, as they stand there, lead to a daemon that trades."""
    text = stage.docs.read_text()
    block = text.split("<!-- run by make systemd -->", 1)[1].split("```", 2)[1]
    commands = [line.split(" #")[0].strip() for line in block.splitlines() if line.strip()]
    must(len(commands) >= 3, "no commands in docs/deployment.md")
    for command in commands:
        plain = re.sub(
            r"\S+\.deb", "-y --no-install-recommends /srv/package.deb", command.replace("sudo ", "")
        )
        done = stage.host.run(plain, check=False, timeout_s=300)
        must(done.returncode == 0, f"`{command}`: {done.returncode}: {(done.stderr + done.stdout)[-600:]}")
    stage.trades()
    return f"{len(commands)} commands; entries rest: {len(stage.entries())}"


def start(stage: Stage) -> str:
    """Active only after READY; while the venue is away it is activating, and its status line says what it waits for."""
    host = stage.host
    host.run(f"systemctl stop {DAEMON} {EXCHANGE}", timeout_s=300)
    host.run(f"systemctl mask --runtime {EXCHANGE}")
    since = stage.cursor()
    host.run(f"systemctl start --no-block {DAEMON}")
    host.wait("a status line", lambda: "venue" in host.show(DAEMON, "StatusText"), 60)
    waiting = host.show(DAEMON, "StatusText")
    time.sleep(12)  # several pings; the venue is still away
    must(host.show(DAEMON, "ActiveState") == "activating", "it is active without a venue")
    host.run(f"systemctl unmask --runtime {EXCHANGE} && systemctl start {EXCHANGE}")
    host.wait("active", stage.active, 120)
    ready = [line for line in host.journal(DAEMON, since) if '"READY"' in str(line.get("MESSAGE"))]
    must(len(ready) == 1, f"READY in the journal {len(ready)} times")
    ready_us, active_us = (
        int(ready[0]["__MONOTONIC_TIMESTAMP"]),
        int(host.show(DAEMON, "ActiveEnterTimestampMonotonic")),
    )
    must(active_us >= ready_us - 200_000, f"active {(ready_us - active_us) / 1e6:.3f} s before READY")
    stage.trades()
    return f"activating, `{waiting[:60]}`, then READY, active {(active_us - ready_us) / 1e3:.0f} ms after it"


def status_line(stage: Stage) -> str:
    """`systemctl status` tells what the daemon is doing."""
    stage.trades()
    stage.host.wait(
        "TRADING", lambda: stage.host.show(DAEMON, "StatusText").startswith("TRADING, safe: yes"), 60
    )
    return f"`{stage.host.show(DAEMON, 'StatusText')[:90]}`"


def confined(stage: Stage) -> str:
    """The credentials are the unit's alone, and the process runs confined as another user."""
    host, pid = stage.host, int(stage.host.show(DAEMON, "MainPID"))
    folder = "/run/credentials/hedgegridd.service"
    must(
        host.out(f"ls {folder}").split() == ["venue_api_key", "venue_api_secret"],
        "credentials are not loaded",
    )
    denied = host.run(f"setpriv --reuid=nobody --clear-groups cat {folder}/venue_api_key", check=False)
    must(denied.returncode != 0, "nobody may read the credential")
    status = host.out(f"cat /proc/{pid}/status")
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    must(
        facts["NoNewPrivs"] == "1" and facts["Seccomp"] == "2",
        f"not confined: {facts['NoNewPrivs']} {facts['Seccomp']}",
    )
    must(int(facts["CapEff"], 16) == 0 and facts["Uid"].split()[0] != "0", "it has privileges")
    for place in ("environ", "cmdline"):
        text = host.out(f"tr '\\0' '\\n' < /proc/{pid}/{place}")
        must(not any(secret in text for secret in secrets(stage)), f"a secret is in its {place}")
    key = "/etc/hedgegridd/credentials/venue_api_key"
    host.run(f"systemctl stop {DAEMON} && mv {key} {key}.away", timeout_s=300)
    missing = host.run(f"systemctl start {DAEMON}", check=False)
    result = host.show(DAEMON, "Result")
    host.run(
        f"mv {key}.away {key}; systemctl stop {DAEMON}; systemctl reset-failed {DAEMON}; systemctl start {DAEMON}",
        timeout_s=300,
    )
    must(missing.returncode != 0, "it started without its credential")
    stage.trades()
    return f"0400 for the unit alone, seccomp, no capability; without the file: start refused ({result})"


def secrets(stage: Stage) -> list[str]:
    """The values of the credentials."""
    return stage.host.out(
        "cd /etc/hedgegridd/credentials* && head -c 64 venue_api_key; echo; head -c 64 venue_api_secret"
    ).split()


def stop(stage: Stage) -> str:
    """No entry is left at the exchange, exit 0, within its deadlines."""
    stage.trades()
    before, began = len(stage.entries()), time.monotonic()
    stage.host.run(f"systemctl stop {DAEMON}", timeout_s=300)
    took_s = time.monotonic() - began
    left = stage.entries()
    code, result = stage.host.show(DAEMON, "ExecMainStatus"), stage.host.show(DAEMON, "Result")
    must(not left, f"{len(left)} entries are left")
    must((code, result) == ("0", "success"), f"exit {code}, {result}")
    stage.host.run(f"systemctl start {DAEMON}", timeout_s=300)
    stage.trades()
    return f"{before} entries before, 0 after, exit 0 in {took_s:.1f} s"


def kill(stage: Stage) -> str:
    """kill -9: started again; every order at the exchange is known to it and none is doubled; its ledger is the exchange's."""
    stage.trades()
    before, restarts = stage.entries(), stage.restarts()
    stage.host.run(f"systemctl kill -s SIGKILL {DAEMON}")
    stage.host.wait("a restart", lambda: stage.restarts() > restarts, 60)
    took_s = stage.host.wait("active", stage.active, 120)
    stage.trades()
    unknown = before - stage.known_at_start()
    must(not unknown, f"it did not know of {sorted(unknown)}")
    after = stage.entries()
    places = [each.rsplit("-", 2)[0] for each in after]
    must(len(places) == len(set(places)), f"an entry is there twice: {sorted(after)}")
    kept = f"{len(before & after)} of {len(before)} entries stayed, the others were known, cancelled and placed again"
    return f"active again in {took_s:.1f} s; {kept}; none doubled; {stage.books_agree()}"


def hang(stage: Stage) -> str:
    """SIGSTOP: the dead-man switch clears the entries, the watchdog kills, and it trades only after its checks."""
    host = stage.host
    stage.trades()
    restarts, since, began = stage.restarts(), stage.cursor(), time.monotonic()
    host.run(f"systemctl kill -s SIGSTOP {DAEMON}")
    host.wait("entries gone by the dead-man switch", lambda: not stage.entries(), 40)
    cleared_s = time.monotonic() - began
    must(stage.restarts() == restarts, "it was restarted before the dead-man switch had its turn")
    host.wait("a restart by the watchdog", lambda: stage.restarts() > restarts, 90)
    killed_s = time.monotonic() - began
    told = [str(line.get("MESSAGE")) for line in host.journal(DAEMON, since)]
    must(any("Watchdog timeout" in line for line in told), "the journal has no watchdog timeout")
    stage.trades()
    told = [str(line.get("MESSAGE")) for line in host.journal(DAEMON, since)]
    stages = [each for line in told for each in re.findall(r"stage \d of \d: ([a-z ]+)", line)]
    must("reconcile" in stages and "guards" in stages, f"stages after it: {stages}")
    return f"entries gone after {cleared_s:.0f} s, killed after {killed_s:.0f} s, traded again after {' > '.join(dict.fromkeys(stages))}"


def away(stage: Stage) -> str:
    """The exchange is away for minutes: no restart, and it trades again by itself."""
    host = stage.host
    stage.trades()
    restarts, pid = stage.restarts(), host.show(DAEMON, "MainPID")
    host.run(f"systemctl stop {EXCHANGE}")
    until = time.monotonic() + stage.away_s
    while time.monotonic() < until:
        must(stage.active(), "it is not active any more")
        time.sleep(1)
    told = host.show(DAEMON, "StatusText")
    host.run(f"systemctl start {EXCHANGE}")
    back_s = host.wait("TRADING", lambda: stage.status().get("state") == "TRADING" and stage.entries(), 180)
    must((stage.restarts(), host.show(DAEMON, "MainPID")) == (restarts, pid), "it was restarted")
    return f"{stage.away_s:.0f} s away, same process, `{told[:40]}`; trading {back_s:.0f} s after; {stage.books_agree()}"


def reload(stage: Stage) -> str:
    """`systemctl reload` takes up a changed config; a wrong one fails and changes nothing."""
    host, path = stage.host, "/etc/hedgegridd/hedgegridd.toml"
    pid = host.show(DAEMON, "MainPID")
    host.run(f"sed -i 's/^max_order_notional_usdt = .*/max_order_notional_usdt = 1777/' {path}")
    since = stage.cursor()
    host.run(f"systemctl reload {DAEMON}")
    told = [
        json.loads(line["MESSAGE"])
        for line in host.journal(DAEMON, since)
        if '"reloaded"' in str(line["MESSAGE"])
    ]
    must(told and "pretrade" in json.dumps(told[-1]["applied"]), f"not taken up: {told}")
    host.run(f"sed -i 's/^max_order_notional_usdt = .*/max_order_notional_usdt = -1/' {path}")
    wrong = host.run(f"systemctl reload {DAEMON}", check=False)
    still = stage.active() and host.show(DAEMON, "MainPID") == pid
    host.run(f"sed -i 's/^max_order_notional_usdt = .*/max_order_notional_usdt = 2000/' {path}")
    host.run(f"systemctl reload {DAEMON}")
    must(wrong.returncode != 0, "a wrong config was reloaded")
    must(still, "a wrong config cost the daemon its life")
    return "a limit taken up without a restart; a wrong file refused, the daemon goes on"


def instances(stage: Stage) -> str:
    """A second account beside the first, each with its own state, socket and credentials."""
    host = stage.host
    host.run(
        "install -d -m 700 /etc/hedgegridd/credentials-second && cd /etc/hedgegridd/credentials-second && umask 077 &&"
        " echo second-account-key-value > venue_api_key && echo second-account-secret-value > venue_api_secret"
    )
    host.run(
        "systemd-run --quiet --unit=second-exchange -p DynamicUser=yes"
        " -p LoadCredential=venue_api_key:/etc/hedgegridd/credentials-second/venue_api_key"
        " -p LoadCredential=venue_api_secret:/etc/hedgegridd/credentials-second/venue_api_secret"
        " /opt/hedgegridd/bin/hedgegridd exchange --port 9180 --admin-port 9181 --seed 2"
        " --credentials /run/credentials/second-exchange.service"
    )
    host.run(
        "sed -e 's|/var/lib/hedgegridd|/var/lib/hedgegridd-second|; s|/run/hedgegridd/|/run/hedgegridd-second/|; s|:9080|:9180|'"
        " -e 's|^http_port = .*|http_port = 8180|; s|^port = 9090|port = 9190|; s|^account = .*|account = \"second\"|'"
        " /etc/hedgegridd/hedgegridd.toml > /etc/hedgegridd/second.toml"
    )
    unit, socket = "hedgegridd@second.service", "/run/hedgegridd-second/control.sock"
    host.run(f"systemctl start {unit}", timeout_s=300)
    stage.trades(9181, socket)
    stage.trades()
    names = (stage.status()["account"], stage.status(socket)["account"])
    must(names == ("acct1", "second"), f"accounts: {names}")
    host.run(f"systemctl stop {unit}", timeout_s=300)
    must(not stage.entries(9181), "the second left entries")
    must(
        stage.active() and host.run("test -S /run/hedgegridd/control.sock", check=False).returncode == 0,
        "the first suffered",
    )
    host.run("systemctl stop second-exchange.service")
    return "both trade; stopping the second leaves the first as it was"


def panic(stage: Stage) -> str:
    """`systemctl start hedgegrid-panic` past a daemon that hangs: flat by the exchange's word; HALTED until rearmed."""
    host = stage.host
    stage.trades()
    host.run(f"systemctl kill -s SIGSTOP {DAEMON}")
    began = time.monotonic()
    host.run("systemctl start hedgegrid-panic.service", timeout_s=120)
    took_s = time.monotonic() - began
    truth = stage.truth()
    open_legs = {key: leg for key, leg in truth["legs"].items() if float(leg.get("qty", 0)) != 0}
    must(not truth["open_orders"] and not open_legs, f"left: {truth['open_orders']} {open_legs}")
    host.run(f"systemctl kill -s SIGCONT {DAEMON}")
    host.wait("HALTED", lambda: stage.status().get("state") == "HALTED", 90)
    cause = stage.status()["kill_switch"]["cause"]
    host.wait(
        "rearmed",
        lambda: host.run("hedgegridctl --yes rearm --reason drill", check=False).returncode == 0,
        60,
    )
    stage.trades()
    return f"flat {took_s:.1f} s after the command; HALTED by `{cause[:50]}`; rearmed, trades"


def backup(stage: Stage) -> str:
    """The timer makes a verified archive, and the hook takes it away from here."""
    host = stage.host
    host.run(
        "printf '[Timer]\\nOnCalendar=\\nOnActiveSec=2s\\nRandomizedDelaySec=0\\nAccuracySec=100ms\\n'"
        " | systemctl edit --runtime --stdin hedgegrid-backup.timer"
    )
    host.put(
        "/usr/local/bin/copy-off-host", '#!/bin/sh\nexec cp "$1" /var/lib/hedgegridd/off-host.tar.gz\n', 0o755
    )
    path = "/etc/hedgegridd/hedgegridd.toml"
    host.run(f"sed -i 's|^hook = .*|hook = [\"/usr/local/bin/copy-off-host\"]|' {path}")
    host.run(f"systemctl restart {DAEMON}", timeout_s=300)
    stage.trades()
    host.run("systemctl start hedgegrid-backup.timer")
    host.wait("an archive", lambda: host.out("ls /var/backups/hedgegridd"), 60)
    host.wait("its end", lambda: host.show("hedgegrid-backup.service", "ActiveState") == "inactive", 60)
    must(host.show("hedgegrid-backup.service", "Result") == "success", "the service failed")
    name = host.out("ls /var/backups/hedgegridd/*.tar.gz")
    host.run(f"cmp {name} /var/lib/hedgegridd/off-host.tar.gz")
    host.run(f"hedgegridctl restore {name} /srv/restored")
    host.run(
        "systemctl stop hedgegrid-backup.timer; systemctl revert hedgegrid-backup.timer; rm -r /srv/restored"
    )
    return f"{Path(name).name}: by the timer, copied by the hook, restored"


def alert(stage: Stage) -> str:
    """A daemon that cannot be started any more is told to the operator's own program."""
    host, path = stage.host, "/etc/hedgegridd/hedgegridd.toml"
    host.put("/etc/hedgegridd/on-failure", '#!/bin/sh\necho "called with $*"\n', 0o755)
    host.run(f"systemctl stop {DAEMON}; cp {path} {path}.good; echo nonsense >> {path}", timeout_s=300)
    since = stage.cursor()
    host.run(f"systemctl start {DAEMON}", check=False)
    alerts = f"hedgegrid-alert@{DAEMON}.service"
    host.wait("an alert", lambda: "called with" in json.dumps(host.journal(alerts, since)), 120)
    told = [str(line["MESSAGE"]) for line in host.journal(alerts, since) if line.get("PRIORITY") == "2"]
    called = [
        str(line["MESSAGE"]) for line in host.journal(alerts, since) if "called with" in str(line["MESSAGE"])
    ]
    must(told, "no line of priority crit")
    host.run(
        f"mv {path}.good {path}; rm /etc/hedgegridd/on-failure; systemctl stop {DAEMON}; systemctl reset-failed"
    )
    host.run(f"systemctl start {DAEMON}", timeout_s=300)
    stage.trades()
    return f"crit in the journal; `{called[0]}`"


def quiet(stage: Stage) -> str:
    """No secret is in any unit's journal, nor in what backups hold."""
    values = secrets(stage)
    must(len(values) >= 2, "no secrets to look for")
    host = stage.host
    text = host.out("journalctl --no-pager -o cat", timeout_s=300)
    must(not any(value in text for value in values), "a secret is in the journal")
    found = host.run(
        "cd /var/backups/hedgegridd && for a in *.tar.gz; do tar -xzOf $a; done | grep -acE '"
        + "|".join(values)
        + "'",
        check=False,
    )
    must(found.stdout.strip() in ("", "0"), "a secret is in a backup")
    return f"{len(text.splitlines()):,} lines, {len(values)} values looked for"


def upgrade(stage: Stage) -> str:
    """The next package over this one: state and config kept, the daemon stopped in order before and started after."""
    host = stage.host
    stage.trades()
    epoch, config = host.out("cat /var/lib/hedgegridd/epoch"), host.out("cat /etc/hedgegridd/hedgegridd.toml")
    trades = stage.truth()["trades"]
    pid, since = host.show(DAEMON, "MainPID"), stage.cursor()
    host.copy(stage.next_package, "/srv/next.deb")
    said = host.out(
        "apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-confold /srv/next.deb 2>&1",
        timeout_s=600,
    )
    must("started again" in said, f"it was not started again: {said[-400:]}")
    host.wait("active", stage.active, 120)
    stage.trades()
    must(host.show(DAEMON, "MainPID") != pid, "the old process runs on over new files")
    told = " ".join(str(line.get("MESSAGE")) for line in host.journal(DAEMON, since))
    must('"entries_gone":true' in told, "it was not stopped in order")
    must(host.out("cat /var/lib/hedgegridd/epoch") == epoch, "the state is another")
    must(host.out("cat /etc/hedgegridd/hedgegridd.toml") == config, "the config was changed")
    version = host.out("dpkg-query -W -f '${Version}' hedgegridd")
    return f"to {version}: state, config and {trades} trades kept; {stage.books_agree()}"


def purge(stage: Stage) -> str:
    """Removing stops everything in order and keeps state; purging leaves nothing."""
    host = stage.host
    host.run("apt-get remove -y hedgegridd 2>&1", timeout_s=600)
    must(
        host.out("ls /var/lib/hedgegridd/epoch /etc/hedgegridd/hedgegridd.toml").count("\n") == 1,
        "state or config is gone",
    )
    must(not host.out("pgrep -f '/opt/[h]edgegridd' || true"), "something runs still")
    host.run("apt-get purge -y hedgegridd 2>&1", timeout_s=600)
    places = "/etc /opt /usr /var /run /home /srv"
    left = host.out(
        f"find {places} -xdev -name '*hedgegrid*' ! -path '/var/log/*' ! -path '/var/cache/*' 2>/dev/null || true"
    )
    users = host.out("getent passwd hedgegridd; getent group hedgegridd; true")
    units = host.out("systemctl list-unit-files --no-legend 'hedgegrid*'; true")
    must(not left and not users and not units, f"left: {left} {users} {units}")
    return "removed with state kept; purged: no file, user or unit is left"


ROWS: tuple[Row, ...] = (
    install, newcomer, start, status_line, stop, confined, kill, hang, reload, instances, away, panic, backup, alert,
    quiet, upgrade, purge,
)  # fmt: skip
