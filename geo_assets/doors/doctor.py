"""Looks at everything that a run needs, and says what to do about what is wrong."""

import os
from dataclasses import dataclass
from typing import Any, Literal

from geo_assets.project import LoadedProject

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


def diagnose(loaded_or_path: LoadedProject | str | os.PathLike[str], *, instance: Any = None) -> list[Finding]:
    """Findings about a project and this machine. Never raises for one."""
    raise NotImplementedError
