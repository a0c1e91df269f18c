"""What the catalogs in files share: the folder that they and their assets lie in."""

import functools
import os
import posixpath
import urllib.parse
from dataclasses import dataclass
from typing import Any

import fsspec

from geo_assets.errors import ConfigError
from geo_assets.model.href import Access, is_loopback, without_query


async def _refuse_redirect(response: Any) -> None:
    """An address that a server sends us on to was not checked, and could be one that only this machine reaches."""
    if 300 <= response.status < 400:
        raise OSError(
            f"the server redirects (status {response.status}), which is not followed: give the address it leads to"
        )


def _options(given: str) -> dict[str, Any]:
    if not given.lower().startswith(("http://", "https://")):
        return {}
    return {"allow_redirects": False, "client_kwargs": {"raise_for_status": _refuse_redirect}}


@dataclass(frozen=True)
class Folder:
    """Where a catalog in files begins, and the folder that its links may not leave.

    Attributes:
        start: Absolute path or URL of its first file.
        fs: The fsspec file system.
        local: Whether it lies on this machine.
    """

    start: str
    fs: Any
    local: bool

    @classmethod
    def find(cls, given: str | None, names: tuple[str, ...], what: str) -> "Folder":
        """The folder of ``catalog.path``, which is a file, or a folder with a file of one of the names.

        Raises:
            ConfigError: There is no such file.
        """
        if not given:
            raise ConfigError(f"catalog.path is missing: give the path of {what}")
        try:
            fs, bare = fsspec.core.url_to_fs(given, **_options(given))
        except ImportError as e:
            text = f"catalog.path {without_query(given)} needs another package: {e}"
            raise ConfigError(text + (": pip install aiohttp" if _options(given) else "")) from e
        except (ValueError, OSError) as e:
            raise ConfigError(f"catalog.path {without_query(given)} cannot be opened: {e}") from e
        protocols = fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,)
        local = "file" in protocols
        first = os.path.abspath(bare) if local else given.rstrip("/")
        try:
            start = next(
                (name for name in (first, *(posixpath.join(first, n) for n in names)) if fs.isfile(name)), None
            )
        except OSError as e:
            raise ConfigError(f"catalog.path {without_query(given)} cannot be opened: {e}") from e
        if start is None:
            where = without_query(given) + ("" if local else ", or it cannot be reached")
            raise ConfigError(f"there is no catalog at {where}: give the path of {what}")
        return cls(start, fs, local)

    @classmethod
    def known(cls, given: str | None, names: tuple[str, ...], what: str) -> "Folder":
        """As ``find``, but a server is asked once a process: every task wants to know where pixels may come from."""
        return _known(given, names, what) if given and "://" in given else cls.find(given, names, what)

    @property
    def root(self) -> str:
        """The folder."""
        return os.path.dirname(self.start) if self.local else posixpath.dirname(self.start)

    @property
    def shown(self) -> str:
        """The catalog's name for messages."""
        return without_query(self.start)

    def resolve(self, href: str, source: str) -> str:
        """The absolute address of what the file ``source`` calls ``href``."""
        if "://" in href:
            return href
        if self.local:
            return os.path.normpath(os.path.join(os.path.dirname(source), href))
        scheme, _, path = posixpath.dirname(source).partition("://")
        return f"{scheme}://{posixpath.normpath(posixpath.join(path, href))}"

    def holds(self, path: str) -> bool:
        """Whether a path lies in the folder, also behind symbolic links."""
        if "\0" in path:
            return False
        if not self.local:
            return path.startswith(self.root + "/")
        inside = os.path.realpath(path) if "://" not in path else path
        return inside.startswith(os.path.realpath(self.root).rstrip(os.sep) + os.sep)

    def access(self, hosts: tuple[str, ...]) -> Access:
        """Pixels may come from the folder itself, and from hosts (any public one if none are given); from this machine's servers if it lies on one."""
        if self.local:
            return Access(roots=(os.path.realpath(self.root),), hosts=hosts)
        parts = urllib.parse.urlsplit(self.root)
        if parts.scheme in ("http", "https"):
            own = parts.hostname or ""
            return Access(hosts=(own, *hosts) if hosts else (), loopback=is_loopback(own))
        return Access(hosts=hosts, own=(f"{parts.scheme}://{parts.netloc}",))


@functools.lru_cache(maxsize=64)
def _known(given: str, names: tuple[str, ...], what: str) -> Folder:
    return Folder.find(given, names, what)
