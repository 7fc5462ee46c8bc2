"""The config as messages carry it: whole, as JSON whose numbers come back as the numbers that the file had, exactly."""

from decimal import Decimal

import msgspec

from hedgegridd.config import Config

# Guards' tables are not typed: without these two their numbers would come back as text or as binary floats.
_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder(Config, float_hook=Decimal).decode


def carried(config: Config) -> msgspec.Raw:
    """A config as the journal keeps it, without the hashes of keys."""
    return msgspec.Raw(
        _encode(msgspec.structs.replace(config, control=msgspec.structs.replace(config.control, keys=())))
    )


def config_in(raw: msgspec.Raw) -> Config:
    """The config that `carried` gave.

    Raises:
        msgspec.DecodeError: it is not of this version's vocabulary.
    """
    return _decode(raw)
