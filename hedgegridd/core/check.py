"""What a config means: contradictions, dead combinations, and its ladders and worst losses in plain words."""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from ipaddress import ip_address
from urllib.parse import urlsplit

from hedgegridd import config
from hedgegridd.core.check_grid import Subject, check_grid
from hedgegridd.core.check_pauses import check_pauses
from hedgegridd.core.dead_man_plan import SECOND_NS, plan
from hedgegridd.core.ladder import build_ladder, step_of
from hedgegridd.core.precision import fit
from hedgegridd.model import LEGS, ZERO, Instrument, Leg
from hedgegridd.problems import Path, Problem

_INSTRUMENT = re.compile(r"^[A-Z0-9]{2,14}-PERP$")
_SHA256 = re.compile(r"^[0-9a-f]{64}$")
_SOCKET_PATH_MAX = 103  # bytes of sun_path without its zero and the `.new` that it is made under

VENUE_WEIGHT = 2_400  # a minute; the daemon reads today's at start

# The venue's ordinary fees without rebates, for the estimate of a loss only.
MAKER_FEE = Decimal("0.0002")
TAKER_FEE = Decimal("0.0005")


def find_problems(
    cfg: config.Config,
    instruments: Mapping[str, Instrument] | None = None,
    prices: Mapping[str, Decimal] | None = None,
) -> list[Problem]:
    """Contradictions (errors) and parameters without effect (warnings) of a config that decoded well.

    `instruments` and `prices` (USDT) by the grid's `instrument`; what is not known is not checked.
    """
    problems: list[Problem] = []
    subjects: list[Subject] = []
    seen: set[str] = set()
    for index, grid in enumerate(cfg.grid):
        path: Path = ("grid", index)
        if not _INSTRUMENT.match(grid.instrument):
            problems.append(
                Problem(
                    path=(*path, "instrument"),
                    text=f'instrument "{grid.instrument}" is no perpetual of the venue',
                    note="such as BTCUSDT-PERP",
                )
            )
        if grid.instrument in seen:
            problems.append(
                Problem(
                    path=(*path, "instrument"),
                    text=f"{grid.instrument} has two [[grid]] tables",
                    note="one grid an instrument: the legs have one owner",
                )
            )
        seen.add(grid.instrument)
        subject = Subject(
            grid=grid,
            path=path,
            pretrade=cfg.pretrade,
            instrument=(instruments or {}).get(grid.instrument),
            price=(prices or {}).get(grid.instrument),
        )
        subjects.append(subject)
        problems.extend(check_grid(subject))
    problems.extend(_desk(cfg, subjects))
    problems.extend(_pretrade(cfg))
    problems.extend(_dead_man(cfg))
    problems.extend(check_pauses(cfg))
    problems.extend(_daemon(cfg))
    problems.extend(_addresses(cfg.venue))
    problems.extend(_doors(cfg))
    return problems


def _desk(cfg: config.Config, subjects: list[Subject]) -> Iterator[Problem]:
    """What the grids do together."""
    enabled = [subject for subject in subjects if subject.grid.enabled]
    if not enabled:
        yield Problem(
            severity="warning", path=("grid", 0, "enabled"), text="no grid is enabled: nothing will trade"
        )
    limit = cfg.pretrade.max_gross_notional_usdt
    if limit is None or any(subject.price is None for subject in enabled):
        return
    gross = sum((sum(subject.notionals(leg), ZERO) for subject in enabled for leg in LEGS), ZERO)
    if gross > limit:
        yield Problem(
            path=("pretrade", "max_gross_notional_usdt"),
            text="the ladders together exceed max_gross_notional_usdt",
            note=f"all entries are worth {gross:.0f} USDT",
            help="the gate would refuse the rest of them: raise it, or lower levels or base_qty",
        )


