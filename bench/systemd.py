"""The package under a real systemd: a Debian tree is booted, the package installed, everything tried (`make systemd`).

    python -m bench.systemd                         makes the package and a tree; about a quarter of an hour
    python -m bench.systemd --tree DIR --deb FILE   keeps the tree in DIR, takes a package that is there
    python -m bench.systemd --only kill --only hang --away-s 30

Exit 0 when every row passed, or when it cannot run here (said in one line); 1 when a row failed, 2 without tree or package.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.systemd_rows import CONFIG, ROWS, Row, Stage, install, newcomer
from bench.systemd_tree import Host, TreeError, why_not

ROOT = Path(__file__).resolve().parents[1]


def package(folder: Path) -> Path:
    """A package made of what is here."""
    print("making the package (two minutes)", flush=True)
    env = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(
        [str(ROOT / "packaging/deb.sh")], env=env, capture_output=True, text=True, check=False, cwd=folder
    )
    if done.returncode:
        raise TreeError(f"packaging/deb.sh: {done.stderr[-800:]}")
    return ROOT / done.stdout.split()[-1]


def one_later(made: Path, folder: Path) -> Path:
    """The same package with a later version: what an upgrade puts over it."""
    tree, target = folder / "next", folder / "next.deb"
    for command in (
        ["dpkg-deb", "-R", str(made), str(tree)],
        ["sed", "-i", "s/^Version: .*/&+next/", str(tree / "DEBIAN/control")],
        ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(target)],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=600)
    return target


def run(rows: Sequence[Row], stage: Stage) -> int:
    """Print a line a row; how many failed."""
    failed = 0
    for row in rows:
        began = time.monotonic()
        try:
            verdict, seen = "ok", row(stage)
        except (TreeError, OSError, KeyError, ValueError, subprocess.SubprocessError) as error:
            verdict, seen = "FAILED", f"{error}" or repr(error)
            failed += 1
        name = row.__name__.replace("_", " ")
        print(
            f"| {name} | {verdict} | {time.monotonic() - began:.0f} s | {' '.join(seen.split())} |",
            flush=True,
        )
        if row in (install, newcomer) and failed:
            break  # nothing else can be tried
        if row is newcomer:
            stage.host.run(
                "sed -i '/^\\[dead_man\\]/,/^renew_s/d' /etc/hedgegridd/hedgegridd.toml && cat >> /etc/hedgegridd/hedgegridd.toml"
                f" <<'END'\n{CONFIG}END\nsystemctl restart hedgegridd",
                timeout_s=300,
            )
    return failed


def main() -> int:
    names = {row.__name__: row for row in ROWS}
    line = argparse.ArgumentParser(prog="python -m bench.systemd", description=__doc__.split("\n", 1)[0])
    line.add_argument(
        "--tree", type=Path, default=os.environ.get("HEDGEGRIDD_TREE"), help="folder that keeps the tree"
    )
    line.add_argument("--deb", type=Path, help="the package (default: make one)")
    line.add_argument("--only", action="append", choices=names, help="these rows, after install and newcomer")
    line.add_argument(
        "--away-s", type=float, default=300, help="seconds without the exchange (default %(default)s)"
    )
    args = line.parse_args()
    reason = why_not()
    if reason:
        print(f"skipped: {reason}")
        return 0
    rows = [row for row in ROWS if not args.only or row in (install, newcomer) or row.__name__ in args.only]
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hedgegridd-systemd-")))
        try:
            deb = (args.deb or package(ROOT)).resolve()
            host = stack.enter_context(Host((args.tree or scratch / "tree").resolve()))
            host.boot()
            stage = Stage(host, deb, one_later(deb, scratch), ROOT / "docs/deployment.md", args.away_s)
        except (TreeError, OSError, subprocess.SubprocessError) as error:
            print(f"bench.systemd: {error}", file=sys.stderr)
            return 2
        print(
            f"| row | | took | what was seen |\n| --- | --- | --- | --- |\n| systemd | | | {host.out('systemctl --version').splitlines()[0]} |"
        )
        return 1 if run(rows, stage) else 0


if __name__ == "__main__":
    sys.exit(main())
