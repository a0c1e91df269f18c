"""Small objects below the storage root: tables, receipts and pictures, on any fsspec URI."""

import contextlib
import os
import re
import uuid
import warnings
from collections.abc import Iterator

import fsspec
from pydantic import ValidationError

from geo_assets.errors import ConfigError, GeoAssetsError, StoreError
from geo_assets.model import path
from geo_assets.model.href import without_query
from geo_assets.model.receipt import FailureNote, PartitionReceipt

_PART = ".part"
_REMOTE = ("s3", "gs", "az", "abfs", "memory")


def check_root(root: str, what: str = "storage") -> None:
    """Refuses a root with a secret in it, which no message shows, and one that nothing can be kept at.

    Raises:
        ConfigError: It is no path or address that may be used.
    """
    if not root.strip() or "\0" in root:
        raise ConfigError(f"{what}: give a path or URI")
    scheme, separator, rest = root.removeprefix("file://").partition("://")
    if not separator:
        return
    host, _, below = rest.partition("/")
    # abfs://container@account.dfs.core.windows.net/... is how Azure writes it
    account = scheme in ("az", "abfs") and ":" not in host and host.count("@") == 1
    if "?" in rest or "@" in below or ("@" in host and not account):
        raise ConfigError(
            f"{what}: holds a user, key or token; take it out: credentials come from the environment, see the docs of the cloud"
        )
    if scheme not in _REMOTE:
        raise ConfigError(
            f"{what}: {scheme[:20]}:// cannot be used; give a local path or one of {', '.join(_REMOTE[:-1])}"
        )
    if not re.fullmatch(r"[A-Za-z0-9._@-]+", host):
        raise ConfigError(f"{what}: {scheme}:// needs the name of a bucket or container, as in {scheme}://name/folder")


class DamagedError(StoreError):
    """A receipt is there, but is none; what it was about is made again, which brings a sound one."""

    retryable = False


class Storage:
    """Whole objects, replaced in one piece: a reader sees the old one or the new one."""

    def __init__(self, root: str) -> None:
        check_root(root)
        root = root.removeprefix("file://")
        self._local = "://" not in root
        self.root = os.path.abspath(root) if self._local else root
        try:
            # No cache of listings: other processes write here too
            self._files, self._base = fsspec.core.url_to_fs(self.root, use_listings_cache=False)
        except (ImportError, ValueError) as e:
            raise ConfigError(f"storage {without_query(root)!r} cannot be used here: {e}") from e

    def uri(self, name: str) -> str:
        """Full path or URI of an object."""
        return f"{self.root.rstrip('/')}/{name}"

    def _path(self, name: str) -> str:
        odd = "\0" in name or not name.isprintable()
        if odd or any(part in ("", ".", "..") for part in name.split("/")):
            raise ConfigError(f"{name!r} is not a name below the storage root")
        return f"{self._base.rstrip('/')}/{name}"

    def read(self, name: str) -> bytes | None:
        """Content of an object, or None where there is none.

        Raises:
            StoreError: It is there but cannot be read.
        """
        target = self._path(name)
        with self._as_store_error(name, "read"):
            try:
                content: bytes = self._files.cat_file(target)
            except FileNotFoundError:
                return None
        return content

    def write(self, name: str, content: bytes) -> None:
        """Replace an object in one piece.

        Raises:
            StoreError: It was not written; what was there before still is.
        """
        target = self._path(name)
        with self._as_store_error(name, "written"):
            if self._local:
                _replace(target, content)
            else:
                self._files.pipe_file(target, content)

    def delete(self, name: str) -> None:
        """Remove an object if it is there."""
        target = self._path(name)
        with self._as_store_error(name, "deleted"), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(target)

    def names(self, folder: str) -> list[str]:
        """Objects below a folder, sorted, relative to the root."""
        with self._as_store_error(folder, "listed"):
            try:
                found = self._files.find(self._path(folder))
            except FileNotFoundError:
                return []
        base = self._base.rstrip("/") + "/"
        return sorted(f[len(base) :] for f in found if not f.endswith(_PART))

    @contextlib.contextmanager
    def _as_store_error(self, name: str, done: str) -> Iterator[None]:
        try:
            yield
        except GeoAssetsError:
            raise
        except Exception as e:  # storage libraries share no base for their errors
            lines = str(e).strip().splitlines()
            text = lines[0][:300] if lines else type(e).__name__
            raise StoreError(f"{self.uri(name)}: cannot be {done}: {text}") from e

    def read_receipt(self, product: str, region: str, month: str | None = None) -> PartitionReceipt | None:
        """Receipt of a partition, or None where nothing was made.

        Raises:
            DamagedError: There is one that cannot be understood, or that is about another partition.
        """
        name = path.receipt(product, region, month)
        content = self.read(name)
        if content is None:
            return None
        return self._receipt(name, content)

    def sound_receipt(self, product: str, region: str, month: str | None = None) -> PartitionReceipt | None:
        """Receipt of a partition, or None where there is none that can be used; warns of a damaged one."""
        try:
            return self.read_receipt(product, region, month)
        except DamagedError as e:
            warnings.warn(str(e), stacklevel=2)
            return None

    def _receipt(self, name: str, content: bytes) -> PartitionReceipt:
        try:
            receipt = PartitionReceipt.model_validate_json(content)
        except ValidationError as e:
            faults = "; ".join(dict.fromkeys(error["msg"] for error in e.errors()[:3]))
            raise self._damaged(name, faults) from e
        about = path.receipt(receipt.product, receipt.region, receipt.month)
        if about != name:
            raise self._damaged(name, f"it is that of {about.removeprefix('receipts/').removesuffix('.json')[:200]!r}")
        return receipt

    def _damaged(self, name: str, fault: str) -> DamagedError:
        return DamagedError(f"{self.uri(name)}: is no receipt: {fault}; run the partition again, which makes a new one")

    def write_receipt(self, receipt: PartitionReceipt) -> None:
        """Store the receipt of a partition."""
        self.write(
            path.receipt(receipt.product, receipt.region, receipt.month),
            receipt.model_dump_json(exclude_defaults=True).encode(),
        )

    def write_failure(self, note: FailureNote) -> None:
        """Keep why a partition could not be made."""
        self.write(path.failure(note.product, note.region, note.month), note.model_dump_json().encode())

    def failure(self, product: str, region: str, month: str | None = None) -> FailureNote | None:
        """Why the last try of a partition failed, or None if it did not; warns of a note that is damaged."""
        name = path.failure(product, region, month)
        content = self.read(name)
        if content is None:
            return None
        try:
            return FailureNote.model_validate_json(content)
        except ValidationError:
            warnings.warn(
                f"{self.uri(name)}: is no note of a failure; the partition's next run replaces it", stacklevel=2
            )
            return None

    def receipts(self, product: str, *, most: int | None = None) -> Iterator[PartitionReceipt]:
        """All receipts of a product that can be used, or about so many, spread over all of them; warns of damaged ones."""
        names = self.names(path.receipts(product))
        for name in names[:: max(1, len(names) // most) if most else 1]:
            content = self.read(name)
            if content is None:
                continue
            try:
                receipt = self._receipt(name, content)
            except DamagedError as e:
                warnings.warn(str(e), stacklevel=2)
            else:
                yield receipt


def _replace(target: str, content: bytes) -> None:
    """Write a local file beside its place and move it there, so that it is seen whole or not at all."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    part = f"{target}.{uuid.uuid4().hex}{_PART}"
    try:
        with open(part, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(part, target)
    finally:
        if os.path.exists(part):
            os.unlink(part)
