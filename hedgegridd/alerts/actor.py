"""The alerts actor: events and views in, alerts to the channels' queues; it never waits for a channel.

Each channel has a task of its own (`sender.py`). Its loss does not stop trading.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from zoneinfo import ZoneInfo

import anyio
import structlog
from anyio.abc import TaskStatus

from hedgegridd import messages as m
from hedgegridd.alerts import setup
from hedgegridd.alerts.book import RANK, Book, Told
from hedgegridd.alerts.channels.telegram import Telegram
from hedgegridd.alerts.digest import Base, base_of, digest, next_due_ns
from hedgegridd.alerts.found import Finding
from hedgegridd.alerts.heartbeat import Heartbeat
from hedgegridd.alerts.outbox import Waiting
from hedgegridd.alerts.rules import Rules
from hedgegridd.alerts.sender import Sender
from hedgegridd.alerts.watch import Watch
from hedgegridd.config import Config
from hedgegridd.errors import HedgegridError
from hedgegridd.runtime.actor import Actor

TICK_S = 0.5
LOOK_S = 1.0
ASK_S = 0.9
DRAIN_S = 4.0  # a stop waits so long for what has been told to be accepted
TEST_S = 8.0
ALIVE_S = 10.0
_NS_PER_S = 1_000_000_000
_log = structlog.get_logger("alerts")


class AlertsActor(Actor):
    """`counts` by (channel, outcome): accepted, failed, rejected, expired, folded; `observe(channel, seconds)` from the event to acceptance."""

    name = "alerts"
    commands = (m.AckAlert, m.SendTestAlert)
    queries = (m.GetAlerts,)
    stop_deadline_s = 5.0

    def __init__(
        self,
        config: Config,
        secrets: Mapping[str, str],
        clock: Callable[[], int],
        *,
        counts: Counter[tuple[str, str]] | None = None,
        observe: Callable[[str, float], None] = lambda _channel, _seconds: None,
    ) -> None:
        who = setup.identity(config)
        self.counts = Counter() if counts is None else counts
        self.senders = [
            Sender(
                table.label,
                setup.channel(table, who, secrets),
                who,
                mono_ns=clock,
                ended=self._ended,
                changed=self._changed,
                counted=self._counted,
                kind=table.type,
                min_severity=table.min_severity,
                escalation=table.escalation,
                timeout_s=float(table.timeout_s),
                limit=table.queue,
            )
            for table in config.alert
        ]
        told = config.alerts
        self._observe = observe
        self._rules = Rules()
        self._book = Book(
            repeat_s=told.repeat_s,
            escalate_s=told.escalate_s,
            tiers=sum(sender.escalation for sender in self.senders),
        )
        self._digest_hours = {"24h": 24, "6h": 6}.get(told.digest)
        self._zone = ZoneInfo(config.daemon.timezone)
        self._digest_base: Base | None = None
        self._digest_due_ns = 0
        self._incidents: Counter[str] = Counter()
        self._answered_ns: int | None = None  # when the trading actors have answered us last, monotonic
        self._heartbeat = None
        if address := setup.heartbeat(config, secrets):
            self._heartbeat = Heartbeat(
                address,
                told.heartbeat_s,
                alive=self._trading_answers,
                changed=self._heartbeat_changed,
            )
        self._watch = Watch(large_loss_usdt=told.large_loss_usdt, funding_bps=told.funding_bps)
        self._tests: dict[str, _Test] = {}

    def wanted(self) -> tuple[type[m.Message], ...]:
        """What the rules judge, and the ends of tests."""
        return (*self._rules.events, m.AlertDelivered)

    # ----------------------------------------------------------------------------------------------------- messages

    def handle(self, envelope: m.Envelope) -> Sequence[m.Message]:
        """Judge an event, or obey."""
        match envelope.message:
            case m.AckAlert() as command:
                return self._acknowledge(envelope.seq, command)
            case m.SendTestAlert() as command:
                return self._begin_test(envelope, command)
            case m.GetAlerts():
                return [self._answer(envelope.seq)]
            case m.AlertDelivered() as event:
                return self._test_delivered(event)
            case m.Woke() as woke:
                return self._end_test(woke.token)
        findings = self._rules.judge(envelope)
        told = self._book.take(findings, seq=envelope.seq, time_ns=envelope.time_ns, mono_ns=envelope.mono_ns)
        return [self._send(each, envelope.mono_ns) for each in told]

    def _send(self, told: Told, heard_ns: int) -> m.AlertTold:
        """Put it into the queue of every channel that hears it."""
        alert = told.alert
        if alert.stage == "raised" and alert.severity != "INFO":
            self._incidents[alert.kind] += 1
        tier = 0
        names = []
        for sender in self.senders:
            if sender.escalation:
                tier += 1
                hears = tier <= told.tier
            else:
                hears = RANK[told.severity] >= RANK[sender.min_severity]
            if hears and alert.key != f"channel:{sender.name}":
                sender.offer(alert, heard_ns)
                names.append(sender.name)
        return m.AlertTold(alert=alert, channels=tuple(names))

    def _acknowledge(self, to: int, command: m.AckAlert) -> list[m.Message]:
        ids = self._book.acknowledge(command.alert_id, command.by)
        if not ids:
            open_ids = [item.alert.alert_id for item in self._book.opened() if not item.by]
            what = "no alert" if command.alert_id == "all" else f"no alert {command.alert_id}"
            return [
                m.Refused(to=to, reason=f"{what} is open and unacknowledged", accepted=tuple(open_ids[:20]))
            ]
        return [
            m.AlertAcknowledged(alert_ids=ids, by=command.by),
            m.Done(to=to, detail={"acknowledged": list(ids)}),
        ]

    def _answer(self, to: int) -> m.AlertsAnswer:
        return m.AlertsAnswer(
            to=to,
            open=self._book.opened(),
            recent=tuple(reversed(self._book.recent)),
            channels=tuple(sender.view() for sender in self.senders),
        )

    # -------------------------------------------------------------------------------------------------------- tests

    def _begin_test(self, envelope: m.Envelope, command: m.SendTestAlert) -> list[m.Message]:
        chosen = [sender for sender in self.senders if command.channel in ("", sender.name)]
        if not chosen:
            names = tuple(sender.name for sender in self.senders)
            what = f"no channel {command.channel!r}" if names else "no [[alert]] channel is configured"
            return [m.Refused(to=envelope.seq, reason=what, accepted=names)]
        alert = m.Alert(
            alert_id=f"A-{envelope.seq}",
            kind="test",
            key=f"test:{envelope.seq}",
            severity="INFO",
            title="TEST",
            what=f"a test alert, asked for by {command.by or 'somebody'}",
            did="nothing",
            do="nothing: it shows that alerts arrive",
            section="alerts",
            stage="test",
            time_ns=envelope.time_ns,
            since_ns=envelope.time_ns,
        )
        for sender in chosen:
            sender.offer(alert, envelope.mono_ns)
        names = tuple(sender.name for sender in chosen)
        self._tests[alert.alert_id] = _Test(envelope.seq, set(names))
        wake = m.WakeAt(at_ns=envelope.mono_ns + round(TEST_S * _NS_PER_S), token=alert.alert_id)
        return [m.AlertTold(alert=alert, channels=names), wake]

    def _test_delivered(self, event: m.AlertDelivered) -> list[m.Message]:
        test = self._tests.get(event.alert_id)
        if test is None or event.stage != "test":
            return []
        test.waits_for.discard(event.channel)
        test.outcomes[event.channel] = event.outcome + (
            f" after {event.after_ms} ms" if event.outcome == "accepted" else f": {event.detail}"
        )
        return [] if test.waits_for else self._end_test(event.alert_id)

    def _end_test(self, alert_id: str) -> list[m.Message]:
        test = self._tests.pop(alert_id, None)
        if test is None:
            return []
        for sender in self.senders:
            if sender.name in test.waits_for:
                test.outcomes[sender.name] = f"not accepted yet: {sender.last_error or 'it waits its turn'}"
        detail: dict[str, object] = {"alert_id": alert_id, "channels": test.outcomes}
        return [m.Done(to=test.to, detail=detail)]

    # --------------------------------------------------------------------------------------------- from the senders

    def _ended(self, sender: Sender, item: Waiting, outcome: m.DeliveryOutcome, detail: str) -> None:
        after_ns = self.bus.clock.mono_ns() - item.heard_ns
        if outcome == "accepted":
            self._observe(sender.name, after_ns / _NS_PER_S)
        self.bus.publish(
            m.AlertDelivered(
                alert_id=item.alert.alert_id,
                stage=item.alert.stage,
                channel=sender.name,
                outcome=outcome,
                after_ms=after_ns // 1_000_000,
                detail=detail,
            ),
            actor=self.name,
        )

    def _counted(self, sender: Sender, outcome: str) -> None:
        self.counts[sender.name, outcome] += 1

    def _changed(self, sender: Sender) -> None:
        event = m.ChannelChanged(channel=sender.name, up=not sender.trouble, detail=sender.trouble)
        self.bus.publish(event, actor=self.name)

    def _heartbeat_changed(self, up: bool, detail: str) -> None:
        self.bus.publish(m.ChannelChanged(channel="heartbeat", up=up, detail=detail), actor=self.name)

    def _trading_answers(self) -> bool:
        """Whether desk and flatten have answered lately; before they could be asked they count as answering."""
        return self._answered_ns is None or self.bus.clock.mono_ns() - self._answered_ns < ALIVE_S * _NS_PER_S

    def troubles(self) -> tuple[str, ...]:
        """Channels that do not take alerts, in words."""
        return tuple(
            f"alert channel {sender.name} fails: {sender.trouble}"
            for sender in self.senders
            if sender.trouble
        )

    # --------------------------------------------------------------------------------------------------------- life

    async def start(self) -> None:
        """Open the channels and begin to send."""
        for sender in self.senders:
            await sender.channel.open()
            self.spawn(sender.run)
            if isinstance(sender.channel, Telegram):
                self.spawn(sender.channel.listen, self._acknowledged_by)
        self.spawn(self._ticks)
        self._answered_ns = None
        self.spawn(self._looks)
        if self._heartbeat is not None:
            self.spawn(self._heartbeat.run)

    async def stop(self) -> None:
        """Give what has been told a little time to be accepted."""
        if self._tasks is not None:  # not at a restart: then nobody sends any more
            with anyio.move_on_after(DRAIN_S):
                for sender in self.senders:
                    await sender.drained()
        for sender in self.senders:
            if not sender.idle:
                left = len(sender.outbox)
                _log.error("alerts_left_unsent", channel=sender.name, left=left, error=sender.last_error)

    async def run_tasks(
        self,
        finished: anyio.Event,
        on_task_error: Callable[[Actor, Exception], None],
        *,
        task_status: TaskStatus[None],
    ) -> None:
        """See `Actor`; the channels are closed when nobody uses them any more."""
        try:
            await super().run_tasks(finished, on_task_error, task_status=task_status)
        finally:
            for sender in self.senders:
                await sender.channel.close()

    async def _ticks(self) -> None:
        while True:
            await anyio.sleep(TICK_S)
            clock = self.bus.clock
            mono_ns = clock.mono_ns()
            for told in self._book.tick(clock.wall_ns(), mono_ns):
                self.bus.publish(self._send(told, mono_ns), actor=self.name)

    async def _looks(self) -> None:
        while True:
            await anyio.sleep(LOOK_S)
            flattens = await self._asked(m.GetFlattens(), m.FlattensAnswer)
            status = await self._asked(m.GetStatus(), m.StatusAnswer)
            clock = self.bus.clock
            time_ns, mono_ns = clock.wall_ns(), clock.mono_ns()
            if self._answered_ns is None or (status is not None and flattens is not None):
                self._answered_ns = mono_ns
            findings = self._watch.look(None if status is None else status.view, flattens, time_ns)
            if status is not None:
                findings += await self._digest(status.view, time_ns)
            if not findings:
                continue
            seq = self.bus.take_seq()
            for told in self._book.take(findings, seq=seq, time_ns=time_ns, mono_ns=mono_ns):
                self.bus.publish(self._send(told, mono_ns), actor=self.name)

    async def _digest(self, view: m.DeskView, now_ns: int) -> list[Finding]:
        """The figures since the last one when it is time for them; it counts from when the books are known."""
        if self._digest_hours is None or not view.reconciled:
            return []
        base, due_ns = self._digest_base, self._digest_due_ns
        if base is not None and now_ns < due_ns:
            return []
        self._digest_base = base_of(view, now_ns)
        self._digest_due_ns = next_due_ns(now_ns, self._digest_hours, self._zone)
        if base is None:
            return []
        incidents, self._incidents = self._incidents, Counter()
        guards = await self._asked(m.GetGuards(), m.GuardsAnswer)
        return [digest(base, view, guards, incidents, now_ns)]

    async def _acknowledged_by(self, alert_id: str, by: str) -> str:
        """A button was pressed; what came of it, for who pressed it."""
        try:
            answer = await self.bus.ask(m.AckAlert(alert_id=alert_id, by=by), ASK_S, actor=by)
        except HedgegridError:
            return "not acknowledged: the daemon does not answer"
        return answer.reason if isinstance(answer, m.Refused) else f"{alert_id} is acknowledged by {by}"

    async def _asked[A: m.Answer](self, query: m.Query, kind: type[A]) -> A | None:
        try:
            answer = await self.bus.ask(query, ASK_S, actor=self.name)
        except HedgegridError:
            return None
        return answer if isinstance(answer, kind) else None


class _Test:
    """A test alert that is on its way: who asked, whose word is missing, what the others said."""

    def __init__(self, to: int, waits_for: set[str]) -> None:
        self.to = to
        self.waits_for = waits_for
        self.outcomes: dict[str, str] = {}
