"""What rules and dashboards ask for, and which metrics there are: read from the files as they stand. Pure."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
ETC = ROOT / "etc"
RULES = tuple(sorted((ETC / "prometheus" / "rules").glob("*.yml")))
DASHBOARDS = tuple(sorted((ETC / "grafana" / "dashboards").glob("*.json")))
SOURCES = tuple(sorted((ROOT / "hedgegridd" / "actors").glob("metric*.py")))
OTHERS = frozenset(  # of Prometheus itself and of the Python client
    ("up", "ALERTS", "process_cpu_seconds_total", "process_resident_memory_bytes")
)
VARIABLES = {"$__rate_interval": "1m", "$__interval": "1m", "$bot": ".*", "$instrument": ".*"}
_NAME = re.compile(
    r"(?<![\w:$])([a-zA-Z_:][\w:]*)\b(?![\w:]|\s*\()"
)  # before a parenthesis stands a function
_LABELS = re.compile(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_WORDS = frozenset(("and", "or", "unless", "offset", "bool", "inf", "nan"))


class Query(NamedTuple):
    """A PromQL expression and where it stands."""

    where: str
    text: str


def made() -> dict[str, str]:
    """Every metric of ours by the name that a scrape shows (a histogram's without its endings), with its kind."""
    text = "".join(path.read_text() for path in SOURCES)
    gauges = re.findall(r'\b(?:gauge|single|each|books)\(\s*"(\w+)"', text)
    counted = re.findall(r'\b(?:counter|count)\(\s*"(\w+)"', text)
    timed = re.findall(r'\b_histogram\(\s*"(\w+)"', text)
    found = {f"hedgegrid_{name}": "gauge" for name in gauges}
    found |= {f"hedgegrid_{name}_total": "counter" for name in counted}
    return found | {f"hedgegrid_{name}": "histogram" for name in timed}


def selectable() -> frozenset[str]:
    """Every name that a query may ask for: series of ours, recording rules, and what others make."""
    series = {
        f"{name}{ending}"
        for name, kind in made().items()
        for ending in (("_bucket", "_sum", "_count") if kind == "histogram" else ("",))
    }
    return frozenset(series | {rule["record"] for _, rule in rules() if "record" in rule} | OTHERS)


def rules() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every rule with its file."""
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                yield path, rule


def alerts() -> dict[str, dict[str, Any]]:
    """Alert rules by name."""
    return {rule["alert"]: rule for _, rule in rules() if "alert" in rule}


def rule_queries() -> Iterator[Query]:
    """The expression of every rule."""
    for path, rule in rules():
        yield Query(f"{path.name}: {rule.get('alert') or rule['record']}", rule["expr"])


def dashboard_queries() -> Iterator[Query]:
    """Every expression of every dashboard, Grafana's variables filled in."""
    for path in DASHBOARDS:
        board = json.loads(path.read_text())
        for panel in board["panels"]:
            for target in panel["targets"]:
                yield Query(f"{path.name}: {panel['title']}", filled(target["expr"]))
        for note in board["annotations"]["list"]:
            yield Query(f"{path.name}: annotation {note['name']}", filled(note["expr"]))
        for variable in board["templating"]["list"]:
            asked = variable["query"]["query"]
            selector = asked.removeprefix("label_values(").rpartition(",")[0]
            yield Query(f"{path.name}: variable {variable['name']}", filled(selector))


def filled(query: str) -> str:
    """With values in the place of Grafana's variables."""
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    return query


def names(query: str) -> frozenset[str]:
    """The metrics that an expression asks for."""
    bare = _GROUPING.sub(" ", _LABELS.sub(" ", query))
    return frozenset(name for name in _NAME.findall(bare) if name.lower() not in _WORDS)


def anchors(page: str) -> frozenset[str]:
    """The anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)
    return frozenset(plain)


# spec/5-observability.md, its whole list. The histograms have no names there: ours stand for them, in its order.
SPECIFIED = tuple(
    f"hedgegrid_{name}"
    for name in [
        "long_inventory_usdt",
        "short_inventory_usdt",
        "net_inventory_usdt",
        "active_rungs_long",
        "active_rungs_short",
        "open_orders",
        "margin_ratio",
        "maker_ratio",
        "funding_rate_current",
        "funding_cost_1h_projected_usdt",
        "realized_pnl_usdt",
        "unrealized_pnl_usdt",
        "total_pnl_usdt",
        "uptime_seconds",
        "last_bar_timestamp",
        "equity_usdt",
        "cash_usdt",
        "market_value_usdt",
        "equity_peak_usdt",
        "drawdown_ratio",
        "equity_buffer_usdt",
        "venue_exposure_usdt",
        "liquidation_distance_ratio",
        "equity_residual_usdt",
        "health_state",
        "trading_enabled",
        "kill_switch_state",
        "guard_status",
        "guard_utilization_ratio",
        "depeg_active",
        "switch_enabled",
        "heartbeat_timestamp_seconds",
        "build_info",
        "ticks_total",
        "orders_submitted_total",
        "orders_rejected_total",
        "orders_refused_total",
        "fills_total",
        "venue_calls_total",
        "venue_errors_total",
        "rate_budget_used_ratio",
        "alerts_total",
        "commands_total",
        "auth_failures_total",
        "stop_missing_total",
        "stop_repaired_total",
        "reconcile_differences",
        "reconcile_lag_seconds",
        "external_events_total",
        "external_event_last_timestamp_seconds",
        "instrument_score",
        "tick_to_order_seconds",
        "command_to_venue_seconds",
        "trip_to_flat_seconds",
        "alert_delivery_seconds",
        "loop_lag_seconds",
        "bus_queue_wait_seconds",
        "venue_round_trip_seconds",
        "journal_commit_seconds",
        "kpi_requests_per_minute",
        "kpi_error_ratio",
        "kpi_cache_hit_ratio",
        "kpi_open_breakers",
        "kpi_healthy_venues_ratio",
    ]
)

# When a daemon that trades, and that nothing has gone wrong with, does not have one of them.
CONDITIONS = {
    "hedgegrid_liquidation_distance_ratio": "a leg has inventory and the venue names a liquidation price",
    "hedgegrid_depeg_active": "the guard depeg is on",
    "hedgegrid_orders_rejected_total": "the venue has refused an order",
    "hedgegrid_orders_refused_total": "an order was refused before sending",
    "hedgegrid_venue_errors_total": "a call of the venue has failed",
    "hedgegrid_alerts_total": "a channel is configured and an alert was sent",
    "hedgegrid_alert_delivery_seconds": "a channel is configured and has taken an alert",
    "hedgegrid_tick_to_order_seconds": "an order has followed from a tick",
    "hedgegrid_commands_total": "somebody has sent a command",
    "hedgegrid_command_to_venue_seconds": "a command has led to a cancel or a close",
    "hedgegrid_trip_to_flat_seconds": "a trip has flattened",
    "hedgegrid_stop_missing_total": "a leg was without its stop",
    "hedgegrid_stop_repaired_total": "such a leg had it again",
    "hedgegrid_external_events_total": "an external event came",
    "hedgegrid_external_event_last_timestamp_seconds": "an external event came",
    "hedgegrid_instrument_score": "there is a scanner; this version has none",
    "hedgegrid_kpi_cache_hit_ratio": "there is a cache of venue queries; this version has none",
    "hedgegrid_slippage_ratio": "a stop or a close was filled",
    "hedgegrid_maker_ratio": "an order was filled",
    "hedgegrid_fills_total": "an order was filled",
}


def shown(scrape: str) -> frozenset[str]:
    """The metrics that a scrape has, as `made` names them."""
    return frozenset(re.findall(r"^# TYPE (\w+) ", scrape, re.MULTILINE))
