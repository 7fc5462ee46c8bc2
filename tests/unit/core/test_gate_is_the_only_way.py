"""Every order of the strategy passes the pre-trade gate: there is one place that says `PlaceOrder`, behind the gate."""

import ast
from pathlib import Path

import hedgegridd
from hedgegridd.core import placing

ROOT = Path(hedgegridd.__file__).parent


def makers(name: str) -> dict[str, list[ast.Call]]:
    """Files of the daemon (not of the paper exchange) that make a message of this name, and where."""
    found: dict[str, list[ast.Call]] = {}
    for path in sorted(ROOT.rglob("*.py")):
        if path.is_relative_to(ROOT / "exchange"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = (
                    node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                )
                if called == name:
                    found.setdefault(str(path.relative_to(ROOT)), []).append(node)
    return found


def test_one_place_sends_orders_and_it_asks_the_gate_first():
    # `venue/safety.py` tells NautilusTrader's books of a close that the flatten sends; nothing goes out by that.
    # `ctl/paper_copy.py` makes a drill's copy of the account on a paper exchange, in a process of its own.
    assert set(makers("PlaceOrder")) == {"core/placing.py", "venue/safety.py", "ctl/paper_copy.py"}
    (send,) = [
        node
        for node in ast.walk(ast.parse(Path(placing.__file__).read_text()))
        if isinstance(node, ast.FunctionDef) and node.name == "_send"
    ]
    lines = {
        name: min(
            node.lineno
            for node in ast.walk(send)
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(name)
        )
        for name in ("judge", "book.add", "ctx.say")
    }
    assert lines["judge"] < lines["book.add"]
    says = [
        node
        for node in ast.walk(send)
        if isinstance(node, ast.Call) and ast.unparse(node) == "self.ctx.say(intent)"
    ]
    assert len(says) == 1
    assert lines["judge"] < says[0].lineno


def test_only_the_flatten_closes_past_the_gate_and_with_the_venues_own_figures():
    assert set(makers("CloseRaw")) == {"core/flatten_worker.py"}
