"""Backups of a state folder while it is in use, each verified before it gets its name; and restoring one.

`python -m hedgegridd.journal.backup STATE DIR NAME …` makes one in a process of its own, so that copying and checking
gigabytes never holds up a daemon. What the journal's end is when it begins is what the archive ends with.
"""

import argparse
import hashlib
import os
import re
import shutil
import sys
import tarfile
import time
import zlib
from pathlib import Path
from typing import IO

import msgspec

from hedgegridd import __version__
from hedgegridd.errors import BackupError, HedgegridError
from hedgegridd.journal import history, retired, snapshot
from hedgegridd.journal.disk import RealDisk, write_file
from hedgegridd.journal.folder import base36
from hedgegridd.journal.reader import segments, verify

SCHEMA = 1
MANIFEST = "manifest.json"
CONFIG = "config.toml"
DATABASE = "trades.db"
SUFFIX = ".tar.gz"
NICE = 10
_CHUNK = 1 << 20
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,120}$")
_MEMBER = re.compile(
    r"^(epoch|config\.toml|trades\.db|journal/retired\.json|journal/journal-\d{12}\.jsonl(\.gz)?|"
    r"snapshots/snapshot-\d{12}\.json)$"
)
_HASH = re.compile(  # also in an inline table, and in every kind of quotes
    r"""(\bsha256["']?\s*=\s*)(\"{3}[\s\S]*?\"{3}|'{3}[\s\S]*?'{3}|"[^"\n]*"|'[^'\n]*')"""
)


class File(msgspec.Struct, frozen=True):
    """A file of an archive."""

    bytes: int
    blake2b: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive holds; its first member."""

    schema: int
    version: str
    made_ns: int
    last_position: int
    last_hash: str
    snapshot_position: int
    files: dict[str, File]


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A backup or a restored folder that has been verified."""

    path: str
    bytes: int
    blake2b: str
    last_position: int
    snapshot_position: int
    records: int


def make(state: Path, target: Path, name: str, *, config: Path | None = None, position: int = 0) -> Made:
    """Copy, check, pack, read back, and only then name it `name.tar.gz`; blocks, for minutes when there is much.

    Args:
        state: the state folder; a daemon may be writing it, but must not compress or remove segments meanwhile.
        target: an absolute folder outside of it; made when missing.
        name: of the archive, without its suffix.
        config: the config file, taken along without the hashes of keys.
        position: the journal must reach it.

    Raises:
        BackupError: something is not as it must be; nothing is left behind.
        OSError: a disk refused.
    """
    if not _NAME.match(name):
        raise BackupError(f"{name!r} is no name for an archive")
    if not target.is_absolute() or target.resolve().is_relative_to(state.resolve()):
        raise BackupError(f"{target}: must be an absolute path outside of the state folder {state}")
    archive = target / (name + SUFFIX)
    if archive.exists():
        raise BackupError(f"{archive} exists")
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    staging, partial = parts(target, name)
    try:
        _enough_room(state, target)
        staging.mkdir(mode=0o700)
        _copy(state, staging, config)
        manifest, records = _checked(staging, position)
        _pack(staging, manifest, partial)
        _read_back(partial, manifest)
        digest, size = _digest(partial), partial.stat().st_size
        partial.replace(archive)
        RealDisk().sync_folder(target)
    except HedgegridError as error:
        raise BackupError(str(error)) from error
    finally:
        clean(target, name)
    return Made(
        path=str(archive),
        bytes=size,
        blake2b=digest,
        last_position=manifest.last_position,
        snapshot_position=manifest.snapshot_position,
        records=records,
    )


def parts(target: Path, name: str) -> tuple[Path, Path]:
    """Where a backup is put together, folder and file."""
    return target / f".{name}.partial", target / f".{name}{SUFFIX}.partial"


def clean(target: Path, name: str) -> None:
    """Remove what an unfinished backup has left."""
    staging, partial = parts(target, name)
    shutil.rmtree(staging, ignore_errors=True)
    partial.unlink(missing_ok=True)


def _enough_room(state: Path, target: Path) -> None:
    size = sum(path.stat().st_size for path in state.rglob("*") if path.is_file())
    free = shutil.disk_usage(target).free
    if free < 2 * size:
        raise BackupError(f"{target}: {free} bytes are free, a verified copy of {size} needs {2 * size}")


def _copy(state: Path, staging: Path, config: Path | None) -> None:
    """Every file as of now; of the segment that is being written, whole lines."""
    (staging / "journal").mkdir()
    (staging / "snapshots").mkdir()
    for segment in segments(state / "journal"):
        to = staging / "journal" / segment.path.name
        with (
            segment.open() if not segment.compressed else segment.path.open("rb") as source,
            to.open("wb") as out,
        ):
            shutil.copyfileobj(source, out, _CHUNK)
        if not segment.compressed:
            _whole_lines(to)
    note = state / "journal" / retired.NAME
    if note.exists():
        shutil.copyfile(note, staging / "journal" / retired.NAME)
    for path in (state / "snapshots").glob("snapshot-*.json"):
        try:
            shutil.copyfile(path, staging / "snapshots" / path.name)
        except FileNotFoundError:
            continue  # a newer one has taken its place
    shutil.copyfile(state / "epoch", staging / "epoch")
    if (state / DATABASE).exists():
        history.copy(state / DATABASE, staging / DATABASE)
    if config is not None:
        text = _HASH.sub(r'\1""', config.read_text("utf-8"))  # whoever restores it gives the keys anew
        (staging / CONFIG).write_text(text, "utf-8")


