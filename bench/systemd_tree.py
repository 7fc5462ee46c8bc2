"""A Debian tree under a real systemd: made by debootstrap once, booted in namespaces of its own, an overlay thrown away after.

Root only, and no container engine: `unshare` gives the namespaces, `pivot_root` the tree, and systemd is process 1 in it.
Loopback is its whole network.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

SUITE = "trixie"
INCLUDE = "ca-certificates,dbus,passwd,procps,python3.13,systemd,systemd-sysv,libstdc++6,libgcc-s1,man-db,bash-completion"
BOOT_S = 90.0
MAKE_S = 1_800.0
# Process 1 of its namespaces: mounts first, then systemd in the tree.
BOOT = r"""
set -eu
root=$1
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for place in dev run tmp; do mount -t tmpfs -o mode=755 tmpfs "$root/$place"; done
chmod 1777 "$root/tmp"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
for node in null zero full random urandom tty; do touch "$root/dev/$node"; mount --bind "/dev/$node" "$root/dev/$node"; done
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mkdir "$root/run/host-root"
cd "$root"
pivot_root . run/host-root
umount -l /run/host-root
rmdir /run/host-root
# As a container's manager does: credentials reach their services by propagation.
mount --make-rshared /
exec chroot . env -i PATH=/usr/sbin:/usr/bin container=hedgegridd-bench /lib/systemd/systemd --system \
    --show-status=0 --log-target=journal </dev/null >/dev/null 2>&1
