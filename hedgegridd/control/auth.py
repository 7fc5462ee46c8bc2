"""Who asks over HTTP: an API key gives name and role; without keys loopback may read, and nobody may write."""

import hmac
import ipaddress
from collections.abc import Callable, Mapping

import structlog

from hedgegridd.config import Control
from hedgegridd.control.keys import fingerprint
from hedgegridd.control.limits import Buckets
from hedgegridd.control.operation import Caller, Operation, Problem, Role

FAILURES_PER_MIN = 10  # per address
KEY_MAX = 256
_ACTOR_MAX = 64

_log = structlog.get_logger("control.auth")


class Auth:
    """Turns headers and address into a `Caller`; `failures` counts refused keys."""

    def __init__(self, config: Control, now_s: Callable[[], float]) -> None:
        """Check that the address may be served with these keys.

        Raises:
            ValueError: an address other than loopback without keys and `behind_proxy`, a broken hash, a name twice.
        """
        self._keys = [(key.name, Role[key.role.upper()], key.sha256.lower()) for key in config.keys]
        self._behind_proxy = config.behind_proxy
        self._failures = Buckets(FAILURES_PER_MIN, now_s)
        self.failures = 0
        _check(config)

    def caller(self, kind: type[Operation], headers: Mapping[str, str], peer: str) -> Caller:
        """Who asks for an operation. A right key is never held back by others' wrong ones.

        Raises:
            Problem: 401 no key or a wrong one, 403 no key is configured, 429 too many wrong ones.
        """
        address = self._address(headers, peer)
        given = _given_key(headers)
        if given is None:
            return self._without_key(kind, address)
        digest = fingerprint(given)
        found: tuple[str, Role] | None = None
        for name, role, known in self._keys:  # all of them are compared, so that time tells nothing
            if hmac.compare_digest(digest.encode(), known.encode()):
                found = (name, role)
        if found is None:
            raise self._wrong_key(address)
        said = headers.get("X-Ops-Actor", "")[:_ACTOR_MAX]
        actor = f"http:{found[0]}" + (f"/{_printable(said)}" if said else "") + f"@{address}"
        return Caller(actor=actor, role=found[1], client=f"key:{found[0]}")

    def _without_key(self, kind: type[Operation], address: str) -> Caller:
        caller = Caller(actor=f"http:{address}", role=Role.NONE, client=f"address:{address}")
        if kind.role is Role.NONE:
            return caller
        if self._keys:
            raise Problem(
                401,
                "key needed",
                f"{kind.verb} needs a key of role {kind.role.label}: header X-API-Key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if kind.method != "GET" or not is_loopback(address):
            raise Problem(
                403,
                "no key is configured",
                "without keys, reads are answered to loopback only and writes to nobody; make one with "
                "`hedgegridctl key new NAME --role operator`, or use the control socket",
            )
        return Caller(actor=caller.actor, role=Role.VIEWER, client=caller.client)

    def _wrong_key(self, address: str) -> Problem:
        self.failures += 1
        wait_s = self._failures.take(address)
        _log.warning("auth_failed", address=address, limited=wait_s > 0)
        if wait_s:
            return Problem(
                429, "too many wrong keys", f"try again in {wait_s} s", headers={"Retry-After": str(wait_s)}
            )
        return Problem(401, "wrong key", "this key is not known", headers={"WWW-Authenticate": "Bearer"})

    def _address(self, headers: Mapping[str, str], peer: str) -> str:
        """The client's address; behind our own proxy it is the last one that the proxy added."""
        if self._behind_proxy and is_loopback(peer):
            forwarded = headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
            try:
                return str(ipaddress.ip_address(forwarded))
            except ValueError:
                return peer
        return peer


def _check(config: Control) -> None:
    names = [key.name for key in config.keys]
    if len(set(names)) != len(names):
        raise ValueError("[[control.keys]] name: each name may stand once")
    for key in config.keys:
        digest = key.sha256.lower()
        if len(digest) != 64 or any(char not in "0123456789abcdef" for char in digest):
            raise ValueError(
                f"[[control.keys]] sha256 of {key.name!r}: must be 64 hex digits (`hedgegridctl key new`)"
            )
    if not is_loopback(config.http_host) and not (config.keys and config.behind_proxy):
        raise ValueError(
            f"[control] http_host: {config.http_host!r} is not loopback: it needs [[control.keys]] and behind_proxy = true"
        )
    if config.behind_proxy and not config.keys:
        raise ValueError(
            "[control] behind_proxy: needs [[control.keys]], as all clients come from the proxy's address"
        )


def is_loopback(host: str) -> bool:
    """True for `localhost` and addresses of the loopback network."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _given_key(headers: Mapping[str, str]) -> str | None:
    for name in ("X-API-Key", "X-Ops-Token"):
        if headers.get(name):
            return headers[name][:KEY_MAX]
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()[:KEY_MAX]
    return None


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
