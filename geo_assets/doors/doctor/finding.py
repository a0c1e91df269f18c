"""What a check found."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """What was looked at, and how it is.

    Attributes:
        name: What was looked at.
        level: ok, warning (a run works, but perhaps not as wanted) or error (it would fail).
        message: How it is.
        advice: What to do, or "".
    """

    name: str
    level: Level
    message: str
    advice: str = ""
