"""`make` where it cannot do its work: one sentence of help."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PYTHON = """\
#!/bin/sh
# A Python whose venv is there at once and whose pip reaches no index.
case "$1 $2" in
  "-m venv") mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
  "-m pip") echo "ERROR: Could not find a version that satisfies the requirement" >&2; exit 1 ;;
  "-m compileall") touch "$LEFT/compiled" ;;
esac
"""


def test_without_a_package_index_make_says_what_to_do(tmp_path: Path) -> None:
    python = tmp_path / "python3.14"
    python.write_text(PYTHON)
    python.chmod(0o755)
    done = subprocess.run(
        ["make", "-C", str(ROOT), "demo", f"VENV={tmp_path}/venv"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "LEFT": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode != 0
    assert "PIP_INDEX_URL" in done.stderr
    assert "PIP_FIND_LINKS" in done.stderr
    assert not (tmp_path / "compiled").exists(), "nothing goes on after a failure"
    assert not (tmp_path / "venv" / ".run").exists(), "the next make tries again"
