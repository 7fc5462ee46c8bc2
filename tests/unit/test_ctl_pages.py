"""What is made from hedgegridctl's commands: help with its example, completion in the real shells, the manual page."""

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from hedgegridd.ctl import arguments, completion, manual, panic
from hedgegridd.ctl import entry as hedgegridctl
from hedgegridd.ctl import main as ctl
from hedgegridd.ctl.tree import Command, commands
from hedgegridd.operations import REGISTRY

ROOT = commands(REGISTRY)
LEAVES = [command for command in ROOT.all() if not command.children]
NEED_NO_DAEMON = {"key", "panic", "restore", "completion", "man", "journal"}


def name(command: Command) -> str:
    return " ".join(command.path) or "hedgegridctl"


def test_every_operation_is_a_command() -> None:
    assert {command.path[0] for command in LEAVES} >= set(REGISTRY.verbs)
    assert ("ops", "status") in {command.path for command in LEAVES}


@pytest.mark.parametrize("command", ROOT.all()[1:], ids=name)
def test_help_ends_with_an_example_that_the_parser_takes(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        hedgegridctl.main([*command.path, "--help"])
    assert left.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"Example: {command.example}" in shown
    words = _words(command.example)
    assert words[0] == "hedgegridctl"
    assert words[1 : 1 + len(command.path)] == list(command.path)
    if command.path == ("panic",):
        panic.parser().parse_args(words[2:])
    else:
        parsed = arguments.build(REGISTRY).parse_args(words[1:])
        assert parsed.command == command.path[0]
        assert getattr(parsed, "json", None) is ("--json" in words)


def _words(line: str) -> list[str]:
    return shlex.split(line)


@pytest.mark.parametrize("command", [c for c in LEAVES if c.path[0] not in NEED_NO_DAEMON], ids=name)
@pytest.mark.parametrize("as_json", [False, True])
def test_without_a_daemon_one_helpful_sentence_and_3(
    command: Command, as_json: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "none")
    argv = ["--socket", path, *_words(command.example)[1:], *(["--json"] if as_json else [])]
    if command.path == ("doctor",):
        argv += ["-c", str(tmp_path / "none.toml")]
    assert ctl.main(argv) == ctl.NO_DAEMON
    told = capsys.readouterr()
    if as_json or "--json" in argv:
        assert path in json.loads(told.out)["detail"]
    else:
        (sentence,) = [line for line in told.err.splitlines() if line.startswith("hedgegridd is not running")]
        assert path in sentence
        assert "get out  hedgegridctl panic" in told.err


def test_no_option_takes_a_value_in_one_command_and_none_in_another() -> None:
    found: dict[str, set[bool]] = {}
    for command in ROOT.all():
        for item in command.options:
            for flag in item.flags:
                found.setdefault(flag, set()).add(bool(item.value))
    assert [flag for flag, kinds in found.items() if len(kinds) > 1] == []


ASKED = {
    "hedgegridctl fl": ["flatten"],
    "hedgegridctl flatten ": ["long", "short", "both"],
    "hedgegridctl --socket x journal ver": ["verify"],
    "hedgegridctl mode long gr": ["graceful_stop"],
    "hedgegridctl key new desk --role ": ["viewer", "operator", "admin"],
    "hedgegridctl ops status --cs": ["--csv"],
    "hedgegridctl completion ": ["bash", "zsh", "fish"],
    "hedgegridctl kill --enabled ": ["true", "false"],
}
BASH = """source "{script}"
t() {{ COMP_WORDS=("$@"); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); COMPREPLY=(); _hedgegridctl; echo "${{COMPREPLY[*]}}"; }}
complete -p hedgegridctl >&2
"""
ZSH = """compdef() {{ : }}
_files() {{ print -n @files }}
_describe() {{
  local table=${{@[-1]}} each out=()
  for each in "${{(@P)table}}"; do [[ ${{each%%:*}} == "${{words[CURRENT]}}"* ]] && out+=("${{each%%:*}}"); done
  print -r -- "$out"
}}
source "{script}"
t() {{ words=("$@"); CURRENT=$#words; _hedgegridctl; }}
"""


def _shell(shell: str) -> str:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed here")
    return found


def _asked(tmp_path: Path, shell: str, head: str) -> list[str]:
    script, test = tmp_path / "completion", tmp_path / "test"
    script.write_text(completion.completion(shell, REGISTRY))
    lines = []
    for line in ASKED:
        words = line.split(" ")
        lines.append("t " + " ".join(f"'{word}'" for word in words))
    test.write_text(head.format(script=script) + "\n".join(lines) + "\n")
    done = subprocess.run([_shell(shell), str(test)], capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.splitlines()


@pytest.mark.parametrize(("shell", "head"), [("bash", BASH), ("zsh", ZSH)])
def test_the_shell_completes(shell: str, head: str, tmp_path: Path) -> None:
    for (asked, wanted), found in zip(ASKED.items(), _asked(tmp_path, shell, head), strict=True):
        assert sorted(found.split()) == sorted(wanted), asked


def test_fish_completes(tmp_path: Path) -> None:
    script = tmp_path / "completion"
    script.write_text(completion.completion("fish", REGISTRY))
    for asked, wanted in ASKED.items():
        done = subprocess.run(
            [_shell("fish"), "--no-config", "-c", f"source '{script}'; complete -C '{asked}'"],
            capture_output=True, text=True, check=True, timeout=30,
        )  # fmt: skip
        found = [line.split("\t")[0] for line in done.stdout.splitlines()]
        assert sorted(found) == sorted(wanted), asked


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_every_command_and_prints(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ctl.main(["completion", shell]) == ctl.DONE
    printed = capsys.readouterr().out
    assert all(command.path[-1] in printed for command in ROOT.all()[1:])
    assert ctl.main(["completion", shell, "--json"]) == ctl.DONE
    assert json.loads(capsys.readouterr().out)["text"].rstrip("\n") == printed.rstrip("\n")


def test_the_manual_page_has_every_command_with_its_example() -> None:
    text = manual.page(REGISTRY)
    for command in LEAVES:
        assert rf".SS \fB{' '.join(command.path).replace('-', r'\-')}\fR" in text
        assert command.example.replace("-", r"\-") in text
    assert all(rf"\fB{code}\fR" in text for code in "012345")


def test_the_manual_page_has_no_warning(tmp_path: Path) -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not installed here")
    path = tmp_path / "hedgegridctl.1"
    path.write_text(manual.page(REGISTRY))
    done = subprocess.run(
        [groff, "-man", "-ww", "-P-c", "-P-b", "-P-u", "-Tutf8", "-Kutf8", str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stderr == ""
    assert "EXIT STATUS" in done.stdout
