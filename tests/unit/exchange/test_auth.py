"""Key, time window and signature as the venue judges them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgegridd.exchange.auth import check_key, check_signed, parse_params, sign, signed_payload
from hedgegridd.exchange.types import VenueError

NOW = 1_700_000_000_000
# The example of the venue's own documentation of signed endpoints.
DOC_KEY_SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
DOC_PAYLOAD = "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp=1591702613943"
DOC_SIGNATURE = "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"


def check(query: str, body: str = "", wall_ms: int = NOW, secret: str = "s") -> None:
    check_signed(query, body, parse_params(query, body), secret, wall_ms)


def signed(payload: str, secret: str = "s") -> str:
    return f"{payload}&signature={sign(payload, secret)}"


def test_the_venues_own_example_is_accepted() -> None:
    check(f"{DOC_PAYLOAD}&signature={DOC_SIGNATURE}", wall_ms=1591702613943, secret=DOC_KEY_SECRET)


def test_query_and_body_are_signed_as_one_without_separator() -> None:
    query, body = f"symbol=X&timestamp={NOW}", "quantity=1&price=2"
    signature = sign(query + body, "s")
    check(query, f"{body}&signature={signature}")
    check(f"{query}&signature={signature}", body)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (f"timestamp={NOW}", -1102),
        (f"timestamp={NOW}&signature=00", -1022),
        (signed("symbol=X"), -1102),
        (signed("timestamp=soon"), -1102),
        (signed(f"timestamp={NOW + 1_000}"), -1021),
        (signed(f"timestamp={NOW - 5_001}"), -1021),
        (signed(f"timestamp={NOW - 101}&recvWindow=100"), -1021),
        (signed(f"timestamp={NOW}&recvWindow=60001"), -1131),
        (signed(f"timestamp={NOW}&recvWindow=0"), -1131),
        (signed(f"timestamp={NOW}", secret="other"), -1022),
    ],
)
def test_refusals(query: str, code: int) -> None:
    with pytest.raises(VenueError) as refused:
        check(query)
    assert refused.value.code == code


@pytest.mark.parametrize("age_ms", [-999, 0, 5_000])
def test_the_window_is_closed_at_its_ends(age_ms: int) -> None:
    check(signed(f"timestamp={NOW - age_ms}"))


def test_a_repeated_parameter_is_refused() -> None:
    with pytest.raises(VenueError) as refused:
        parse_params("symbol=A", "symbol=B")
    assert refused.value.code == -1101


@pytest.mark.parametrize(("given_key", "code"), [(None, -2014), ("", -2014), ("wrong", -2015)])
def test_keys(given_key: str | None, code: int) -> None:
    with pytest.raises(VenueError) as refused:
        check_key(given_key, "right")
    assert (refused.value.code, refused.value.status) == (code, 401)
    check_key("right", "right")


@given(st.text(alphabet="abc=&%1", max_size=40))
def test_the_signature_never_covers_itself(text: str) -> None:
    assert signed_payload(f"{text}&signature=ff", "") == text