def _pretrade(cfg: config.Config) -> Iterator[Problem]:
    limits = cfg.pretrade
    for name in ("max_order_notional_usdt", "max_leg_notional_usdt", "max_gross_notional_usdt"):
        if getattr(limits, name) is None:
            yield Problem(
                severity="warning",
                path=("pretrade", name),
                text=f"`{name}` is missing in [pretrade]: every entry will be refused",
                help=f"set {name} to the most you allow, in USDT",
            )
    sizes = [limits.max_order_notional_usdt, limits.max_leg_notional_usdt, limits.max_gross_notional_usdt]
    names = ["max_order_notional_usdt", "max_leg_notional_usdt", "max_gross_notional_usdt"]
    for index in (0, 1):
        small, large = sizes[index], sizes[index + 1]
        if small is not None and large is not None and small > large:
            yield Problem(
                severity="warning",
                path=("pretrade", names[index]),
                text=f"{names[index]} is dead: {names[index + 1]} is lower",
                note=f"at most {large:f}",
            )
    for index, grid in enumerate(cfg.grid):
        entries = grid.levels_long + grid.levels_short
        if entries > limits.max_open_orders:
            yield Problem(
                path=("grid", index, "levels_long"),
                text=f"the ladders have {entries} rungs, max_open_orders of [pretrade] is {limits.max_open_orders}",
                help="lower the levels or raise max_open_orders",
            )
        if entries > limits.max_orders_per_10s:
            yield Problem(
                severity="warning",
                path=("pretrade", "max_orders_per_10s"),
                text=f"placing all {entries} rungs of {grid.instrument} takes longer than 10 s",
                note=f"{limits.max_orders_per_10s} orders in 10 s",
            )


def _dead_man(cfg: config.Config) -> Iterator[Problem]:
    switch = cfg.dead_man
    if not switch.enabled:
        yield Problem(
            severity="warning",
            path=("dead_man", "enabled"),
            text="the dead-man switch is off: when this host falls silent, entries stay at the venue",
            help="the leg stops protect what they fill, and nothing else does",
        )
        return
    if switch.countdown_s <= 2 * switch.renew_s:
        yield Problem(
            path=("dead_man", "countdown_s"),
            text="countdown_s must be longer than twice renew_s: one lost renewal would cancel every order",
            note=f"above {2 * switch.renew_s:f}",
        )
    found = plan(switch, sum(grid.enabled for grid in cfg.grid), VENUE_WEIGHT)
    if found.renew_ns > switch.renew_s * SECOND_NS:
        yield Problem(
            severity="warning",
            path=("dead_man", "renew_s"),
            text=f"{sum(grid.enabled for grid in cfg.grid)} symbols are renewed every {found.renew_ns / SECOND_NS:g} s only, "
            f"with a countdown of {found.countdown_ns / SECOND_NS:g} s",
            note="more would use over 10 % of the venue's request weight",
        )


def _daemon(cfg: config.Config) -> Iterator[Problem]:
    if not cfg.daemon.state_dir.startswith("/"):
        yield Problem(
            path=("daemon", "state_dir"), text="state_dir must be an absolute path", note="begins with /"
        )
    if cfg.venue.api_key == cfg.venue.api_secret:
        yield Problem(
            path=("venue", "api_secret"), text="api_key and api_secret name the same credential", note="two"
        )
    if not cfg.venue.account:
        yield Problem(path=("venue", "account"), text="account is empty", note="a name for people")


def _addresses(venue: config.Venue) -> Iterator[Problem]:
    for name, schemes in (
        ("rest_url", ("https://", "http://")),
        ("account_url", ("https://", "http://")),
        ("market_ws_url", ("wss://", "ws://")),
        ("user_ws_url", ("wss://", "ws://")),
    ):
        url: str | None = getattr(venue, name)
        if url is None:
            continue
        scheme = next((each for each in schemes if url.startswith(each)), None)
        if scheme is None or url == scheme:
            yield Problem(
                path=("venue", name),
                text=f"{name} is no address of its kind",
                note=f"begins with {schemes[0]}",
            )
        elif venue.environment == "live" and _is_loopback(urlsplit(url).hostname or ""):
            yield Problem(
                severity="warning",
                path=("venue", name),
                text=f'environment is "live", and {name} leads to this machine',
                note="no venue is here",
                help='for a paper exchange say environment = "paper": everything shown and logged would say LIVE',
            )
        elif venue.environment != "live" and _is_real(urlsplit(url).hostname or ""):
            yield Problem(
                severity="warning",
                path=("venue", name),
                text=f'environment is "{venue.environment}", and {name} leads to the real venue',
                note="real money",
                help=f'say environment = "live" if it is meant; everything shown and logged would say {venue.environment.upper()}',
            )
        elif scheme == schemes[1] and not _is_loopback(urlsplit(url).hostname or ""):
            yield Problem(
                path=("venue", name),
                text=f"{name} would send keys and orders unencrypted to another machine",
                note=f"{schemes[0]}, or a loopback address",
            )


def _is_real(host: str) -> bool:
    """Whether a host is the venue's own where orders cost money (its test hosts begin with demo or testnet)."""
    return host.endswith(".binance.com") and not host.startswith(("demo", "testnet"))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False  # a name, which may lead anywhere


