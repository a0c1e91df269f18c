"""Removes what killed processes left behind."""

import contextlib
import logging
import os
import re
import time

from geo_assets.model import path
from geo_assets.storage import Storage

_log = logging.getLogger(__name__)
_DAY_S = 86_400.0
_swept: set[str] = set()  # roots that this process went over
_PART = re.compile(r".+\.[0-9a-f]{32}\.part")  # as Storage.write names what it has not moved to its place yet


def sweep_once(storage: Storage) -> None:
    """``sweep_parts``, the first time that this process asks it for a root: a run has many strips."""
    if storage.root not in _swept:
        _swept.add(storage.root)
        sweep_parts(storage)


def sweep_parts(storage: Storage, *, older_than_s: float = _DAY_S) -> int:
    """Files removed that a process began below a local root and, killed, never moved to their place.

    No writer takes a day for a small object, so those at work are left alone. Only folders of ours are walked, and not the
    cube's: its store keeps order there. On object storage nothing is left over, since an object appears whole.
    """
    if "://" in storage.root:
        return 0
    latest, swept = time.time() - older_than_s, 0
    for top in path.FOLDERS:
        for folder, _, files in os.walk(storage.uri(top)):
            for part in (os.path.join(folder, name) for name in filter(_PART.fullmatch, files)):
                with contextlib.suppress(OSError):
                    if os.stat(part).st_mtime < latest:
                        swept += _removed(part)
    if swept:
        _log.info("%s: removed %d unfinished files of earlier runs", storage.root, swept)
    return swept


def _removed(part: str) -> bool:
    try:
        os.unlink(part)
    except FileNotFoundError:  # another run sweeps, too
        return False
    except OSError as e:  # somebody else's, or a disk that is only read; in nobody's way
        _log.warning("%s cannot be removed: %s", part, e)
        return False
    return True
