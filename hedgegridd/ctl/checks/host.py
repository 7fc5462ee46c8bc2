"""What the host gives the daemon: disk, state folder, journal, backups, limits of systemd."""

import os
import re
import shutil
import stat
import subprocess
from decimal import Decimal
from pathlib import Path

from hedgegridd.config import Config
from hedgegridd.ctl.checks import Finding
from hedgegridd.ctl.text import age
from hedgegridd.errors import HedgegridError
from hedgegridd.journal.reader import segments, verify

GB = 1 << 30
FREE_MIN = GB // 2  # below it a day's journal may not fit
INODES_MIN = 1_000
VERIFY_MAX = 256 << 20  # bytes of journal that are checked whole: seconds
BACKUP_MAX_S = 36 * 3_600
STOP_MIN_S = 240  # an orderly stop's deadlines together (docs/manual/operations.md)
FILES_MIN = 4_096
SYSTEMCTL_S = 5.0
_ARCHIVE = re.compile(r"^hedgegridd-.*\.tar\.gz$")
_UNIT = re.compile(r"/([^/]+\.service)$")
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(us|ms|min|h|d|s)")
_SPAN_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0}


def disk(config: Config) -> Finding:
    """Room for the journal up to its bound, in bytes and in files."""
    folder = _nearest(Path(config.daemon.state_dir))
    fix = "make room, put [daemon] state_dir on a larger disk, or lower [journal] keep_gb"
    try:
        space, files = shutil.disk_usage(folder), os.statvfs(folder)
    except OSError as error:
        return Finding("FAIL", "disk", f"{folder}: {error.strerror or error}", fix)
    inodes = f", {files.f_favail * 100 // files.f_files} % of inodes" if files.f_files else ""
    text = f"{space.free / GB:.1f} of {space.total / GB:.1f} GB free{inodes} at {folder}"
    if space.free < FREE_MIN or (files.f_files and files.f_favail < INODES_MIN):
        return Finding("FAIL", "disk", text, fix)
    if Decimal(space.free) < config.journal.keep_gb * GB:
        return Finding("WARN", "disk", f"{text}; the journal may take {config.journal.keep_gb} GB", fix)
    return Finding("ok", "disk", text)


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next((each for each in (folder, *folder.parents) if each.exists()), folder)


def state_folder(config: Config) -> Finding:
    """The owner's alone: whoever can write it can make the daemon believe anything."""
    folder = Path(config.daemon.state_dir)
    try:
        found = folder.stat()
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            return Finding(
                "FAIL",
                "state",
                f"{folder}: {error.strerror or error}",
                "look as root, or as the daemon's user",
            )
        return Finding(
            "WARN", "state", f"{folder} is not there yet", "the daemon makes it at its first start"
        )
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISDIR(found.st_mode):
        return Finding("FAIL", "state", f"{folder} is no folder", "[daemon] state_dir")
    if mode & 0o077:
        return Finding(
            "FAIL", "state", f"{folder} is open to others (mode {mode:04o})", f"chmod 700 {folder}"
        )
    return Finding("ok", "state", f"{folder}, mode {mode:04o}, of uid {found.st_uid}")


def journal(config: Config) -> Finding:
    """Whether the chain holds; one too large for a look is left to `journal verify`."""
    folder = Path(config.daemon.state_dir) / "journal"
    fix = f"hedgegridctl journal verify --state {config.daemon.state_dir}; docs/manual/journal.md"
    try:
        size = sum(each.path.stat().st_size for each in segments(folder)) if folder.is_dir() else 0
        if not size:
            return Finding(
                "WARN", "journal", f"{folder} has no records yet", "the daemon writes them from its start on"
            )
        if size > VERIFY_MAX:
            return Finding("skip", "journal", f"{size / GB:.1f} GB: too much for a look", fix)
        verdict = verify(folder)
    except (OSError, HedgegridError) as error:
        return Finding("FAIL", "journal", str(error), fix)
    if verdict.broken:
        return Finding("FAIL", "journal", verdict.broken, fix)
    if verdict.accepted:
        told = f"{len(verdict.accepted)} breaks that an operator accepted"
        return Finding("WARN", "journal", f"{verdict.records:,} records hold, with {told}", fix)
    return Finding(
        "ok", "journal", f"{verdict.records:,} records, the chain holds to @{verdict.last_position}"
    )


