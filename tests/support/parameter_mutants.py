"""Finds config parameters whose effect no test notices: each use of each is replaced by its default, in memory.

`python -m tests.support.parameter_mutants [part of file:line:name]` lists the uses after which the fast suites stay
green. A process per mutant loads the package through an import hook; no file is changed. Exit 1 with a survivor.
"""

import ast
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_loader
from pathlib import Path
from types import CodeType, ModuleType

PACKAGE = Path("hedgegridd")
# Who holds a table: the attribute `x.y` is a parameter's use when `y` is a name of a table that `x` may be.
HOLDERS = {
    "Daemon": {"daemon"},
    "Venue": {"venue", "options"},
    "Regime": {"cfg", "_cfg", "regime"},
    "Funding": {"cfg", "funding"},
    "Policy": {"policy"},
    "Position": {"position", "limits"},
    "Execution": {"execution"},
    "Grid": {"grid", "_grid"},
    "KillSwitch": {"config", "_config", "kill_switch"},
    "Pretrade": {"pretrade", "limits"},
    "Control": {"config", "_config", "control"},
    "Metrics": {"_config", "metrics"},
    "Kpi": {"config"},
    "Journal": {"journal"},
    "Backup": {"backup"},
    "Panic": {"own"},
}
SKIPPED = {"config.py", "config_load.py", "demo.py"}
SUITES = {
    "core/check": ["tests/unit/core/test_parameters_check.py", "tests/unit/core/test_check.py"],
    "core": ["tests/unit/core/test_parameters.py", "tests/unit/core", "tests/property/test_entries.py"],
    "venue": ["tests/unit/venue/test_parameters_venue.py", "tests/unit/venue"],
    "ctl": ["tests/unit/test_panic_settings.py"],
    "control": [
        "tests/unit/test_parameters_control.py",
        "tests/unit/test_control_http.py",
        "tests/unit/test_control_unix.py",
        "tests/unit/test_control_verdict.py",
    ],
    "": [
        "tests/unit/test_parameters_daemon.py",
        "tests/unit/test_app.py",
        "tests/unit/test_archive.py",
        "tests/unit/test_check_command.py",
    ],
}
NO_DEFAULT = {
    "max_order_notional_usdt",
    "max_leg_notional_usdt",
    "max_gross_notional_usdt",
}  # mutant: no limit


@dataclass(frozen=True)
class Use:
    """One place where the code reads a parameter."""

    file: str
    line: int
    column: int
    table: str
    name: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}:{self.table}.{self.name}"

    def default(self) -> ast.expr:
        """The expression that takes the use's place."""
        if self.name in NO_DEFAULT:
            return ast.parse("__import__('decimal').Decimal('1e18')", mode="eval").body
        text = f"__import__('hedgegridd.config', fromlist=['x']).{self.table}().{self.name}"
        return ast.parse(text, mode="eval").body


def tables() -> dict[str, set[str]]:
    """The names of every table of the config file, properties of it included."""
    tree = ast.parse((PACKAGE / "config.py").read_text())
    names: dict[str, set[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name in HOLDERS:
            fields = {
                x.target.id
                for x in node.body
                if isinstance(x, ast.AnnAssign) and isinstance(x.target, ast.Name)
            }
            names[node.name] = fields | ({"bars_to_warm"} if node.name == "Grid" else set())
    names["Grid"] -= {"instrument", "execution", "funding", "regime", "position", "policy"}
    return names


def uses() -> Iterator[Use]:
    """Every use in the daemon's code (the paper exchange has no config file)."""
    names = tables()
    for path in sorted(PACKAGE.rglob("*.py")):
        file = str(path.relative_to(PACKAGE))
        if file in SKIPPED or file.startswith(("exchange/", "ctl/")):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                holder = ast.unparse(node.value).rpartition(".")[2]
                # In a view `venue` is what the gateway tells, not the config's table.
                elsewhere = holder == "venue" and file.startswith(("control/", "actors/"))
                for table, fields in names.items():
                    if elsewhere:
                        continue
                    if holder in HOLDERS[table] and node.attr in fields:
                        yield Use(file, node.lineno, node.col_offset, table, node.attr)


class _Replace(ast.NodeTransformer):
    def __init__(self, use: Use) -> None:
        self.use = use
        self.done = False

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        at = (node.lineno, node.col_offset, node.attr)
        if at == (self.use.line, self.use.column, self.use.name):
            self.done = True
            return ast.copy_location(self.use.default(), node)
        self.generic_visit(node)
        return node


class _Mutated(SourceFileLoader):
    def __init__(self, name: str, path: str, use: Use) -> None:
        super().__init__(name, path)
        self.use = use

    def get_code(self, fullname: str) -> CodeType:
        replace = _Replace(self.use)
        tree = replace.visit(ast.parse(Path(self.path).read_text()))
        if not replace.done:
            raise ImportError(f"{self.use} has moved: the file was edited meanwhile")
        return compile(ast.fix_missing_locations(tree), self.path, "exec")


class _Finder(MetaPathFinder):
    def __init__(self, use: Use) -> None:
        self.use = use
        self.module = "hedgegridd." + use.file.removesuffix(".py").replace("/", ".")

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.module:
            return None
        loader: Loader = _Mutated(fullname, str(PACKAGE / self.use.file), self.use)
        return spec_from_loader(fullname, loader)


def suites(use: Use) -> list[str]:
    """The fast tests that ought to notice."""
    return next(paths for part, paths in SUITES.items() if use.file.startswith(part))


def red(paths: list[str], use: Use | None = None) -> bool:
    """Whether a test goes red; in a child, so that each mutant has the package for itself."""
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code not in {0, 1}:  # pytest itself has failed: that says nothing about the tests
            raise RuntimeError(f"pytest ended with {code} for {use}")
        return code == 1
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.dup2(devnull, 2)
    if use is not None:
        sys.meta_path.insert(0, _Finder(use))
    import pytest

    os._exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *paths]))


def main() -> int:
    """Every use that a fragment on the command line names, or all."""
    import aiohttp.web  # noqa: F401  # loaded once, for all children
    import msgspec  # noqa: F401

    wanted = [use for use in uses() if not sys.argv[1:] or any(part in str(use) for part in sys.argv[1:])]
    for path in sorted({path for use in wanted for path in suites(use)}):
        if red([path]):
            raise RuntimeError(f"{path} is red without a mutant")
    alive = []
    for use in wanted:
        dead = red(suites(use), use)
        print("killed  " if dead else "SURVIVED", use, flush=True)
        if not dead:
            alive.append(use)
    print(f"{len(wanted)} uses, {len(alive)} survive")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
