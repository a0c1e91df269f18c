"""Notes on partitions whose last try failed, kept beside the receipts: whoever asks for them needs no Dagster."""

import contextlib
import datetime as dt
import logging
from collections.abc import Iterator

from geo_assets.assets.partitions import region_and_month
from geo_assets.errors import GeoAssetsError, StoreError
from geo_assets.model import path
from geo_assets.model.receipt import FailureNote
from geo_assets.model.text import without_secrets
from geo_assets.storage import Storage


class Notes:
    """Notes of one run of an asset.

    Args:
        storage: Where they are kept.
        product: The asset's product.
        run_id: Of the run.
        log: Told what could not be noted; the partition's own outcome is what counts, and is reported all the same.

    Raises:
        StoreError: The storage cannot be listed.
    """

    def __init__(self, storage: Storage, product: str, *, run_id: str, log: logging.Logger) -> None:
        self._storage, self._product, self._run_id, self._log = storage, product, run_id, log
        self._there = set(storage.names(path.failures(product)))  # once, so that a success without a note asks nothing

    def failed(self, key: str, error: GeoAssetsError, *, usd: float = 0.0) -> None:
        """Keep why a partition failed, and what it cost all the same."""
        region, month = region_and_month(key)
        note = FailureNote(
            product=self._product, region=region, month=month, cause=without_secrets(str(error)), error=type(error).__name__, run_id=self._run_id,
            usd=round(usd, 9), at=dt.datetime.now(dt.UTC),
        )  # fmt: skip
        with self._told(key, "why it failed cannot be kept"):
            self._storage.write_failure(note)

    def made(self, key: str) -> None:
        """Drop the note of a partition that was made."""
        name = path.failure(self._product, *region_and_month(key))
        if name in self._there:
            with self._told(key, "an older note of its failure stays"):
                self._storage.delete(name)

    @contextlib.contextmanager
    def _told(self, key: str, what: str) -> Iterator[None]:
        try:
            yield
        except StoreError as e:
            self._log.error(f"{self._product} {key}: {what}: {e}")
