"""Small objects below the storage root: tables, receipts and pictures, on any fsspec URI."""

import os
import uuid
from collections.abc import Iterator

import fsspec

from geo_assets.errors import ConfigError, StoreError
from geo_assets.model import path
from geo_assets.model.receipt import PartitionReceipt


class Storage:
    """Whole objects, replaced in one piece: a reader sees the old one or the new one."""

    def __init__(self, root: str) -> None:
        self.root = root if "://" in root else os.path.abspath(root)
        try:
            self._files, self._base = fsspec.core.url_to_fs(self.root)
        except (ImportError, ValueError) as e:
            raise ConfigError(f"storage {root!r} cannot be used here: {e}") from e
        self._local = "://" not in self.root

    def uri(self, name: str) -> str:
        """Full path or URI of an object."""
        return f"{self.root.rstrip('/')}/{name}"

    def _path(self, name: str) -> str:
        if any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name:
            raise ConfigError(f"{name!r} is not a name below the storage root")
        return f"{self._base.rstrip('/')}/{name}"

    def read(self, name: str) -> bytes | None:
        """Content of an object, or None where there is none.

        Raises:
            StoreError: It is there but cannot be read.
        """
        try:
            content: bytes = self._files.cat_file(self._path(name))
        except FileNotFoundError:
            return None
        except OSError as e:
            raise StoreError(f"{self.uri(name)}: cannot be read: {e}") from e
        return content

    def write(self, name: str, content: bytes) -> None:
        """Replace an object in one piece.

        Raises:
            StoreError: It was not written; what was there before still is.
        """
        target = self._path(name)
        try:
            if not self._local:
                self._files.pipe_file(target, content)
                return
            os.makedirs(os.path.dirname(target), exist_ok=True)
            part = f"{target}.{uuid.uuid4().hex}.part"
            try:
                with open(part, "wb") as handle:
                    handle.write(content)
                    handle.flush()
                    os.fsync(handle.fileno())
                os.replace(part, target)
            finally:
                if os.path.exists(part):
                    os.unlink(part)
        except OSError as e:
            raise StoreError(f"{self.uri(name)}: cannot be written: {e}") from e

    def delete(self, name: str) -> None:
        """Remove an object if it is there."""
        target = self._path(name)
        if self._files.exists(target):
            self._files.rm_file(target)

    def names(self, folder: str) -> list[str]:
        """Objects below a folder, sorted, relative to the root."""
        try:
            found = self._files.find(self._path(folder))
        except FileNotFoundError:
            return []
        base = self._base.rstrip("/") + "/"
        return sorted(f[len(base) :] for f in found if not f.endswith(".part"))

    def read_receipt(self, product: str, region: str, month: str | None = None) -> PartitionReceipt | None:
        """Receipt of a partition, or None where nothing was made."""
        content = self.read(path.receipt(product, region, month))
        return None if content is None else PartitionReceipt.model_validate_json(content)

    def write_receipt(self, receipt: PartitionReceipt) -> None:
        """Store the receipt of a partition."""
        self.write(
            path.receipt(receipt.product, receipt.region, receipt.month),
            receipt.model_dump_json(exclude_defaults=True).encode(),
        )

    def receipts(self, product: str) -> Iterator[PartitionReceipt]:
        """All receipts of a product."""
        for name in self.names(path.receipts(product)):
            content = self.read(name)
            if content is not None:
                yield PartitionReceipt.model_validate_json(content)
