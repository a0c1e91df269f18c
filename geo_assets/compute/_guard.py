"""An adapter whose library's errors are errors of the backend: what a broken connection raises is of many kinds."""

import contextlib
import logging
from collections.abc import Hashable, Iterator

from geo_assets.compute._call import Adapter, Call, PayloadError
from geo_assets.errors import ComputeError, GeoAssetsError
from geo_assets.model.task import TaskResult
from geo_assets.model.text import told

_logger = logging.getLogger(__name__)


class Guarded:
    """See ``_call.Adapter``.

    Args:
        adapter: The one that is guarded.
    """

    def __init__(self, adapter: Adapter) -> None:
        self._adapter, self.capabilities = adapter, adapter.capabilities

    @property
    def slots(self) -> int:
        """Tasks that run at a time."""
        with _as_compute_error():
            return self._adapter.slots

    def submit(self, call: Call) -> Hashable:
        """Send a try."""
        with _as_compute_error():
            return self._adapter.submit(call)

    def poll(self, wait_s: float) -> list[tuple[Hashable, TaskResult]]:
        """What has ended."""
        with _as_compute_error():
            return self._adapter.poll(wait_s)

    def started(self, handle: Hashable) -> float | None:
        """When a try started."""
        with _as_compute_error():
            return self._adapter.started(handle)

    def kill(self, handle: Hashable) -> str:
        """End a try."""
        with _as_compute_error():
            return self._adapter.kill(handle)

    def drop(self, handles: list[Hashable], timeout_s: float) -> None:
        """Take back tries; where that fails, an error that ended the run must not be hidden by it."""
        try:
            with _as_compute_error():
                self._adapter.drop(handles, timeout_s)
        except ComputeError as e:
            _logger.warning("%d tasks cannot be taken back and may go on: %s", len(handles), e)


@contextlib.contextmanager
def _as_compute_error() -> Iterator[None]:
    try:
        yield
    except (GeoAssetsError, PayloadError):
        raise
    except Exception as e:
        raise ComputeError(f"the compute backend failed: {told(e)}") from e
