"""Byte ranges fetched ahead of their use, in order, in a bounded amount of memory."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from geo_assets.errors import SourceError

BUDGET_BYTES = 256 * 2**20
_JOIN_S = 10.0


class Fetches(Protocol):
    """What a parcel comes from."""

    def fetch(self, start: int, end: int) -> memoryview:
        """The bytes from ``start`` to before ``end``; called from several threads."""
        ...


@dataclass(frozen=True, eq=False)
class Parcel:
    """One range of one file. Two parcels of the same range are two: a parcel is known by itself.

    Attributes:
        source: The file.
        start: First byte.
        end: Byte after the last.
    """

    source: Fetches
    start: int
    end: int

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.end - self.start


class _Slot:
    """Where a parcel stands: not asked for, on its way, here, failed, or dropped before it came."""

    def __init__(self) -> None:
        self.asked = self.dropped = False
        self.data: memoryview | None = None
        self.error: BaseException | None = None


class Fetcher:
    """Fetches parcels in the order in which they were planned, a little ahead of their use.

    What was fetched or is on its way, and was not released, stays under the budget. A parcel that somebody waits for is
    fetched by the thread that waits, whatever the budget says: so nothing can block for ever, in whatever order parcels are
    taken and however large they are. All methods may be called from any thread.

    Args:
        threads: Ranges on their way at once, beside those that somebody waits for.
        budget_bytes: Most bytes held ahead of their use.
        cancel: Ends what sources are fetching; called by ``close`` if something is still on its way.

    Attributes:
        peak_bytes: Most bytes that were held at once.
    """

    def __init__(
        self, threads: int = 16, budget_bytes: int = BUDGET_BYTES, *, cancel: Callable[[], None] | None = None
    ) -> None:
        self._most, self._budget, self._cancel = max(1, threads), budget_bytes, cancel
        self._lock = threading.Lock()
        self._work, self._arrived = threading.Condition(self._lock), threading.Condition(self._lock)
        self._slots: dict[Parcel, _Slot] = {}
        self._queue: dict[Parcel, None] = {}  # planned and not asked for, in order
        self._threads: list[threading.Thread] = []
        self._held = self._coming = self._idle = 0
        self._closed = False
        self.peak_bytes = 0

    def __enter__(self) -> "Fetcher":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def plan(self, parcels: Sequence[Parcel], budget_bytes: int = 0) -> None:
        """Fetch these after those planned before, in this order. Parcels that are known already stay where they are.

        Args:
            parcels: What to fetch.
            budget_bytes: Most bytes held ahead of their use from now on; as before if 0.
        """
        with self._lock:
            self._check_open()
            self._budget = budget_bytes or self._budget
            for parcel in parcels:
                if parcel not in self._slots:
                    self._slots[parcel] = _Slot()
                    self._queue[parcel] = None
            missing = min(self._most - len(self._threads), len(self._queue) - self._idle)
            for _ in range(missing):
                thread = threading.Thread(target=self._run, name="fetcher", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._work.notify_all()

    def take(self, parcel: Parcel) -> memoryview:
        """The bytes of a parcel, once they are there; they hold until ``release``. One that was not planned is fetched now.

        Raises:
            SourceError: What its source raised, or the fetcher was closed.
        """
        with self._lock:
            self._check_open()
            slot = self._slots.setdefault(parcel, _Slot())
            mine = not slot.asked
            if mine:
                self._ask(parcel, slot)
        if mine:
            self._fetch(parcel, slot)
        with self._lock:
            while slot.data is None and slot.error is None:
                self._check_open()
                if slot.dropped:
                    raise RuntimeError("a parcel was released while another thread waited for it")
                self._arrived.wait()
            if slot.error is not None:
                raise slot.error
            assert slot.data is not None
            return slot.data

    def release(self, parcel: Parcel) -> None:
        """Forget a parcel, taken or not: its bytes no longer count."""
        with self._lock:
            slot = self._slots.pop(parcel, None)
            self._queue.pop(parcel, None)
            if slot is None:
                return
            slot.dropped = True
            self._arrived.notify_all()
            if slot.data is not None:
                self._free(parcel)
                slot.data = None

    def close(self) -> None:
        """Forget all parcels and end all threads; who waits for a parcel gets an error."""
        with self._lock:
            self._closed = True
            self._queue.clear()
            self._slots.clear()
            busy = self._coming > 0
            self._work.notify_all()
            self._arrived.notify_all()
        if busy and self._cancel is not None:
            self._cancel()
        for thread in self._threads:
            thread.join(_JOIN_S)
        self._threads.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise SourceError("reading was stopped")

    def _ask(self, parcel: Parcel, slot: _Slot) -> None:
        self._queue.pop(parcel, None)
        slot.asked = True
        self._coming += 1
        self._held += parcel.size
        self.peak_bytes = max(self.peak_bytes, self._held)

    def _free(self, parcel: Parcel) -> None:
        self._held -= parcel.size
        self._work.notify_all()

    def _fetch(self, parcel: Parcel, slot: _Slot) -> None:
        data, error = None, None
        try:
            data = parcel.source.fetch(parcel.start, parcel.end)
        except BaseException as e:  # noqa: BLE001 - raised by ``take``
            error = e
        with self._lock:
            self._coming -= 1
            if slot.dropped or self._closed or error is not None:
                self._free(parcel)
            if not slot.dropped and not self._closed:
                slot.data, slot.error = data, error
            self._arrived.notify_all()

    def _next(self) -> tuple[Parcel, _Slot] | None:
        """The next parcel once the budget allows it; None when closed."""
        with self._lock:
            self._idle += 1
            while not self._closed:
                parcel = next(iter(self._queue), None)
                if parcel is not None and self._held + parcel.size <= self._budget:
                    slot = self._slots[parcel]
                    self._ask(parcel, slot)
                    self._idle -= 1
                    return parcel, slot
                self._work.wait()
            return None

    def _run(self) -> None:
        while (job := self._next()) is not None:
            self._fetch(*job)
