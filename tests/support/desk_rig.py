"""A desk with a small sound config on the fake venue, and a random walk that drives both."""

import random
from decimal import Decimal

from hedgegridd import messages as m
from hedgegridd.config import Config, Grid, Pretrade
from hedgegridd.core.desk import Desk
from tests.support.fake_venue import FakeVenue, Faults

EPOCH = "k3f9a"
D = Decimal
LIMITS = Pretrade(
    max_order_notional_usdt=D(5000), max_leg_notional_usdt=D(20000), max_gross_notional_usdt=D(40000)
)


def config(pretrade: Pretrade = LIMITS, **grid) -> Config:
    return Config(grid=(Grid(**grid),), pretrade=pretrade)


def rig(*, seed=0, faults=None, pretrade=LIMITS, start=True, venue=None, **grid) -> FakeVenue:
    """A started venue with a desk; `venue` are fields of the venue, `grid` of the config's grid."""
    made = FakeVenue(
        Desk(config(pretrade, **grid), EPOCH), seed=seed, faults=faults or Faults(), **(venue or {})
    )
    if start:
        made.start()
    return made


def path(rng: random.Random, price: Decimal) -> list[Decimal]:
    """Four prices of a minute: mostly quiet, now and then a jump over several rungs."""
    prices = []
    for _ in range(4):
        reach = 8000 if rng.random() < 0.03 else rng.choice((100, 100, 300, 1000))
        price = max(price + D(rng.randint(-reach, reach)) / 10, D(5000))
        prices.append(price)
    return prices


def operator(rng: random.Random) -> m.Command | None:
    """Now and then somebody asks for something."""
    if rng.random() > 0.1:
        return None
    return rng.choice(
        (
            m.PauseEntries(reason="news"),
            m.ResumeEntries(),
            m.StopTrading(),
            m.StartTrading(),
            m.SetThrottle(throttle=D(rng.choice(("0", "0.5", "1")))),
            m.Reconcile(cause="operator"),
        )
    )


def walk(venue: FakeVenue, bars: int, *, commands=False, each=None) -> None:
    """Minutes of a seeded random walk; every tenth all settles and the books are compared."""
    rng = random.Random(venue.seed)
    asked: list[int] = []
    for number in range(bars):
        venue.minute(path(rng, venue.price))
        if rng.random() < 0.03:
            venue.fund(D(rng.randint(-20, 20)) / 10000)
        if rng.random() < 0.01:
            venue.transfer(D(rng.randint(-500, 500)))
        if commands and (command := operator(rng)) is not None:
            asked.append(venue.feed(command))
        if each is not None:
            each(number)
        if number % 10 == 9:
            if venue.faults.lose_fill:
                venue.feed(m.Reconcile(cause="timer"))
            venue.settle()
            venue.check()
    assert all(seq in venue.answers for seq in asked), "every command is answered"
