"""API keys: how one is made, and the hash that is all the config keeps of it."""

import hashlib
import secrets

KEY_BYTES = 32  # too many to guess, so that a plain hash without salt or stretching is enough
PREFIX = "hgd_"


def make() -> str:
    """A new key: `hgd_` and 43 characters."""
    return PREFIX + secrets.token_urlsafe(KEY_BYTES)


def fingerprint(key: str) -> str:
    """SHA-256 of a key in lower-case hex."""
    return hashlib.sha256(key.encode()).hexdigest()