def _whole_lines(path: Path) -> None:
    with path.open("r+b") as file:
        size = end = file.seek(0, os.SEEK_END)
        while end > 0:
            step = min(_CHUNK, end)
            file.seek(end - step)
            newline = file.read(step).rfind(b"\n")
            if newline >= 0:
                end = end - step + newline + 1
                break
            end -= step
        if end < size:
            file.truncate(end)


def _checked(staging: Path, position: int) -> tuple[Manifest, int]:
    """The manifest of a copy in which chain and snapshot hold.

    Raises:
        BackupError: they do not, or the copy ends before `position`.
    """
    verdict = verify(staging / "journal")
    if verdict.broken:
        raise BackupError(f"the journal is broken: {verdict.broken}")
    if verdict.last_position < position:
        raise BackupError(
            f"the copy ends at {verdict.last_position}, the journal had {position} when it began"
        )
    for newer in snapshot.positions(staging / "snapshots"):
        if newer > verdict.last_position:  # taken while the journal was copied
            (staging / "snapshots" / snapshot.name_of(newer)).unlink()
    kept = snapshot.load(staging / "snapshots")
    files = {
        str(path.relative_to(staging)): File(path.stat().st_size, _digest(path))
        for path in sorted(staging.rglob("*"))
        if path.is_file()
    }
    manifest = Manifest(
        schema=SCHEMA,
        version=__version__,
        made_ns=time.time_ns(),
        last_position=verdict.last_position,
        last_hash=verdict.last_hash,
        snapshot_position=kept.position if kept is not None else 0,
        files=files,
    )
    return manifest, verdict.records


def _pack(staging: Path, manifest: Manifest, partial: Path) -> None:
    (staging / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as raw:
        with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=1) as tar:
            for name in (MANIFEST, *manifest.files):
                tar.add(staging / name, arcname=name, recursive=False)
        raw.flush()
        os.fsync(raw.fileno())


def _read_back(archive: Path, manifest: Manifest) -> None:
    """Every member reads back as it was copied.

    Raises:
        BackupError: one does not.
    """
    seen = {}
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file is not None and member.name != MANIFEST:
                seen[member.name] = File(member.size, _digest_of(file))
    if seen != manifest.files:
        raise BackupError(f"{archive} does not read back as it was written")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return _digest_of(file)


def _digest_of(file: IO[bytes]) -> str:
    digest = hashlib.blake2b(digest_size=32)
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


# ------------------------------------------------------------------------------------------------------------ restore


def restore(archive: Path, folder: Path, wall_ns: int) -> Made:
    """Unpack an archive into an empty folder and check all of it; the folder gets an epoch of its own.

    A new epoch, since orders that were sent after the backup have used ids of the old one.

    Raises:
        BackupError: the folder is not empty, or the archive is not what its manifest says; the folder is as before.
        OSError: a disk refused.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupError(f"{folder} is not empty: a backup is restored into an empty folder only")
    existed = folder.exists()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        manifest = _unpack(archive, folder)
        verdict = verify(folder / "journal")
        if verdict.broken or verdict.last_position != manifest.last_position:
            raise BackupError(
                f"{archive}: the journal does not hold: {verdict.broken or verdict.last_position}"
            )
        snapshot.load(folder / "snapshots")
        write_file(RealDisk(), folder / "epoch", (base36(wall_ns // 1_000_000_000) + "\n").encode())
    except (HedgegridError, tarfile.TarError, zlib.error, ValueError, EOFError, OSError) as error:
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not existed:
            folder.rmdir()
        if isinstance(error, OSError) and not isinstance(error, tarfile.TarError) and error.errno is not None:
            raise
        raise BackupError(f"{archive}: {error}") from error
    return Made(
        path=str(folder),
        bytes=sum(item.bytes for item in manifest.files.values()),
        blake2b=_digest(archive),
        last_position=manifest.last_position,
        snapshot_position=manifest.snapshot_position,
        records=verdict.records,
    )


def _unpack(archive: Path, folder: Path) -> Manifest:
    manifest: Manifest | None = None
    left: dict[str, File] = {}
    for name in ("journal", "snapshots"):
        (folder / name).mkdir(mode=0o700)
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isreg() else None
            if file is None:
                raise BackupError(f"{member.name!r} is no plain file")
            if manifest is None:
                manifest = _manifest(member.name, file)
                left = dict(manifest.files)
                continue
            expected = left.pop(member.name, None)
            if expected is None or not _MEMBER.match(member.name):
                raise BackupError(f"{member.name!r} does not belong into a backup")
            _write(folder / member.name, file)
            if File(member.size, _digest(folder / member.name)) != expected:
                raise BackupError(f"{member.name} is not what the manifest says")
    if manifest is None or left:
        raise BackupError(f"it is not whole: {', '.join(left) or MANIFEST} missing")
    return manifest


def _manifest(name: str, file: IO[bytes]) -> Manifest:
    if name != MANIFEST:
        raise BackupError(f"it does not begin with its {MANIFEST}")
    manifest = msgspec.json.decode(file.read(_CHUNK), type=Manifest)
    if manifest.schema > SCHEMA:
        raise BackupError(f"schema {manifest.schema} is newer than this program's {SCHEMA}")
    return manifest


def _write(path: Path, file: IO[bytes]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        shutil.copyfileobj(file, out, _CHUNK)
        out.flush()
        os.fsync(out.fileno())


def main() -> int:
    """Make one; its facts as JSON on the standard output, or one line on the standard error and 1."""
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("state", type=Path)
    line.add_argument("target", type=Path)
    line.add_argument("name")
    line.add_argument("--config", type=Path)
    line.add_argument("--position", type=int, default=0)
    asked = line.parse_args()
    os.nice(NICE)
    try:
        made = make(asked.state, asked.target, asked.name, config=asked.config, position=asked.position)
    except (HedgegridError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(msgspec.json.encode(made).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
