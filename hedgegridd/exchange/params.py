"""Reads one parameter of a request, or refuses it with the venue's code and text."""

import re
from collections.abc import Collection, Mapping
from decimal import Decimal, InvalidOperation

from hedgegridd.exchange.types import VenueError

Params = Mapping[str, str]

_CLIENT_ID = re.compile(r"[.A-Za-z0-9:/_-]{1,36}")
_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?")
_INTEGER = re.compile(r"-?[0-9]{1,18}")


def missing(name: str) -> VenueError:
    """The venue's refusal of a mandatory parameter that did not come."""
    return VenueError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def not_required(name: str) -> VenueError:
    """The venue's refusal of a parameter that must not come with this request."""
    return VenueError(-1106, f"Parameter '{name}' sent when not required.")


def required(params: Params, name: str) -> str:
    """The text of `name`; -1102 when absent or empty."""
    value = params.get(name, "")
    if not value:
        raise missing(name)
    return value


def decimal(params: Params, name: str) -> Decimal:
    """The figure `name`; -1102 when absent or no plain decimal number."""
    value = required(params, name)
    if not _NUMBER.fullmatch(value):
        raise missing(name)
    try:
        return Decimal(value)
    except InvalidOperation as error:
        raise missing(name) from error


def integer(params: Params, name: str, default: int | None = None) -> int:
    """The whole number `name`, or `default` when absent; -1102 when malformed or absent without default."""
    value = params.get(name, "")
    if not value and default is not None:
        return default
    if not _INTEGER.fullmatch(value):
        raise missing(name)
    return int(value)


def choice(params: Params, name: str, allowed: Collection[str], code: int, msg: str) -> str:
    """The text of `name` when it is one of `allowed`, else `code` and `msg`; -1102 when absent."""
    value = required(params, name)
    if value not in allowed:
        raise VenueError(code, msg)
    return value


def flag(params: Params, name: str) -> bool:
    """The boolean `name` ("true" or "false", absent is false); -1130 for anything else."""
    value = params.get(name, "false").lower()
    if value not in {"true", "false"}:
        raise VenueError(-1130, f"Data sent for parameter '{name}' is not valid.")
    return value == "true"


def client_id(params: Params, name: str, fallback: str) -> str:
    """The client order id `name`, or `fallback` when absent; -4015 when too long or of other characters."""
    value = params.get(name, "")
    if not value:
        return fallback
    if len(value) > 36:
        raise VenueError(-4015, "Client order id length should not be more than 36 chars")
    if not _CLIENT_ID.fullmatch(value):
        raise VenueError(-4015, "Client order id is not valid.")
    return value


def leg_side(params: Params) -> str:
    """The leg an order names in hedge mode: LONG or SHORT; -4061 when absent or BOTH, -4060 when unknown."""
    value = params.get("positionSide", "") or "BOTH"
    if value == "BOTH":
        raise VenueError(-4061, "Order's position side does not match user's setting.")
    if value not in {"LONG", "SHORT"}:
        raise VenueError(-4060, "Invalid position side.")
    return value


def self_trade_prevention(params: Params) -> str:
    """What happens when an order would trade with the account's own; -4402 for NONE, which the venue no longer has."""
    value = params.get("selfTradePreventionMode", "") or "EXPIRE_MAKER"
    if value == "NONE":
        raise VenueError(
            -4402,
            "Dear user, as per our Terms of Use and compliance regulations, this feature is not available.",
        )
    if value not in {"EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"}:
        raise VenueError(-1130, "Data sent for parameter 'selfTradePreventionMode' is not valid.")
    return value


def limit(params: Params, default: int, most: int) -> int:
    """How many rows an answer may have: `limit` within 1..`most`; -1130 outside."""
    value = integer(params, "limit", default)
    if not 1 <= value <= most:
        raise VenueError(-1130, "Data sent for parameter 'limit' is not valid.")
    return value
