"""`hedgegridctl flatten --drill`: the whole flatten procedure against a paper copy of the account, each stage timed."""

import asyncio
import time
from decimal import Decimal
from typing import Any

import msgspec

from hedgegridd import messages as m
from hedgegridd.ctl import paper_copy
from hedgegridd.ctl.client import Client, NoAnswer
from hedgegridd.ctl.paper_copy import Account, CopyError, Paper
from hedgegridd.model import LEGS, Instrument, Leg
from hedgegridd.venue.alone import RawVenue, Run
from hedgegridd.venue.calls import VenueCalls
from hedgegridd.venue.rest import Credentials, RestClient, VenueCallError
from hedgegridd.venue.transport_plain import PlainTransport

PASS, FAIL = 0, 1
EPOCH = "drill"
LOOK_S = 5.0


def drill(client: Client, fields: dict[str, Any], *, latency_ms: int, as_json: bool) -> int:
    """Run it for the side, instrument and deadline of `fields`; the exit code: 0 PASS, 1 FAIL or no copy.

    Raises:
        NoDaemon: nobody answers on the socket.
    """
    side = fields.get("side", "both")
    legs = LEGS if side == "both" else (Leg(side.upper()),)
    try:
        found = paper_copy.accounts(
            _asked(client, "status"), _asked(client, "orders"), fields.get("instrument")
        )
        symbols = tuple(account.paper for account in found)
        with paper_copy.paper_exchange(symbols, latency_ms) as paper:
            return asyncio.run(_drill(paper, found, legs, fields.get("deadline_s", 10.0), as_json=as_json))
    except (CopyError, VenueCallError) as error:
        print(f"drill: {error}; the venue was not touched")
        return FAIL


def _asked(client: Client, verb: str) -> dict[str, Any]:
    try:
        reply = client.call(verb, {}, LOOK_S)
    except NoAnswer as error:
        raise CopyError(f"the daemon does not tell what is open: {error}") from error
    if not reply.ok:
        raise CopyError(f"the daemon does not tell what is open: {reply.problem.get('detail', '')}")
    return reply.result


async def _drill(
    paper: Paper, found: list[Account], legs: tuple[Leg, ...], deadline_s: float, *, as_json: bool
) -> int:
    client = RestClient(
        paper.rest,
        Credentials(paper.key, paper.secret),
        wall_ns=time.time_ns,
        mono_ns=time.monotonic_ns,
        make_transport=PlainTransport,
    )
    symbols = {f"{account.paper}-PERP.PAPER": account.paper for account in found}
    lines: list[str] = []
    async with client:
        calls = VenueCalls(client)
        venue = RawVenue(calls, symbols)
        rules = {rule.symbol: rule for rule in await venue.rules()}
        notes = [await _copied(paper, calls, account, rules[account.paper]) for account in found]
        head = [line for pair in notes for line in pair]
        began_ns = time.monotonic_ns()

        def say(text: str) -> None:
            lines.append(f"{(time.monotonic_ns() - began_ns) / 1e9:.2f} {text}")
            if not as_json:
                print(lines[-1], flush=True)

        if not as_json:
            print("\n".join(head), flush=True)
        answer = await Run(venue, symbols, epoch=EPOCH, say=say).run("drill", deadline_s, legs)
        after_s = (time.monotonic_ns() - began_ns) / 1e9
    passed = answer.verified and _is_flat(paper, found, legs)
    _tell(answer, passed=passed, after_s=after_s, head=head, lines=lines, as_json=as_json)
    return PASS if passed else FAIL


async def _copied(paper: Paper, calls: VenueCalls, account: Account, rules: Instrument) -> list[str]:
    """Copy one instrument; what was copied and what could not be, in lines."""
    missing = await paper_copy.copy(paper, calls, account, rules)
    held = ", ".join(f"{leg.leg} {leg.qty}" for leg in account.legs) or "no inventory"
    stops = sum(order.algo for order in account.orders)
    stands = "" if account.paper == account.symbol else f" (on paper: {account.paper})"
    line = f"drill  paper copy of {account.symbol}{stands}: {held}; {len(account.orders) - stops} orders, {stops} stops"
    return [f"{line}; nothing reaches the venue", *(f"not copied: {what}" for what in missing)]


def _is_flat(paper: Paper, found: list[Account], legs: tuple[Leg, ...]) -> bool:
    """What the paper exchange itself says, past the calls of the flatten."""
    truth = paper.admin("GET", "/truth")
    quantities = [truth["legs"][f"{account.paper}:{leg.value}"]["qty"] for account in found for leg in legs]
    orders = [*truth["open_orders"], *truth["algo_orders"]]
    names = {leg.value for leg in legs}
    return not any(map(Decimal, quantities)) and not any(row["positionSide"] in names for row in orders)


def _tell(
    answer: m.FlattenAnswer, *, passed: bool, after_s: float, head: list[str], lines: list[str], as_json: bool
) -> None:
    word = "PASS" if passed else "FAIL"
    if as_json:
        facts = {
            "verdict": word,
            "after_s": round(after_s, 3),
            "copy": head,
            "stages": lines,
            "residuals": answer.residuals,
            "residual_orders": answer.residual_orders,
            "proof": list(answer.proof),
        }
        print(msgspec.json.encode(facts).decode())
        return
    for proof in answer.proof:
        print(f"  {proof}")
    if passed:
        print(f"DRILL PASS  flat, verified on paper  {after_s:.2f} s")
        return
    left = ", ".join(f"{leg} {qty}" for leg, qty in answer.residuals.items())
    print(f"DRILL FAIL  after {after_s:.2f} s: {left}; {answer.residual_orders} orders seen last")
