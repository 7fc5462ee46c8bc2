"""The mark price of a paper market: the index smoothed on the market's clock."""

TAU_MS = 10_000
_SCALE = 1_000_000


class MarkFilter:
    """The index smoothed exponentially, time constant 10 s of market time.

    In integers (millionths of a tick), so that it is the same on every machine.
    """

    def __init__(self, ticks: int, ts_ms: int) -> None:
        self._scaled = ticks * _SCALE
        self._ts_ms = ts_ms

    def save(self) -> tuple[int, int]:
        """Its two figures, for `restore`."""
        return self._scaled, self._ts_ms

    def restore(self, saved: tuple[int, int]) -> None:
        """Go on as the filter that gave `saved`."""
        self._scaled, self._ts_ms = saved

    def at(self, ticks: int, ts_ms: int) -> int:
        """Mark in ticks when the index is `ticks` at `ts_ms`; time that stands still moves nothing."""
        elapsed = ts_ms - self._ts_ms
        if elapsed > 0:
            self._ts_ms = ts_ms
            self._scaled += (ticks * _SCALE - self._scaled) * elapsed // (TAU_MS + elapsed)
        return (self._scaled + _SCALE // 2) // _SCALE