def _doors(cfg: config.Config) -> Iterator[Problem]:
    """Addresses at which others reach the daemon."""
    control, metrics = cfg.control, cfg.metrics
    if not _is_loopback(control.http_host):
        missing = [
            words
            for words, absent in (
                ("behind_proxy = true (TLS is the proxy's)", not control.behind_proxy),
                ("[[control.keys]]", not control.keys),
            )
            if absent
        ]
        if missing:
            yield Problem(
                path=("control", "http_host"),
                text=f"http_host {control.http_host} is open to other machines",
                note="127.0.0.1 is this machine alone",
                help="this needs " + " and ".join(missing),
            )
    if not _is_loopback(metrics.host):
        yield Problem(
            severity="warning",
            path=("metrics", "host"),
            text=f"metrics at {metrics.host} can be read by other machines without a key",
            note="127.0.0.1 is this machine alone",
        )
    if control.http_port == metrics.port != 0:
        yield Problem(
            path=("metrics", "port"), text="metrics and control share a port", note="another than http_port"
        )
    if not control.socket.startswith("/") or len(control.socket.encode()) > _SOCKET_PATH_MAX:
        yield Problem(
            path=("control", "socket"),
            text="socket must be an absolute path of at most 103 bytes",
            note="the kernel takes no longer one",
        )
    names: set[str] = set()
    for index, key in enumerate(control.keys):
        if not key.name or key.name in names:
            yield Problem(
                path=("control", "keys", index, "name"),
                text="every key needs a name of its own",
                note="the journal tells keys apart by it",
            )
        names.add(key.name)
        if not _SHA256.match(key.sha256):
            yield Problem(
                path=("control", "keys", index, "sha256"),
                text=f'key "{key.name}" has no SHA-256',
                note="64 hex digits; `hedgegridctl key new` prints them",
            )


def describe(grid: config.Grid, instrument: Instrument, price: Decimal) -> list[str]:
    """A grid in plain words around `price` (USDT): its ladder, the notional at risk, the worst loss at the leg stops."""
    step = step_of(price, grid.step_bps)
    lines = [
        f"{grid.instrument} around {price:f} USDT, one step {step:.2f} USDT ({grid.step_bps:f} bps)",
        "        leg    rung        price     quantity       USDT",
    ]
    sums = []
    for leg in LEGS:
        kept, dropped = fit(build_ladder(leg, price, grid), instrument)
        lines += [
            f"        {leg.value:<6} {rung.level:>4} {rung.price:>12f} {rung.qty:>12f} {rung.notional_usdt:>10.2f}"
            for rung in kept
        ]
        lines += [f"        {leg.value:<6} {rung.level:>4} not placed: {reason}" for rung, reason in dropped]
        notional = sum((rung.notional_usdt for rung in kept), ZERO)
        if not kept:
            sums.append(f"{leg.value}: no rung can be placed.")
            continue
        stop = leg_stop(leg, kept[-1].price, step, grid)
        loss = sum((leg.sign * rung.qty * (rung.price - stop) for rung in kept), ZERO)
        fees = notional * MAKER_FEE + sum((rung.qty for rung in kept), ZERO) * stop * TAKER_FEE
        sums.append(
            f"{leg.value}: all rungs filled hold {notional:.2f} USDT (limit {grid.max_inventory_usdt:f}); "
            f"leg stop at {stop:.2f}: worst loss {loss + fees:.2f} USDT, fees {fees:.2f} inside, slippage not."
        )
    lines += sums
    lines.append(
        f"Each fill takes profit {grid.tp_steps * step:.2f} USDT away and stops {grid.sl_steps * step:.2f} USDT away; "
        f"the grid moves when price is {grid.recenter_trigger_bps:f} bps from its centre."
    )
    return lines


def describe_dead_man(cfg: config.Config) -> str:
    """What becomes of the orders when the daemon falls silent, in plain words."""
    switch = cfg.dead_man
    if not switch.enabled:
        return "Dead-man switch off: when this host falls silent, every order stays at the venue as it is."
    found = plan(switch, sum(grid.enabled for grid in cfg.grid), VENUE_WEIGHT)
    seconds, every = found.countdown_ns / SECOND_NS, found.renew_ns / SECOND_NS
    return (
        f"Dead-man switch: {seconds:g} s after this host falls silent the venue cancels entries and take-profits, "
        f"leg stops stay as far as is documented (renewed every {every:g} s)."
    )


def leg_stop(leg: Leg, outermost: Decimal, step: Decimal, grid: config.Grid) -> Decimal:
    """Price of the leg stop for a ladder filled to its outermost rung: one step beyond that lot's own stop."""
    return outermost - leg.sign * (grid.sl_steps + 1) * step
