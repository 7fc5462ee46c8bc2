"""The lines of the journal: how a record is written, chained to the one before, and checked.

A segment is a text file of JSON lines. Its first line is a header, the others are records:

    {"schema":2,"first_position":1,"previous_hash":"00…","created_ns":…,"accepts_break":false,"hash":"…"}
    {"position":1,"time_ns":…,"mono_ns":…,"seq":…,"cause":…,"actor":"…","to":"…","message":{…},"hash":"…"}

`to` is the actor that was handed the message; "asker" for the answer to a command (its cause is the command), "session"
and "state" for what we keep of ourselves. `after`, where there is one, is the digest of everything that was returned
when the record before was handled: what a replay must return again.

Schemas: 1 had no `after`, no answers and no state. Fields that this program does not know are kept and passed over.

`hash` is always the last field: BLAKE2b-128, in hex, of the previous line's hash and of this line's bytes
before it. So one flipped byte anywhere breaks the chain, and a line is checked without decoding it.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from hedgegridd.errors import JournalBroken
from hedgegridd.messages import Envelope, Message

SCHEMA = 2
ASKER, SESSION, STATE = "asker", "session", "state"  # consumers that are no actors
DIGEST_BYTES = 8
HASH_HEX = 32
GENESIS = "0" * HASH_HEX
_MARK = b',"hash":"'
_END = b'"}'
_SUFFIX = len(_MARK) + HASH_HEX + len(_END)


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """First line of a segment. `accepts_break`: an operator has accepted damage in what came before."""

    schema: int
    first_position: int
    previous_hash: str
    created_ns: int
    accepts_break: bool = False


class Body(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A record before it is hashed: an envelope, who was handed it, and what was returned on the record before."""

    position: int
    time_ns: int
    mono_ns: int
    seq: int
    cause: int
    actor: str
    to: str
    after: str = ""
    message: Message


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One record as read: `position` in the journal from 1, the envelope's fields, `to` who consumed it.

    `message` is the JSON as written, so that records of older schemas and unknown fields are kept. `after` is the
    digest of what was returned on the record before, empty when that was nothing or nobody kept it.
    """

    position: int
    time_ns: int
    mono_ns: int
    seq: int
    cause: int
    actor: str
    to: str
    after: str = ""
    message: msgspec.Raw
    hash: str


_encoder = msgspec.json.Encoder(decimal_format="string")
_records = msgspec.json.Decoder(Record)
_headers = msgspec.json.Decoder(Header)


def _digest(previous_hash: str, body: bytes) -> str:
    return hashlib.blake2b(previous_hash.encode() + body, digest_size=HASH_HEX // 2).hexdigest()


def seal(encoded: bytes, previous_hash: str) -> tuple[bytes, str]:
    """Chain an encoded JSON object: the line with its newline, and its hash."""
    body = encoded[:-1]
    digest = _digest(previous_hash, body)
    return b"%b%b%b%b\n" % (body, _MARK, digest.encode(), _END), digest


def digest_of(outputs: Sequence[Message]) -> str:
    """What a machine returned, in 16 hex digits; empty when it returned nothing.

    Raises:
        TypeError: a message holds something JSON cannot carry.
    """
    if not outputs:
        return ""
    encoded = b"\n".join([_encoder.encode(output) for output in outputs])
    return hashlib.blake2b(encoded, digest_size=DIGEST_BYTES).hexdigest()


def encode_record(
    position: int, to: str, envelope: Envelope, previous_hash: str, after: Sequence[Message] = ()
) -> tuple[bytes, str]:
    """The line of one record and its hash; `after` is what was returned on the record before.

    Raises:
        TypeError: the message holds something JSON cannot carry.
    """
    body = Body(
        position=position,
        time_ns=envelope.time_ns,
        mono_ns=envelope.mono_ns,
        seq=envelope.seq,
        cause=envelope.cause,
        actor=envelope.actor,
        to=to,
        after=digest_of(after),
        message=envelope.message,
    )
    return seal(_encoder.encode(body), previous_hash)


def encode_header(header: Header) -> tuple[bytes, str]:
    """The first line of a segment and its hash."""
    return seal(_encoder.encode(header), header.previous_hash)


def unseal(line: bytes) -> tuple[bytes, str]:
    """Split a line (without newline) into the hashed bytes and the hash it claims.

    Raises:
        JournalBroken: the line does not end as every line does.
    """
    cut = len(line) - _SUFFIX
    if cut < 1 or line[cut : cut + len(_MARK)] != _MARK or line[-len(_END) :] != _END:
        raise JournalBroken("a line does not end in its hash")
    return line[:cut], line[cut + len(_MARK) : -len(_END)].decode("ascii", "replace")


def check_line(line: bytes, previous_hash: str) -> str:
    """Check that a line (without newline) follows from the one before; its hash.

    Raises:
        JournalBroken: it does not.
    """
    body, claimed = unseal(line)
    if _digest(previous_hash, body) != claimed:
        raise JournalBroken("a line does not follow from the one before")
    return claimed


def decode_record(line: bytes) -> Record:
    """A record from its line.

    Raises:
        JournalBroken: it is none.
    """
    try:
        return _records.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JournalBroken(f"a line is no record: {error}") from error


def decode_header(line: bytes) -> Header:
    """A segment's header from its line.

    Raises:
        JournalBroken: it is none, or its schema is newer than this program.
    """
    try:
        header = _headers.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JournalBroken(f"the first line is no header: {error}") from error
    if header.schema > SCHEMA:
        raise JournalBroken(f"schema {header.schema} is newer than this program's {SCHEMA}")
    return header
