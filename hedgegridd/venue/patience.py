"""What a connection that did not come means to people: its cause and remedy in words, and when it is tried again. Pure."""

from hedgegridd.errors import VenueError
from hedgegridd.model import NEEDS_YOU
from hedgegridd.venue.rest import VenueCallError
from hedgegridd.venue.setup import SetupRefused

FIRST_S = 1.0
LONGEST_S = 30.0  # also after what only a person can mend
REMEDIES = {
    -2014: "the text in the credential is no API key: look at [venue] api_key, and at what it names",
    -2015: "it does not know the API key, or the key may not do this from here: look at the credential, at the addresses "
    "that the key allows, and that it may trade futures",
    -1022: "the secret does not belong to the API key: look at [venue] api_secret, and at what it names",
}


def refused_key(error: VenueCallError) -> str:
    """What a call says of our key, with the remedy; empty when it was not the key."""
    remedy = REMEDIES.get(error.failure.code)
    if remedy is None:
        return ""
    return f"the venue refuses our key: {remedy} ({error.failure.code} {error.failure.reason})"


def after(error: VenueError, attempt: int) -> tuple[str, float]:
    """What to say of a failed attempt (numbered from 1), and the seconds until the next one."""
    pause_s = min(FIRST_S * 2 ** min(attempt - 1, 10), LONGEST_S)
    if isinstance(error, SetupRefused):
        return f"{NEEDS_YOU}{error}", pause_s
    if not isinstance(error, VenueCallError):
        return str(error), pause_s
    said = refused_key(error)
    if said:
        return f"{NEEDS_YOU}{said}", LONGEST_S
    return str(error), max(pause_s, error.failure.retry_after_s)
