"""What never leaves in a log line: secrets by the name of their field, and signatures in what libraries say."""

import pytest

from hedgegridd.log import _redact


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "error for url (http://h/fapi/v1/order?symbol=BTCUSDT&timestamp=17&signature=8bc2ab): refused",
            "error for url (http://h/fapi/v1/order?symbol=BTCUSDT&timestamp=17&signature=[redacted]): refused",
        ),
        ("ws://h/ws?listenKey=aXb9 closed", "ws://h/ws?listenKey=[redacted] closed"),
        ("a = b, signature", "a = b, signature"),
    ],
)
def test_a_signed_request_in_a_text_loses_its_signature(text, said):
    assert _redact(None, "error", {"event": "nautilus", "text": text}) == {"event": "nautilus", "text": said}


def test_a_field_that_is_named_after_a_secret_has_no_value():
    line = _redact(None, "error", {"api_key": "k", "user_secret": "s", "symbol": "BTCUSDT"})
    assert line == {"api_key": "[redacted]", "user_secret": "[redacted]", "symbol": "BTCUSDT"}
