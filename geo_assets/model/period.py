"""Periods of one or several months: the temporal partition."""

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass

from geo_assets.errors import ConfigError, PartitionError

_MONTH = re.compile(r"(\d{4})-(\d{2})")


@dataclass(frozen=True, order=True)
class Month:
    """A calendar month, written ``2024-02``."""

    year: int
    month: int

    @classmethod
    def parse(cls, text: str) -> "Month":
        """The month of ``2024-02``.

        Raises:
            PartitionError: Not a month.
        """
        match = _MONTH.fullmatch(str(text))
        if not match or not 1 <= int(match[2]) <= 12 or int(match[1]) < 1:
            raise PartitionError(f"{text!r} is not a month; write it as 2024-02")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"

    @property
    def ordinal(self) -> int:
        """Months since year 0."""
        return self.year * 12 + self.month - 1

    def plus(self, months: int) -> "Month":
        """The month that many months later."""
        year, month = divmod(self.ordinal + months, 12)
        return Month(year, month + 1)

    @property
    def first_day(self) -> dt.date:
        """Its first day."""
        return dt.date(self.year, self.month, 1)


@dataclass(frozen=True, order=True)
class Period:
    """``months`` whole months from ``first``. Its partition key is its first month."""

    first: Month
    months: int = 1

    @property
    def key(self) -> str:
        """Partition key, such as ``2024-02``."""
        return str(self.first)

    @property
    def start(self) -> dt.date:
        """First day."""
        return self.first.first_day

    @property
    def end(self) -> dt.date:
        """Last day, inclusive."""
        return self.first.plus(self.months).first_day - dt.timedelta(days=1)

    def holds(self, day: dt.date) -> bool:
        """Whether a (solar) day belongs to it."""
        return self.start <= day <= self.end


@dataclass(frozen=True)
class Periods:
    """The time axis: periods of ``step`` months counted from ``start``, never from January.

    Attributes:
        start: First month of the first period.
        step: Months a period, 1 to 24.
        count: Number of periods.
    """

    start: Month
    step: int
    count: int

    @classmethod
    def build(cls, start: str, end: str | None, step: int, *, today: dt.date) -> "Periods":
        """Periods that begin at or before ``end``; without an end those that are complete before ``today``.

        Raises:
            ConfigError: The end lies before the start, or no period is complete yet.
        """
        first = Month.parse(start)
        if end is None:
            elapsed = today.year * 12 + today.month - 1 - first.ordinal
            count = max(0, elapsed // step)
            if not count:
                raise ConfigError(
                    f"no period of {step} month(s) from {start} is complete on {today}: start earlier or give an end"
                )
        else:
            last = Month.parse(end)
            if last < first:
                raise ConfigError(f"months end ({end}) before they start ({start})")
            count = (last.ordinal - first.ordinal) // step + 1
        return cls(first, step, count)

    def __iter__(self) -> Iterator[Period]:
        return (self.at(i) for i in range(self.count))

    def __len__(self) -> int:
        return self.count

    def at(self, index: int) -> Period:
        """The period at a place of the time axis."""
        return Period(self.start.plus(index * self.step), self.step)

    @property
    def keys(self) -> list[str]:
        """Partition keys in order."""
        return [self.at(i).key for i in range(self.count)]

    def index(self, key: str) -> int:
        """Place of a key on the time axis.

        Raises:
            PartitionError: Not the first month of a period of this axis.
        """
        index, rest = divmod(Month.parse(key).ordinal - self.start.ordinal, self.step)
        if rest or not 0 <= index < self.count:
            last = self.at(self.count - 1)
            hint = f"periods of {self.step} months from {self.start}" if self.step > 1 else "months"
            raise PartitionError(f"{key} is not a partition: {hint} run from {self.start} to {last.key}")
        return index

    def between(self, first: str | None, last: str | None) -> list[Period]:
        """Periods whose first month lies in first..last (both inclusive, open where None).

        Raises:
            PartitionError: None does.
        """
        low = Month.parse(first) if first else self.start
        high = Month.parse(last) if last else self.at(self.count - 1).first
        chosen = [p for p in map(self.at, range(self.count)) if low <= p.first <= high]
        if not chosen:
            raise PartitionError(
                f"no period lies in {low}:{high}; the project has {self.start} to {self.at(self.count - 1).key}"
            )
        return chosen
