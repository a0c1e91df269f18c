"""A table of what is to be made, such as the failed.csv of an earlier run."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from geo_assets.errors import ConfigError, StoreError
from geo_assets.storage import Storage

_MOST_MB = 64
_SHOWN = 5


def read_tiles(file: str, regions: Sequence[str], months: Sequence[str]) -> list[tuple[str, str]]:
    """Partitions that a table names, each once, in the order of regions and months.

    Args:
        file: Path or URI of a CSV with the columns ``region`` and ``month``, and any others; an empty month is all of them.
        regions: Those that are known.
        months: Those that are known.

    Raises:
        ConfigError: It cannot be read, lacks a column, or names what the project does not have.
    """
    named: set[tuple[str, str]] = set()
    unknown: list[str] = []
    for line, region, month in _rows(file):
        if region not in regions or (month and month not in months):
            unknown.append(f"line {line}: {region} {month}".rstrip())
            continue
        named |= {(region, m) for m in ([month] if month else months)}
    if unknown:
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise ConfigError(
            f"--tiles {file}: {'; '.join(unknown[:_SHOWN])}{more}: not among the regions and months of the project; take these lines out"
        )
    if not named:
        raise ConfigError(f"--tiles {file}: it names nothing to make")
    return [(r, m) for r in regions for m in months if (r, m) in named]


def _rows(file: str) -> list[tuple[int, str, str]]:
    """Line, region and month of each row."""
    longest = csv.field_size_limit(_MOST_MB * 2**20)  # a region has many cells, and failed.csv names them in one field
    try:
        text = _content(file).decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""))
        reader.fieldnames = [str(name).strip().lower() for name in reader.fieldnames or ()]
        lacking = [c for c in ("region", "month") if c not in reader.fieldnames]
        if lacking:
            there = ", ".join(reader.fieldnames) or "none"
            raise ConfigError(
                f"--tiles {file}: column {lacking[0]!r} is missing; it has {there}, read as UTF-8 with commas between columns"
            )
        return [(reader.line_num, (row["region"] or "").strip(), (row["month"] or "").strip()) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise ConfigError(f"--tiles {file}: cannot be read as CSV: {e}") from e
    finally:
        csv.field_size_limit(longest)


def _content(file: str) -> bytes:
    """Of a path, or of a URI such as a report below a bucket."""
    if "://" not in file:
        if os.path.getsize(file) > _MOST_MB * 2**20:
            raise ConfigError(f"--tiles {file}: larger than {_MOST_MB} MB; split it")
        return Path(file).read_bytes()
    folder, _, name = file.rpartition("/")
    try:
        content = Storage(folder).read(name)
    except StoreError as e:
        raise ConfigError(f"--tiles {e}") from e
    if content is None:
        raise ConfigError(f"--tiles {file}: there is no such object")
    return content
