"""What failed answers and refusals in words mean."""

import msgspec
import pytest

from hedgegridd.venue.failures import RETRY_AFTER_DEFAULT_S, Kind, of_answer, of_text, with_status

ANSWERS = [
    # status, body, retry-after, kind, code, seconds
    (400, b'{"code":-2013,"msg":"Order does not exist."}', None, Kind.REFUSED, -2013, 0),
    (400, b'{"code":-1021,"msg":"Timestamp ..."}', None, Kind.REFUSED, -1021, 0),
    (403, b"<html>WAF</html>", None, Kind.REFUSED, 0, 0),
    (408, b'{"code":-1007,"msg":"Timeout"}', None, Kind.AMBIGUOUS, -1007, 0),
    (408, b"<html>Request Time-out</html>", None, Kind.AMBIGUOUS, 0, 0),
    (400, b'{"code":-1,"msg":"Unknown error, please check your request."}', None, Kind.AMBIGUOUS, -1, 0),
    (400, b'{"code":-1006,"msg":"unexpected"}', None, Kind.AMBIGUOUS, -1006, 0),
    (429, b'{"code":-1003,"msg":"Too many"}', "7", Kind.LIMITED, -1003, 7),
    (429, b'{"code":-1015,"msg":"Too many orders"}', None, Kind.LIMITED, -1015, RETRY_AFTER_DEFAULT_S),
    (418, b"", "120", Kind.LIMITED, 0, 120),
    (418, b"", "999999999", Kind.LIMITED, 0, 259_200),
    (429, b"", "soon", Kind.LIMITED, 0, RETRY_AFTER_DEFAULT_S),
    (500, b"", None, Kind.AMBIGUOUS, 0, 0),
    (502, b"<html>", None, Kind.AMBIGUOUS, 0, 0),
    (
        503,
        b'{"code":-1,"msg":"Unknown error, please check your request or try again later."}',
        None,
        Kind.AMBIGUOUS,
        -1,
        0,
    ),
    (503, b'{"code":-1,"msg":"Service Unavailable."}', None, Kind.REFUSED, -1, 0),
    (503, b'{"code":-1008,"msg":"Server is currently overloaded"}', None, Kind.REFUSED, -1008, 0),
    (503, b"", None, Kind.AMBIGUOUS, 0, 0),
]


@pytest.mark.parametrize("row", ANSWERS)
def test_answers(row: tuple[int, bytes, str | None, Kind, int, float]) -> None:
    status, body, after, kind, code, seconds = row
    failure = of_answer(status, body, after)
    assert (failure.kind, failure.code, failure.retry_after_s) == (kind, code, seconds)
    assert failure.reason
    assert failure.status == status


TEXTS = [
    ("{'code': -5022, 'msg': 'Due to the order could not be executed as maker'}", Kind.REFUSED, -5022),
    ("{'code': -2011, 'msg': 'Unknown order sent.'}", Kind.REFUSED, -2011),
    ('{"code":-4116,"msg":"ClientOrderId is duplicated."}', Kind.REFUSED, -4116),
    ("batch-cancel-error: code=-2011, msg=Unknown order sent.", Kind.REFUSED, -2011),
    ("{'code': -1007, 'msg': 'Timeout waiting for response'}", Kind.AMBIGUOUS, -1007),
    ("{'code': -1, 'msg': 'Unknown error, please check your request'}", Kind.AMBIGUOUS, -1),
    ("error sending request: connection reset by peer", Kind.AMBIGUOUS, 0),
    ("operation timed out", Kind.AMBIGUOUS, 0),
    ("tcp connect error: Connection refused", Kind.UNSENT, 0),
    ("{'code': -1015, 'msg': 'Too many new orders'}", Kind.LIMITED, -1015),
    ("HTTP 502: <html><title>502 Bad Gateway</title>error code: 502</html>", Kind.AMBIGUOUS, 0),
    ("HTTP 504: ", Kind.AMBIGUOUS, 0),
    ("HTTP 503: <html>503 Service Unavailable</html>", Kind.REFUSED, 0),
    ("HTTP 418: ", Kind.LIMITED, 0),
    ("HTTP 403: <html>WAF</html>", Kind.REFUSED, 0),
    ("HTTP 200: Non-JSON response (HTTP 200): <html>", Kind.AMBIGUOUS, 0),
    ("{'code': -1, 'msg': 'Internal error', 'status': 500}", Kind.AMBIGUOUS, -1),
    ("{'code': -2019, 'msg': 'Margin is insufficient.', 'status': 400}", Kind.REFUSED, -2019),
    ("{'code': -1008, 'msg': 'overloaded', 'status': 503}", Kind.REFUSED, -1008),
    ("{'status': 500}", Kind.AMBIGUOUS, 0),
    ("denied: UNSUPPORTED_ORDER_TYPE", Kind.REFUSED, 0),
    ("REJECTED", Kind.REFUSED, 0),
]


@pytest.mark.parametrize(("text", "kind", "code"), TEXTS)
def test_texts(text: str, kind: Kind, code: int) -> None:
    failure = of_text(text)
    assert (failure.kind, failure.code) == (kind, code)


@pytest.mark.parametrize("row", ANSWERS)
def test_the_adapters_words_with_their_status_mean_what_the_answer_does(
    row: tuple[int, bytes, str | None, Kind, int, float],
) -> None:
    status, body, _, kind, code, _ = row
    try:
        said = msgspec.json.decode(body) if body else None  # as the adapter reads it
    except msgspec.DecodeError:
        said = body.decode()
    failure = of_text(str(with_status(status, said)))
    assert (failure.kind, failure.code, failure.status) == (kind, code, status)


def test_a_page_that_is_no_answer_is_cut_short() -> None:
    assert len(str(with_status(502, "x" * 100_000))) < 250


def test_the_message_is_taken_out_of_the_words() -> None:
    assert of_text("{'code': -2011, 'msg': 'Unknown order sent.'}").reason == "Unknown order sent."
    assert of_text("""{'code': -1, 'msg': "it's late"}""").reason == "it's late"
