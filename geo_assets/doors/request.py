"""``geo-assets request``: the files of a request for tiles, and the table that it becomes."""

import os
import stat
import uuid
from pathlib import Path

from geo_assets.eo.tile_request import MAX_REQUEST_BYTES, Answer, answer_request, parse_request, tiles_csv
from geo_assets.eo.tile_table import read_tile_table
from geo_assets.errors import ConfigError, StoreError


def answer_file(file: Path, table: Path) -> Answer:
    """What comes of the request in a file.

    Args:
        file: JSON, see ``answer_request``.
        table: CSV or parquet with the columns X, Y, X_tile and Y_tile.

    Raises:
        ConfigError: One of them cannot be read or is not what it should be.
    """
    request = parse_request(_content(file), where=file.name)
    return answer_request(request, read_tile_table(table))


def refuse_target(out: Path, *inputs: Path) -> Path:
    """The file that a table is to be written to, links followed; nothing is made.

    Raises:
        ConfigError: It cannot be written there, or is one of the inputs.
    """
    target = Path(os.path.realpath(out))
    if target.exists() and not target.is_file():
        raise ConfigError(f"--csv {out}: it is no file: name another one")
    if not target.parent.is_dir():
        raise ConfigError(f"--csv {out}: there is no folder {target.parent}: make it, or name another one")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise ConfigError(f"--csv {out}: {target.parent} cannot be written to: name another one")
    if target.exists() and any(given.exists() and target.samefile(given) for given in inputs):
        raise ConfigError(f"--csv {out}: it is one of the files that are read: name another one")
    return target


def write_tiles(target: Path, answer: Answer) -> None:
    """Write the accepted tiles as CSV in one piece: a reader sees the old file or the whole new one.

    Raises:
        StoreError: It was not written; what was there before still is.
    """
    part = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with part.open("x", encoding="utf-8", newline="") as handle:
            handle.write(tiles_csv(answer.tiles))
            handle.flush()
            os.fsync(handle.fileno())
        part.replace(target)
    except OSError as e:
        raise StoreError(f"--csv {target}: cannot be written: {e}") from e
    finally:
        if part.exists():
            part.unlink()


def _content(file: Path) -> bytes:
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise ConfigError(f"{file} is no regular file: give the JSON file of a request")
        with file.open("rb") as handle:
            return handle.read(MAX_REQUEST_BYTES + 1)
    except ConfigError:
        raise
    except FileNotFoundError:
        raise ConfigError(f"there is no file {file}: give the JSON file of a request") from None
    except (OSError, ValueError) as e:
        raise ConfigError(f"{os.fspath(file)!r} cannot be read: {e}") from e
