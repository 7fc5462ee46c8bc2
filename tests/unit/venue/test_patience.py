"""What is said of a connection that did not come, and how long it is left alone."""

import pytest

from hedgegridd.errors import VenueError
from hedgegridd.venue.failures import Failure, Kind
from hedgegridd.venue.patience import after
from hedgegridd.venue.rest import VenueCallError
from hedgegridd.venue.setup import SetupRefused


def failed(code: int = 0, retry_after_s: float = 0.0) -> VenueCallError:
    kind = Kind.LIMITED if retry_after_s else Kind.REFUSED
    return VenueCallError(
        "GET /fapi/v1/positionSide/dual",
        Failure(kind=kind, code=code, reason="as the venue says", retry_after_s=retry_after_s),
    )


@pytest.mark.parametrize(
    ("code", "named"),
    [(-2014, "[venue] api_key"), (-2015, "addresses that the key allows"), (-1022, "[venue] api_secret")],
)
def test_a_refused_key_is_said_with_its_remedy_and_tried_slowly(code: int, named: str) -> None:
    said, pause_s = after(failed(code), 1)
    assert said.startswith("only you can mend this: the venue refuses our key: ")
    assert named in said
    assert f"({code} as the venue says)" in said
    assert pause_s == 30


@pytest.mark.parametrize(("attempt", "pause_s"), [(1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (1_000, 30)])
def test_anything_else_is_tried_soon_and_then_less_often(attempt: int, pause_s: float) -> None:
    assert after(failed(), attempt)[1] == pause_s
    assert after(VenueError("not connected within 60 s"), attempt) == ("not connected within 60 s", pause_s)


def test_a_set_up_that_only_a_person_can_change_is_said_so() -> None:
    assert after(SetupRefused("the API key may withdraw"), 1) == (
        "only you can mend this: the API key may withdraw",
        1,
    )


def test_a_limit_is_waited_out() -> None:
    assert after(failed(-1003, 77.0), 1)[1] == 77