"""


class TreeError(Exception):
    """The tree cannot be made or booted; the text says why."""


def why_not() -> str:
    """Why no tree can be booted here; "" when it can."""
    if os.geteuid() != 0:
        return "only root may make namespaces and mounts"
    missing = [
        each
        for each in ("debootstrap", "unshare", "nsenter", "pivot_root", "dpkg-deb")
        if not shutil.which(each)
    ]
    if missing:
        return f"{', '.join(missing)} is not installed"
    if (
        "cgroup2" not in Path("/proc/filesystems").read_text()
        or "overlay" not in Path("/proc/filesystems").read_text()
    ):
        return "the kernel has no cgroup2 or no overlay file system"
    return ""


def base(folder: Path) -> Path:
    """The pristine tree in `folder`, made when it is not there."""
    tree = folder / SUITE
    done = folder / f"{SUITE}.done"
    if not done.exists():
        print(f"making a Debian tree in {tree} (once; some minutes)", flush=True)
        shutil.rmtree(tree, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        command = ["debootstrap", "--variant=minbase", f"--include={INCLUDE}", SUITE, str(tree)]
        if mirror := os.environ.get("HEDGEGRIDD_DEBIAN_MIRROR"):
            command.append(mirror)
        made = subprocess.run(command, capture_output=True, text=True, timeout=MAKE_S, check=False)
        if made.returncode:
            raise TreeError(f"debootstrap: {(made.stderr or made.stdout)[-800:]}")
        done.touch()
    return tree


class Host:
    """A booted tree; a context."""

    def __init__(self, folder: Path) -> None:
        self._base = base(folder)
        self._folder = folder
        self.root = folder / "host"
        self._unshare: subprocess.Popen[bytes] | None = None
        self._group: Path | None = None
        self.pid = 0

    def __enter__(self) -> Self:
        self._clear()
        for name in ("upper", "work", "host"):
            (self._folder / name).mkdir()
        layers = f"lowerdir={self._base},upperdir={self._folder}/upper,workdir={self._folder}/work"
        _call("mount", "-t", "overlay", "overlay", "-o", layers, str(self.root))
        (self.root / "etc/machine-id").write_text("")
        (self.root / "etc/hostname").write_text("hedgegridd-bench\n")
        # The kernel is the host's: nothing to load here.
        (self.root / "etc/systemd/system/systemd-modules-load.service").symlink_to("/dev/null")
        return self

    def boot(self) -> None:
        """Start systemd; returns when it says that the system runs."""
        spaces = ("--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--cgroup", "--kill-child")
        # A group of its own: the namespace's root is where its first process stands, and two hosts must not share one.
        self._group = _groups() / f"hedgegridd-bench-{os.getpid()}"
        self._group.mkdir()
        enter = f'echo $$ > {self._group}/cgroup.procs; exec "$@"'
        command = ["sh", "-c", enter, "enter", "unshare", *spaces, "sh", "-c", BOOT, "boot", str(self.root)]
        self._unshare = subprocess.Popen(command)
        until = time.monotonic() + BOOT_S
        while True:
            if self._unshare.poll() is not None:
                raise TreeError(f"the boot ended with {self._unshare.returncode}")
            if time.monotonic() > until:
                raise TreeError(
                    f"not booted within {BOOT_S:.0f} s: {self._state() or 'systemd does not answer'}"
                )
            if self._state() in ("running", "degraded"):
                return
            time.sleep(0.2)

    def _state(self) -> str:
        assert self._unshare is not None
        children = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children").read_text().split()
        if not children:
            return ""
        self.pid = int(children[0])
        return self.run("systemctl is-system-running", check=False, timeout_s=20).stdout.strip()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._unshare is not None and self._unshare.poll() is None:
            os.kill(
                self.pid or self._unshare.pid, signal.SIGKILL
            )  # process 1 of the namespace: all of it ends
            self._unshare.wait(20)
        if self._group is not None:
            for folder, _, _ in os.walk(self._group, topdown=False):
                Path(folder).rmdir()
        self._clear()

    def _clear(self) -> None:
        if os.path.ismount(self.root):
            _call("umount", "-l", str(self.root))
        for name in ("upper", "work", "host"):
            shutil.rmtree(self._folder / name, ignore_errors=True)

    # ----------------------------------------------------------------------------------------------- inside of it

    def run(
        self, command: str, *, check: bool = True, timeout_s: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """A shell command inside; raises TreeError when it fails and `check` says so."""
        inside = ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"]
        env = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
        }
        done = subprocess.run(
            [*inside, "/bin/sh", "-c", command],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=env,
            check=False,
        )
        if check and done.returncode:
            raise TreeError(
                f"`{command[:200]}` ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-1500:]}"
            )
        return done

    def out(self, command: str, **options: Any) -> str:
        """What a command says, stripped."""
        return self.run(command, **options).stdout.strip()

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.out(f"systemctl show {shlex.quote(unit)} -p {name} --value")

    def _inside(self, path: str) -> Path:
        """A path as process 1 sees it: /run and /tmp are mounts of its own."""
        found = Path(f"/proc/{self.pid}/root") / path.lstrip("/")
        found.parent.mkdir(parents=True, exist_ok=True)
        return found

    def put(self, path: str, text: str, mode: int = 0o644) -> None:
        """A file inside."""
        self._inside(path).write_text(text)
        self._inside(path).chmod(mode)

    def copy(self, source: Path, path: str) -> None:
        """A file of ours, inside."""
        shutil.copyfile(source, self._inside(path))

    def journal(self, unit: str, since: str = "") -> list[dict[str, Any]]:
        """The unit's lines."""
        where = f" --after-cursor={shlex.quote(since)}" if since else ""
        text = self.out(f"journalctl -u {shlex.quote(unit)} -o json --no-pager{where}")
        return [json.loads(line) for line in text.splitlines()]

    def wait(self, what: str, true: Callable[[], object], seconds: float = 90) -> float:
        """Until it is so; how long that took in seconds. Raises TreeError when it is not in time."""
        began = time.monotonic()
        while not true():
            if time.monotonic() - began > seconds:
                raise TreeError(f"not within {seconds:.0f} s: {what}")
            time.sleep(0.2)
        return time.monotonic() - began


def _groups() -> Path:
    """Where the host has mounted cgroup2. Raises TreeError when it has not."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    raise TreeError("cgroup2 is mounted nowhere")


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise TreeError(f"{' '.join(command)}: {done.stderr.strip()}")
