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
_PART = re.compile(r".+\.[0-9a-f]{32}\.part")  # as Storage.write names what it has not moved to its place yet


def sweep_parts(storage: Storage, *, older_than_s: float = _DAY_S) -> int:
    """Files removed that a process began below a local root and, killed, never moved to their place.

    No writer takes a day for a small object, so those at work are left alone. The cube's folder is not walked: its store
    keeps order there. On object storage nothing is left over, since an object appears whole.
    """
    if "://" in storage.root:
        return 0
    latest, swept = time.time() - older_than_s, 0
    for folder, folders, files in os.walk(storage.root):
        if folder == storage.root and path.CUBE in folders:
            folders.remove(path.CUBE)
        for name in filter(_PART.fullmatch, files):
            part = os.path.join(folder, name)
            with contextlib.suppress(FileNotFoundError):  # another run sweeps, too
                if os.stat(part).st_mtime < latest:
                    swept += _removed(part)
    if swept:
        _log.info("%s: removed %d unfinished files of earlier runs", storage.root, swept)
    return swept


def _removed(part: str) -> bool:
    try:
        os.unlink(part)
    except PermissionError as e:  # somebody else's; in nobody's way
        _log.warning("%s cannot be removed: %s", part, e)
        return False
    return True
