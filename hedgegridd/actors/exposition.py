"""Metric families and their text for Prometheus: made fast, and in pieces, so that a scrape never holds up the loop.

`prometheus_client` renders a whole registry at one go, a few microseconds a sample: with fifty instruments that stops the
loop for milliseconds. Here a family is a list of rows, and the scrape yields between families.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Literal, NamedTuple

from prometheus_client.core import Metric

PREFIX = "hedgegrid_"
_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Row(NamedTuple):
    """One sample: the name's ending (`_total`, `_bucket`), labels as they are written, value."""

    ending: str
    labels: str
    value: object


class Family(NamedTuple):
    """One metric: its full name (of a counter without `_total`), kind, help text and rows."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    text: str
    rows: Sequence[Row]

    def lines(self) -> str:
        """As Prometheus reads it (text format 0.0.4)."""
        name = self.name
        shown = f"{name}_total" if self.kind == "counter" else name
        found = [f"# HELP {shown} {self.text}\n# TYPE {shown} {self.kind}\n"]
        found += [f"{name}{ending}{labels} {value}\n" for ending, labels, value in self.rows]
        return "".join(found)


def labels(values: Mapping[str, str]) -> str:
    """Labels as they are written behind a name; none: nothing."""
    if not values:
        return ""
    told = ",".join(f'{name}="{value.translate(_ESCAPED)}"' for name, value in values.items())
    return f"{{{told}}}"


def gauge(name: str, text: str, samples: Iterable[tuple[Mapping[str, str], object]]) -> Iterator[Family]:
    """One gauge from (labels, value) pairs; pairs without a value, and families without pairs, are left out."""
    known = [Row("", labels(of), value) for of, value in samples if value is not None]
    if known:
        yield Family(f"{PREFIX}{name}", "gauge", text, known)


def single(name: str, text: str, value: Decimal | float | None) -> Iterator[Family]:
    """One gauge without labels; left out when it is not known."""
    if value is not None:
        yield Family(f"{PREFIX}{name}", "gauge", text, [Row("", "", value)])


def counter[K: tuple[str, ...]](
    name: str, text: str, names: Sequence[str], values: Mapping[K, int]
) -> Iterator[Family]:
    """One counter from label values (in the order of `names`) to counts; left out before the first count."""
    if values:
        rows = [
            Row("_total", labels(dict(zip(names, key, strict=True))), count)
            for key, count in sorted(values.items())
        ]
        yield Family(f"{PREFIX}{name}", "counter", text, rows)


def count(name: str, text: str, value: int) -> Iterator[Family]:
    """One counter without labels: known from the start."""
    yield Family(f"{PREFIX}{name}", "counter", text, [Row("_total", "", value)])


def of_client(metrics: Iterable[Metric]) -> Iterator[Family]:
    """Histograms of `prometheus_client`; those that have observed nothing are left out."""
    for metric in metrics:
        # Its gauge of when a series began is no part of this format.
        samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
        if any(sample.value for sample in samples):
            rows = [
                Row(sample.name.removeprefix(metric.name), labels(sample.labels), sample.value)
                for sample in samples
            ]
            yield Family(metric.name, "histogram", metric.documentation, rows)
