"""What a failed venue call means: refused for sure, ambiguous (it may live), never sent, or a rate limit.

Sources: the venue's "General info" page (HTTP return codes, 503 messages) and its error-code list.
"""

import re
from enum import StrEnum

import msgspec

NO_SUCH_ORDER = -2013
CANCEL_REJECTED = -2011
CLOCK_SKEW = -1021
TOO_MANY_ORDERS = -1015
# UNKNOWN, DISCONNECTED, UNEXPECTED_RESP, TIMEOUT: the venue itself does not say whether it was processed.
AMBIGUOUS_CODES = frozenset({-1000, -1001, -1006, -1007})
LIMIT_CODES = frozenset({-1003, TOO_MANY_ORDERS})
_UNKNOWN_TEXT = "unknown error"
_LOST = ("timed out", "timeout", "connection reset", "connection closed", "broken pipe", "incomplete message")
_UNSENT = ("connection refused", "dns error", "error trying to connect")
_REQUEST_TIMEOUT = 408  # the venue's "no answer from the backend in time": it may have been processed
_STATUS = re.compile(r"^HTTP (\d{3}): |'status': (\d{3})\}$")  # as `with_status` writes it
_SAID_MAX = 200  # characters of an answer that is no JSON, such as a proxy's page
_CODE = re.compile(r"""["']?code["']?\s*[:=]\s*["']?(-?\d+)""")
_MSG = re.compile(r"""["']msg["']\s*:\s*(?:"([^"]*)"|'([^']*)')""")
RETRY_AFTER_DEFAULT_S = 10.0
RETRY_AFTER_MAX_S = 3 * 86_400.0  # the venue's longest ban


class Kind(StrEnum):
    """How sure a failure is."""

    REFUSED = "refused"  # the venue said no: nothing has changed there
    AMBIGUOUS = "ambiguous"  # it may have been processed: ask before sending again
    UNSENT = "unsent"  # it never reached the venue
    LIMITED = "limited"  # 429 or 418, or our own budget: not processed, come back later


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A failed call; `code` is the venue's, 0 when it gave none; `retry_after_s` where a limit says so."""

    kind: Kind
    code: int = 0
    reason: str = ""
    status: int = 0
    retry_after_s: float = 0.0

    @property
    def shows_a_venue(self) -> bool:
        """A refusal below 500 is an answer: the venue works."""
        return self.kind is Kind.REFUSED and self.status < 500


class _Body(msgspec.Struct):
    code: int = 0
    msg: str = ""


def of_answer(status: int, body: bytes, retry_after: str | None = None) -> Failure:
    """Classify an HTTP answer with status >= 400; `retry_after` is the header's text."""
    try:
        said = msgspec.json.decode(body, type=_Body)
    except msgspec.MsgspecError:
        said = _Body(msg=body[:_SAID_MAX].decode(errors="replace"))
    return _of_status(status, said.code, said.msg, _seconds(retry_after))


def with_status(status: int, said: object) -> object:
    """What an answer said, with its HTTP status where `of_text` finds it: the adapter hands on the words alone."""
    if isinstance(said, dict):
        return said | {"status": status}
    return f"HTTP {status}: {'' if said is None else str(said)[:_SAID_MAX]}"


def of_text(text: str) -> Failure:
    """Classify a reason in words, as the adapter hands it on (`{'code': -5022, 'msg': '...'}` or prose).

    Where they carry the status (`with_status`), it is judged as `of_answer` would.
    """
    status = _STATUS.search(text)
    if status is not None and status.group(1):
        return _of_status(int(status.group(1)), 0, text[status.end() :], RETRY_AFTER_DEFAULT_S)
    found = _CODE.search(text)
    code = int(found.group(1)) if found else 0
    message = _MSG.search(text)
    reason = (message.group(1) or message.group(2) or "") if message else text
    if status is not None:
        return _of_status(int(status.group(2)), code, reason, RETRY_AFTER_DEFAULT_S)
    low = text.lower()
    if code in LIMIT_CODES:
        return Failure(kind=Kind.LIMITED, code=code, reason=reason, retry_after_s=RETRY_AFTER_DEFAULT_S)
    if code in AMBIGUOUS_CODES or _UNKNOWN_TEXT in low or (code == 0 and any(word in low for word in _LOST)):
        return Failure(kind=Kind.AMBIGUOUS, code=code, reason=reason)
    if code == 0 and any(word in low for word in _UNSENT):
        return Failure(kind=Kind.UNSENT, code=code, reason=reason)
    return Failure(kind=Kind.REFUSED, code=code, reason=reason)


def _of_status(status: int, code: int, message: str, wait_s: float) -> Failure:
    reason = message or f"HTTP {status}"
    if status in {418, 429} or code in LIMIT_CODES:
        return Failure(kind=Kind.LIMITED, code=code, reason=reason, status=status, retry_after_s=wait_s)
    return Failure(kind=_kind(status, code, message), code=code, reason=reason, status=status)


def _kind(status: int, code: int, message: str) -> Kind:
    # Below 400: it was processed, and what came of it could not be read.
    if code in AMBIGUOUS_CODES or status < 400 or status == _REQUEST_TIMEOUT:
        return Kind.AMBIGUOUS
    # "Unknown error" is sent without an answer from the matching engine; who says so does not know, with any status.
    unknown = _UNKNOWN_TEXT in message.lower()
    if status < 500 and not unknown:
        return Kind.REFUSED
    if status == 503:
        # "Service Unavailable." and -1008 (overload) are failures for sure. A 503 with neither is not known.
        sure = code == -1008 or "service unavailable" in message.lower()
        return Kind.REFUSED if sure else Kind.AMBIGUOUS
    return Kind.AMBIGUOUS


def _seconds(text: str | None) -> float:
    if text is None or not text.isascii() or not text.isdigit():
        return RETRY_AFTER_DEFAULT_S
    return min(max(float(text), 1.0), RETRY_AFTER_MAX_S)
