"""The config file's tables as Structs: every name, default and bound of the spec in one place.

Decoding, line numbers and messages for people are in `config_load.py`; what a config *means* (dead and
contradictory combinations) is in `core/check.py`. Bounds stand in `Meta(extra=...)`: `ge`, `gt`, `le`, `lt` as text
(exact), `choices`; they hold for numbers of any kind.
"""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta


def between(low: str, high: str) -> Meta:
    """Bounds of a field, both allowed."""
    return Meta(extra={"ge": low, "le": high})


def above(low: str, high: str | None = None) -> Meta:
    """Bounds of a field, the lower one not allowed."""
    return Meta(extra={"gt": low} if high is None else {"gt": low, "le": high})


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the config file."""


class Daemon(Table, frozen=True, kw_only=True):
    """`[daemon]`: where state lives and how the daemon speaks."""

    state_dir: str = "/var/lib/hedgegridd"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"
    timezone: str = "UTC"  # of the trading day
    on_stop: Literal["keep", "flatten"] = "keep"
    start_deadline_s: Annotated[int, between("5", "3600")] = 60


class Venue(Table, frozen=True, kw_only=True):
    """`[venue]`: which venue, and the address of every connection (None: the venue's own for its environment)."""

    kind: Literal["binance_usdm"] = "binance_usdm"
    environment: Literal["live", "testnet", "paper"] = "paper"
    account: str = "acct1"
    rest_url: str | None = None
    market_ws_url: str | None = None
    user_ws_url: str | None = None
    account_url: str | None = (
        None  # where the API key's permissions are told; futures addresses do not tell them
    )
    api_key: str = "venue_api_key"  # names of credentials, never their values
    api_secret: str = "venue_api_secret"  # noqa: S105  # the name of a credential
    recv_window_ms: Annotated[int, between("100", "60000")] = 5000
    request_timeout_s: Annotated[Decimal, between("0.5", "60")] = Decimal(5)
    reconcile_interval_s: Annotated[Decimal, between("1", "600")] = Decimal(30)
    account_poll_s: Annotated[Decimal, between("0.2", "60")] = Decimal(5)
    clock_poll_s: Annotated[Decimal, between("0.5", "600")] = Decimal(30)


class Regime(Table, frozen=True, kw_only=True):
    """`[grid.regime]`: the direction filter."""

    adx_len: Annotated[int, between("2", "200")] = 14
    ema_fast: Annotated[int, between("1", "500")] = 10
    ema_slow: Annotated[int, between("2", "1000")] = 30
    atr_len: Annotated[int, between("2", "200")] = 14
    hysteresis_bps: Annotated[Decimal, between("0", "1000")] = Decimal(35)
    adx_trend: Annotated[Decimal, between("0", "100")] = Decimal(20)


class Funding(Table, frozen=True, kw_only=True):
    """`[grid.funding]`: entries of the paying side shrink before a dear settlement."""

    window_min: Annotated[int, between("0", "480")] = 480
    max_cost_bps: Annotated[Decimal, between("0", "1000")] = Decimal(12)


class Policy(Table, frozen=True, kw_only=True):
    """`[grid.policy]`: what a trend does to the sides."""

    kind: Literal["throttled-counter", "core-and-scalp", "symmetric"] = "throttled-counter"
    counter_levels: Annotated[int, between("0", "100")] = 4
    counter_qty_scale: Annotated[Decimal, between("0", "1")] = Decimal("0.5")


class Position(Table, frozen=True, kw_only=True):
    """`[grid.position]`: bounds of a leg and of the account."""

    max_qty: Annotated[Decimal, above("0")] = Decimal("0.2")
    max_balance_pct: Annotated[Decimal, above("0", "100")] = Decimal(75)
    max_leverage: Annotated[Decimal, above("0", "125")] = Decimal(5)
    liquidation_buffer_pct: Annotated[Decimal, between("0", "99")] = Decimal(15)


class Execution(Table, frozen=True, kw_only=True):
    """`[grid.execution]`: how entries are sent."""

    maker_only: bool = True
    post_only_retries: Annotated[int, between("0", "20")] = 3
    retry_delay_ms: Annotated[int, between("0", "60000")] = 100
    max_price_deviation_bps: Annotated[Decimal, between("0", "1000")] = Decimal(100)
    price_tolerance_bps: Annotated[Decimal, between("0", "100")] = Decimal(1)
    qty_tolerance_pct: Annotated[Decimal, between("0", "50")] = Decimal(1)


class Grid(Table, frozen=True, kw_only=True):
    """`[[grid]]`: one instrument's hedge grid (spec/2-strategy.md)."""

    instrument: str = "BTCUSDT-PERP"
    weight: Annotated[Decimal, above("0", "1000")] = Decimal(1)
    enabled: bool = True
    leverage: Annotated[int, between("1", "125")] = 5
    margin_type: Literal["cross", "isolated"] = "cross"
    manual_position: Literal["refuse", "adopt", "ignore"] = "refuse"
    step_bps: Annotated[Decimal, between("5", "1000")] = Decimal(50)
    levels_long: Annotated[int, between("1", "100")] = 6
    levels_short: Annotated[int, between("1", "100")] = 6
    base_qty: Annotated[Decimal, above("0")] = Decimal("0.01")
    qty_scale: Annotated[Decimal, between("1", "3")] = Decimal("1.05")
    tp_steps: Annotated[Decimal, above("0", "1000")] = Decimal(3)
    sl_steps: Annotated[Decimal, above("0", "1000")] = Decimal(5)
    stops: Literal["leg", "leg+lots"] = "leg"
    recenter_trigger_bps: Annotated[Decimal, between("1", "10000")] = Decimal(400)
    max_inventory_usdt: Annotated[Decimal, above("0")] = Decimal(10000)
    bar: Literal["1m", "3m", "5m", "15m", "1h"] = "1m"
    max_bar_age_s: Annotated[int, between("1", "86400")] = 300
    warmup_bars: Annotated[int, between("1", "1500")] | None = None  # None: max(ema_slow + 20, 70)
    execution: Execution = Execution()
    funding: Funding = Funding()
    regime: Regime = Regime()
    position: Position = Position()
    policy: Policy = Policy()

    @property
    def instrument_id(self) -> str:
        """Nautilus's id, such as `BTCUSDT-PERP.BINANCE`."""
        return f"{self.instrument}.BINANCE"

    @property
    def symbol(self) -> str:
        """The venue's symbol, such as `BTCUSDT`."""
        return self.instrument.removesuffix("-PERP")

    @property
    def bars_to_warm(self) -> int:
        """Bars before the regime may be read."""
        return self.warmup_bars or max(self.regime.ema_slow + 20, 70)


class KillSwitch(Table, frozen=True, kw_only=True):
    """`[kill_switch]`: what an operator's kill does, and how long rearm is refused after a trip."""

    action: Literal["flatten", "halt"] = "flatten"
    cooldown_s: Annotated[int, between("0", "86400")] = 0


class Pretrade(Table, frozen=True, kw_only=True):
    """`[pretrade]`: bounds of every order; the first three have no default, their absence refuses every entry."""

    max_order_notional_usdt: Annotated[Decimal, above("0")] | None = None
    max_leg_notional_usdt: Annotated[Decimal, above("0")] | None = None
    max_gross_notional_usdt: Annotated[Decimal, above("0")] | None = None
    price_collar_bps: Annotated[Decimal, above("0", "5000")] = Decimal(500)
    max_open_orders: Annotated[int, between("1", "1000")] = 200
    max_orders_per_10s: Annotated[int, between("1", "300")] = 100
    max_leverage: Annotated[Decimal, above("0", "125")] = Decimal(5)
    min_margin_after_pct: Annotated[Decimal, between("0", "99")] = Decimal(25)
    duplicate_window_ms: Annotated[int, between("0", "60000")] = 1000


class Pause(Table, frozen=True, kw_only=True):
    """`[[pause]]`: a planned pause, every time `cron` says or once `at` a time; no new entries, exits and stops stay.

    Both in the `timezone` of `[daemon]`; `at` is ISO 8601 and may carry an offset of its own.
    """

    name: str
    cron: str | None = None
    at: str | None = None
    duration_min: Annotated[int, Meta(extra={"ge": "1", "le": "10080"})]
    instruments: tuple[str, ...] = ()  # as in [[grid]]; none: all
    flatten: bool = False  # when it begins
    announce_min: Annotated[int, Meta(extra={"ge": "0", "le": "1440"})] = 15  # told so long before


class Key(Table, frozen=True, kw_only=True):
    """`[[control.keys]]`: an API key as its hash (`hedgegridctl key new` makes one)."""

    name: str
    role: Literal["viewer", "operator", "admin"]
    sha256: str


class Control(Table, frozen=True, kw_only=True):
    """`[control]`: HTTP address, socket, keys."""

    http_host: str = "127.0.0.1"
    http_port: Annotated[int, between("0", "65535")] = 8080
    socket: str = "/run/hedgegridd/control.sock"
    socket_group: str | None = None  # members are operators; the daemon's own user and root are admins
    behind_proxy: bool = False
    hosts: tuple[str, ...] = ()  # further allowed Host headers
    keys: tuple[Key, ...] = ()
    writes_per_min: Annotated[int, between("1", "100000")] = 30
    reads_per_min: Annotated[int, between("1", "1000000")] = 600
    wrong_keys_per_min: Annotated[int, between("1", "100000")] = 10
    stream_clients: Annotated[int, between("0", "1000")] = 32  # of /stream at a time
    cors_origins: tuple[str, ...] = ()  # of pages elsewhere that may ask with a key, as https://desk.example
    events_secret: str | None = (
        None  # name of the credential that signs external events; None: they are refused
    )


class Metrics(Table, frozen=True, kw_only=True):
    """`[metrics]`: where Prometheus scrapes."""

    host: str = "127.0.0.1"
    port: Annotated[int, between("0", "65535")] = 9090
    prometheus_url: str | None = None  # where `hedgegridctl doctor` asks whether Prometheus scrapes us


class Kpi(Table, frozen=True, kw_only=True):
    """`[kpi]`: thresholds of the key figures of operations; above them, for healthy venues below them."""

    requests_per_min_warn: Annotated[Decimal, between("0", "100000")] = Decimal(100)
    requests_per_min_critical: Annotated[Decimal, between("0", "100000")] = Decimal(200)
    error_rate_warn_pct: Annotated[Decimal, between("0", "100")] = Decimal(5)
    error_rate_critical_pct: Annotated[Decimal, between("0", "100")] = Decimal(15)
    open_breakers_warn: Annotated[Decimal, between("0", "100")] = Decimal(0)
    open_breakers_critical: Annotated[Decimal, between("0", "100")] = Decimal(2)
    healthy_venues_warn_pct: Annotated[Decimal, between("0", "100")] = Decimal(80)
    healthy_venues_critical_pct: Annotated[Decimal, between("0", "100")] = Decimal(50)


class Alerts(Table, frozen=True, kw_only=True):
    """`[alerts]`: what is told, how often, and who hears the daemon's own heartbeat."""

    repeat_s: Annotated[int, between("1", "86400")] = 300  # the same again is counted
    escalate_s: Annotated[int, between("1", "86400")] = 300  # a CRITICAL nobody acknowledged goes further
    large_loss_usdt: Annotated[Decimal, above("0")] = Decimal(100)
    funding_bps: Annotated[Decimal, above("0", "10000")] = Decimal(15)
    digest: Literal["24h", "6h", "off"] = "24h"
    heartbeat: str | None = None  # name of the credential with the address; None: no heartbeat
    heartbeat_s: Annotated[int, between("1", "3600")] = 60
    runbook_url: str | None = None  # where docs/runbook.md can be read; None: alerts name the file


class AlertChannel(Table, frozen=True, kw_only=True):
    """`[[alert]]`: a channel; what is secret of it is a credential."""

    type: Literal["slack", "telegram", "webhook", "alertmanager", "apprise"]
    name: str = ""  # for metrics and `hedgegridctl alerts`; "": its type
    min_severity: Literal["INFO", "WARNING", "CRITICAL"] = "INFO"
    escalation: bool = False  # hears nothing but CRITICALs that nobody has acknowledged
    url: str | None = None  # telegram, webhook, alertmanager: the address of the service
    credential: str | None = None  # its name; etc/hedgegridd.toml says what it holds
    chat_id: str | None = None  # telegram
    ack_users: tuple[str, ...] = ()  # telegram: whose button counts; none: everybody's in the chat
    timeout_s: Annotated[Decimal, between("0.1", "30")] = Decimal(4)  # of one attempt
    queue: Annotated[int, between("8", "10000")] = 256  # messages that wait before repeats are folded

    @property
    def label(self) -> str:
        """How it is called."""
        return self.name or self.type


class DeadMan(Table, frozen=True, kw_only=True):
    """`[dead_man]`: the venue cancels our ordinary orders when we fall silent (both stretched for many symbols)."""

    enabled: bool = True
    countdown_s: Annotated[Decimal, between("2", "600")] = Decimal(60)
    renew_s: Annotated[Decimal, between("0.5", "200")] = Decimal(15)


class Journal(Table, frozen=True, kw_only=True):
    """`[journal]`: bounds of the journal."""

    segment_mb: Annotated[int, between("1", "1024")] = 64
    snapshot_every: Annotated[int, between("100", "10000000")] = 10000  # records
    keep_days: Annotated[int, between("1", "3650")] = 90  # closed segments and history
    keep_gb: Annotated[Decimal, above("0", "10000")] = Decimal(5)  # of the journal


class Backup(Table, frozen=True, kw_only=True):
    """`[backup]`: how long a backup may take, and what is done with it."""

    limit_s: Annotated[int, between("1", "900")] = 600
    hook: tuple[str, ...] = ()  # a command and its arguments; the archive's path comes after them
    hook_limit_s: Annotated[int, between("1", "600")] = 300


class Panic(Table, frozen=True, kw_only=True):
    """`[panic]`: a key of its own for `hedgegridctl panic` (None: the venue's)."""

    api_key: str | None = None  # names of credentials, never their values
    api_secret: str | None = None


class Config(Table, frozen=True, kw_only=True):
    """The whole file."""

    daemon: Daemon = Daemon()
    venue: Venue = Venue()
    grid: tuple[Grid, ...]
    kill_switch: KillSwitch = KillSwitch()
    pretrade: Pretrade = Pretrade()
    dead_man: DeadMan = DeadMan()
    pause: tuple[Pause, ...] = ()
    control: Control = Control()
    metrics: Metrics = Metrics()
    kpi: Kpi = Kpi()
    alerts: Alerts = Alerts()
    alert: tuple[AlertChannel, ...] = ()
    journal: Journal = Journal()
    panic: Panic = Panic()
    backup: Backup = Backup()
    preset: Literal["conservative", "balanced", "aggressive"] = "balanced"  # levels of some guards
    guard: tuple[
        dict[str, object], ...
    ] = ()  # raw: each guard's own Struct validates its table (risk/settings.py)
