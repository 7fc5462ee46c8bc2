"""`hedgegridctl restore`: a backup into an empty folder, checked before it is said to be there."""

import argparse
import sys
import time

import msgspec

from hedgegridd.errors import HedgegridError
from hedgegridd.journal.backup import CONFIG, restore

DONE, FAILED = 0, 1


def run(parsed: argparse.Namespace) -> int:
    """Restore; the exit code."""
    try:
        made = restore(parsed.archive, parsed.folder, time.time_ns())
    except (HedgegridError, OSError) as error:
        if parsed.json:
            print(msgspec.json.encode({"title": "not restored", "detail": str(error)}).decode())
        else:
            print(f"not restored: {error}", file=sys.stderr)
        return FAILED
    if parsed.json:
        print(msgspec.json.encode(made).decode())
        return DONE
    print(f"folder    {made.path}  {made.bytes} bytes")
    print(f"holds     {made.records} records to @{made.last_position}, state as of @{made.snapshot_position}")
    print(
        f"VERIFIED  name it as [daemon] state_dir (its {CONFIG}, if any, lacks the keys' hashes) and start;"
    )
    print("          what happened after the backup comes from the venue at the first comparison")
    return DONE
