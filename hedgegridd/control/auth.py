"""Who asks over HTTP: an API key (or the session it opened) gives name and role; without keys loopback may read only.

A cookie comes along by itself, also with what another site makes a browser send. Three things keep such requests away:
the cookie is SameSite=Strict, `Origin` must be ours, and a command by cookie must have the header `X-Requested-With`,
which a form cannot set and a script of another origin may not.
"""

import hashlib
import hmac
import ipaddress
from collections.abc import Callable, Mapping
from typing import Literal
from urllib.parse import urlsplit

import structlog

from hedgegridd.config import Control
from hedgegridd.control.keys import fingerprint
from hedgegridd.control.limits import Buckets
from hedgegridd.control.operation import Caller, Operation, Problem, Role
from hedgegridd.control.sessions import Sessions, cookie_token
from hedgegridd.messages import AuthFailed

KEY_MAX = 256
TOLD_PER_MIN = 60  # failures put into the journal a minute, of all addresses
SIGNATURE = "X-Events-Signature"
OWN_HEADER = "X-Requested-With"
_ACTOR_MAX = 64

type What = Literal["key", "signature", "login"]

_log = structlog.get_logger("control.auth")


class Auth:
    """Turns headers and address into a `Caller`; `failures` counts who was turned away.

    `events_secret` signs external events. `tell` puts a failure into the journal: each one until the address is limited,
    and at most `TOLD_PER_MIN` a minute in all, so that a flood of wrong keys is no flood of records.
    """

    def __init__(
        self,
        config: Control,
        now_s: Callable[[], float],
        *,
        sessions: Sessions | None = None,
        events_secret: str = "",
        tell: Callable[[AuthFailed], None] | None = None,
    ) -> None:
        """Check that the address may be served with these keys.

        Raises:
            ValueError: an address other than loopback without keys and `behind_proxy`, a broken hash, a name twice.
        """
        self._now_s = now_s
        self._told = Buckets(TOLD_PER_MIN, now_s)
        self.sessions = sessions
        self._events_secret = events_secret.encode()
        self._tell = tell
        self.failures = 0
        self.use(config)

    def use(self, config: Control) -> None:
        """Take the keys of a config; sessions of keys that are gone are over.

        Raises:
            ValueError: as for a new one; then the keys are those of before.
        """
        check(config)
        self._keys = [(key.name, Role[key.role.upper()], key.sha256.lower()) for key in config.keys]
        self._behind_proxy = config.behind_proxy
        self._failures = Buckets(config.wrong_keys_per_min, self._now_s)

    def caller(self, kind: type[Operation], headers: Mapping[str, str], peer: str) -> Caller:
        """Who asks for an operation. A right key is never held back by others' wrong ones.

        Raises:
            Problem: 401 no key or a wrong one, 403 no key is configured, 429 too many wrong ones.
        """
        address = self.address(headers, peer)
        given = _given_key(headers)
        if given is not None:
            found = self._known(fingerprint(given))
            if found is None:
                raise self.failed(address, "key")
            return _caller(found, headers, address)
        found = self._of_session(headers)
        if found is None:
            return self._without_key(kind, address)
        if kind.method != "GET" and not headers.get(OWN_HEADER):
            raise Problem(
                403,
                "forbidden",
                f"a command by cookie needs the header {OWN_HEADER}: it shows that our own page sends it",
                field=OWN_HEADER,
            )
        return _caller(found, headers, address)

    def still(self, kind: type[Operation], headers: Mapping[str, str], peer: str) -> Callable[[], bool]:
        """Asks, as often as it is called, whether who was let in with these headers would be let in now.

        A key may have gone from the config or lost its role, a session may be over. Counts no failure.
        """
        given = _given_key(headers)
        digest = None if given is None else fingerprint(given)
        token = cookie_token(headers.get("Cookie", ""))
        address = self.address(headers, peer)

        def holds() -> bool:
            key = digest
            if key is None and token is not None and self.sessions is not None:
                key = self.sessions.key_of(token)
            if key is None:  # loopback reads without a key, for as long as none is configured
                return not self._keys and kind.role <= Role.VIEWER and is_loopback(address)
            found = self._known(key)
            return found is not None and found[1] >= kind.role

        return holds

    def signed(self, headers: Mapping[str, str], raw: bytes, peer: str) -> Caller:
        """The sender of a signed event: `X-Events-Signature: sha256=<hex HMAC-SHA256 of the body>`.

        Raises:
            Problem: 403 no secret is configured, 401 a wrong signature, 429 too many wrong ones.
        """
        address = self.address(headers, peer)
        if not self._events_secret:
            raise Problem(
                403, "forbidden", "[control] events_secret names no credential: signed events are refused"
            )
        given = headers.get(SIGNATURE, "")
        want = "sha256=" + hmac.new(self._events_secret, raw, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(given[:KEY_MAX].lower().encode(), want.encode()):
            raise self.failed(address, "signature")
        return Caller(actor=f"event:{address}", role=Role.OPERATOR, client=f"event:{address}")

    async def login(self, key: str, headers: Mapping[str, str], peer: str) -> tuple[str, Caller]:
        """A session of a key: its cookie's token, and whose it is.

        Raises:
            Problem: 401 a wrong key, 429 too many wrong ones, 503 the session cannot be kept.
        """
        address = self.address(headers, peer)
        digest = fingerprint(key[:KEY_MAX])
        found = self._known(digest)
        if found is None:
            raise self.failed(address, "login")
        if self.sessions is None:
            raise Problem(503, "unavailable", "no sessions are kept here")
        try:
            return await self.sessions.open(digest), _caller(found, headers, address)
        except OSError as error:
            raise Problem(503, "not durable", f"the session cannot be kept: {error}") from error

    def _known(self, digest: str) -> tuple[str, Role] | None:
        found: tuple[str, Role] | None = None
        for name, role, known in self._keys:  # all of them are compared, so that time tells nothing
            if hmac.compare_digest(digest.encode(), known.encode()):
                found = (name, role)
        return found

    def _of_session(self, headers: Mapping[str, str]) -> tuple[str, Role] | None:
        token = cookie_token(headers.get("Cookie", ""))
        digest = None if token is None or self.sessions is None else self.sessions.key_of(token)
        return None if digest is None else self._known(digest)

    def _without_key(self, kind: type[Operation], address: str) -> Caller:
        caller = Caller(actor=f"http:{address}", role=Role.NONE, client=f"address:{address}")
        if kind.role is Role.NONE:
            return caller
        if self._keys:
            raise Problem(
                401,
                "key needed",
                f"{kind.verb} needs a key of role {kind.role.label}: header X-API-Key, or the cookie of POST /login",
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

    def failed(self, address: str, what: What) -> Problem:
        """Count somebody who is turned away, tell it, and say so."""
        self.failures += 1
        was_limited = self._failures.wait_s(address) > 0
        wait_s = self._failures.take(address)
        limited = self._failures.wait_s(address) > 0
        _log.warning("auth_failed", address=address, what=what, limited=limited)
        if self._tell is not None and not was_limited and not self._told.take(""):
            self._tell(AuthFailed(address=address, what=what, count=self.failures, limited=limited))
        if wait_s:
            return Problem(
                429,
                f"too many wrong {what}s",
                f"try again in {wait_s} s",
                headers={"Retry-After": str(wait_s)},
            )
        named = {"key": "key", "login": "key", "signature": "signature"}[what]
        field = {"key": None, "login": "key", "signature": SIGNATURE}[what]
        said = "this key is not known" if named == "key" else "it is not the HMAC of this body"
        return Problem(401, f"wrong {named}", said, field=field, headers={"WWW-Authenticate": "Bearer"})

    def address(self, headers: Mapping[str, str], peer: str) -> str:
        """The client's address; behind our own proxy it is the last one that the proxy added."""
        if self._behind_proxy and is_loopback(peer):
            forwarded = headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
            try:
                return str(ipaddress.ip_address(forwarded))
            except ValueError:
                return peer
        return peer


def check(config: Control) -> None:
    """Check that an address may be served with these keys.

    Raises:
        ValueError: it may not; the text names the key of the config.
    """
    names = [key.name for key in config.keys]
    if len(set(names)) != len(names):
        raise ValueError("[[control.keys]] name: each name may stand once")
    for key in config.keys:
        digest = key.sha256.lower()
        if len(digest) != 64 or any(char not in "0123456789abcdef" for char in digest):
            raise ValueError(
                f"[[control.keys]] sha256 of {key.name!r}: must be 64 hex digits (`hedgegridctl key new`)"
            )
    for origin in config.cors_origins:
        parts = urlsplit(origin)
        if (
            parts.scheme not in ("http", "https")
            or not parts.netloc
            or origin != f"{parts.scheme}://{parts.netloc}"
        ):
            raise ValueError(
                f"[control] cors_origins: {origin!r} is no origin, as https://desk.example or http://127.0.0.1:3000"
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


def _caller(found: tuple[str, Role], headers: Mapping[str, str], address: str) -> Caller:
    name, role = found
    said = _printable(headers.get("X-Ops-Actor", "")[:_ACTOR_MAX])
    actor = f"http:{name}" + (f"/{said}" if said else "") + f"@{address}"
    return Caller(actor=actor, role=role, client=f"key:{name}")


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
