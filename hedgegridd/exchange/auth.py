"""Who may call: API key, time window and HMAC-SHA256 signature, checked as the venue checks them."""

import hashlib
import hmac
from urllib.parse import parse_qsl

from hedgegridd.exchange.params import missing
from hedgegridd.exchange.types import VenueError

DEFAULT_RECV_WINDOW_MS = 5_000
LONGEST_RECV_WINDOW_MS = 60_000
AHEAD_TOLERANCE_MS = 1_000


def parse_params(query: str, body: str) -> dict[str, str]:
    """The parameters of query string and form body together. Raises VenueError -1101 on a repeated name."""
    params: dict[str, str] = {}
    for name, value in [*parse_qsl(query, keep_blank_values=True), *parse_qsl(body, keep_blank_values=True)]:
        if name in params:
            raise VenueError(-1101, "Duplicate values for a parameter detected.")
        params[name] = value
    return params


def check_key(given: str | None, key: str) -> None:
    """Raises VenueError -2014 (no key) or -2015 (another key), both with status 401."""
    if not given:
        raise VenueError(-2014, "API-key format invalid.", 401)
    if not hmac.compare_digest(given.encode(), key.encode()):
        raise VenueError(-2015, "Invalid API-key, IP, or permissions for action.", 401)


def signed_payload(query: str, body: str) -> str:
    """What the signature covers: raw query string and body, joined without a separator, less the signature."""
    return _without_signature(query) + _without_signature(body)


def sign(payload: str, secret: str) -> str:
    """HMAC-SHA256 of `payload` in lower-case hex."""
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


def check_signed(query: str, body: str, params: dict[str, str], secret: str, wall_ms: int) -> None:
    """Check time window and signature. Raises VenueError -1102, -1131, -1021 or -1022."""
    if not params.get("signature"):
        raise missing("signature")
    timestamp = _integer(params, "timestamp")
    window_ms = _integer(params, "recvWindow") if "recvWindow" in params else DEFAULT_RECV_WINDOW_MS
    if not 0 < window_ms <= LONGEST_RECV_WINDOW_MS:
        raise VenueError(-1131, "recvWindow must be less than 60000.")
    expected = sign(signed_payload(query, body), secret)
    if not hmac.compare_digest(params["signature"].lower().encode(), expected.encode()):
        raise VenueError(-1022, "Signature for this request is not valid.")
    if timestamp >= wall_ms + AHEAD_TOLERANCE_MS:
        ahead = f"Timestamp for this request was {AHEAD_TOLERANCE_MS}ms ahead of the server's time."
        raise VenueError(-1021, ahead)
    if wall_ms - timestamp > window_ms:
        raise VenueError(-1021, "Timestamp for this request is outside of the recvWindow.")


def _integer(params: dict[str, str], name: str) -> int:
    text = params.get(name, "")
    # int() also takes signs, spaces and underscores; the venue takes digits.
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise missing(name)
    return int(text)


def _without_signature(text: str) -> str:
    return "&".join(part for part in text.split("&") if not part.startswith("signature="))
