"""Arguments and options that several commands have, and how their texts are read."""

from pathlib import Path
from typing import Annotated

import typer

from geo_assets.project import DEFAULT_FILE

DEFAULT = Path(DEFAULT_FILE)

ProjectArgument = Annotated[Path, typer.Argument(metavar="[PROJECT]", help="Project file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout; logs go to stderr.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", help="Log every task, and tracebacks of errors.")]
MonthsOption = Annotated[
    str | None,
    typer.Option(
        "--months", metavar="A:B", help="Only periods from A to B, such as 2024-03:2024-05; a side may be left out."
    ),
]
RegionsOption = Annotated[
    str | None, typer.Option("--regions", metavar="K,..", help="Only these regions, by their keys.")
]


def months_of(text: str | None) -> tuple[str | None, str | None]:
    """First and last period of a span such as ``2024-03:2024-05``; None where a side is open."""
    if text is None:
        return None, None
    first, colon, last = text.partition(":")
    return first or None, (last or None) if colon else first


def list_of(text: str | None) -> list[str] | None:
    """The parts of a list with commas, or None where nothing is given."""
    return [part.strip() for part in text.split(",") if part.strip()] if text else None


def with_project(arguments: list[str], wanted: int, what: str) -> tuple[Path, list[str]]:
    """The project file, which may be left out, and the other arguments.

    Raises:
        BadParameter: Too few arguments, or too many.
    """
    if len(arguments) not in (wanted, wanted + 1):
        raise typer.BadParameter(f"give [PROJECT] {what}")
    return (DEFAULT, arguments) if len(arguments) == wanted else (Path(arguments[0]), arguments[1:])