def backups(folder: Path | None, now_s: float) -> Finding:
    """How old the newest archive is; where they are is known to nobody but who makes them."""
    fix = "hedgegridctl backup DIR, daily (docs/manual/journal.md)"
    if folder is None:
        return Finding(
            "skip", "backup", "no folder named", "--backups DIR, the folder that backups are written into"
        )
    try:
        made = [each.stat().st_mtime for each in folder.iterdir() if _ARCHIVE.match(each.name)]
    except OSError as error:
        return Finding("FAIL", "backup", f"{folder}: {error.strerror or error}", fix)
    if not made:
        return Finding("FAIL", "backup", f"none in {folder}", fix)
    old_s = max(0.0, now_s - max(made))
    text = f"the newest of {len(made)} is {age(old_s)} old"
    return Finding("ok", "backup", text) if old_s <= BACKUP_MAX_S else Finding("FAIL", "backup", text, fix)


def systemd(pid: int | None, proc: Path = Path("/proc")) -> list[Finding]:
    """Limits of the process and of its unit; skipped where systemd does not run it."""
    if pid is None:
        return [Finding("skip", "systemd", "no daemon answers", "start it")]
    try:
        group = (proc / str(pid) / "cgroup").read_text()
        limits = (proc / str(pid) / "limits").read_text()
    except OSError as error:
        return [Finding("skip", "systemd", f"process {pid}: {error.strerror or error}", "look as root")]
    unit = _UNIT.search(group.splitlines()[-1]) if group.strip() else None
    found = [_files(limits)]
    if unit is None:
        told = f"process {pid} is no unit of systemd: nothing restarts it"
        return [*found, Finding("skip", "systemd", told, "run it as a service of the host")]
    return [*found, _unit(unit[1])]


def _files(limits: str) -> Finding:
    """Open files: a socket for each client, connection and segment."""
    named = re.search(r"^Max open files\s+(\S+)", limits, re.MULTILINE)
    soft = named[1] if named else "not told"
    if soft == "unlimited" or (soft.isdigit() and int(soft) >= FILES_MIN):
        return Finding("ok", "limits", f"{soft} open files")
    return Finding(
        "WARN",
        "limits",
        f"{soft} open files, {FILES_MIN} are wanted",
        f"LimitNOFILE={FILES_MIN} (or ulimit -n)",
    )


def _unit(unit: str) -> Finding:
    command = ["systemctl", "show", unit, "--property=TimeoutStopUSec,Restart"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SYSTEMCTL_S)  # noqa: S603  # the unit's name is the kernel's word
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(
            "WARN", "systemd", f"{unit}: systemctl does not tell its limits: {error}", "look as root"
        )
    return unit_finding(unit, dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line))


def unit_finding(unit: str, told: dict[str, str]) -> Finding:
    """From the unit's properties: time for an orderly stop, and a restart when it dies."""
    wrong, fix = [], []
    stop = told.get("TimeoutStopUSec", "")
    if stop != "infinity" and seconds(stop) < STOP_MIN_S:
        wrong.append(f"stop is cut off after {stop or 'a time that is not told'}")
        fix.append(f"TimeoutStopSec={STOP_MIN_S}")
    if told.get("Restart", "no") == "no":
        wrong.append("nothing restarts it")
        fix.append("Restart=on-failure")
    if wrong:
        return Finding("FAIL", "systemd", f"{unit}: {'; '.join(wrong)}", f"in the unit: {', '.join(fix)}")
    return Finding("ok", "systemd", f"{unit}: stop within {stop}, Restart={told['Restart']}")


def seconds(span: str) -> float:
    """`4min 10s` in seconds, as systemd prints spans; 0 for what is none."""
    return sum(float(number) * _SPAN_S[unit] for number, unit in _SPAN.findall(span))
