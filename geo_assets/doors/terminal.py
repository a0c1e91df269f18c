"""What the commands print on: results on stdout, everything else on stderr, progress as a bar or as lines."""

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

import typer
from rich.console import Console

from geo_assets.errors import ConfigError
from geo_assets.model.text import printable

err = Console(stderr=True, soft_wrap=True, emoji=False)
out = Console(soft_wrap=True, emoji=False)


@contextlib.contextmanager
def session(*, verbose: bool) -> Iterator[set[str]]:
    """Logs to stderr, Dagster's own console log off unless asked for, our warnings as one line each; yields those shown."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        force=True,
    )
    shown: set[str] = set()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, UserWarning) and "geo_assets" in filename and str(message) not in shown:
            shown.add(str(message))
            err.print(f"warning: {message}", style="yellow", markup=False, highlight=False)

    warnings.showwarning = show
    warnings.filterwarnings("always", category=UserWarning, module="geo_assets")
    try:
        yield shown
    except KeyboardInterrupt:
        err.print("stopped; what is committed stays, run again to go on", style="yellow")
        raise typer.Exit(130) from None


def print_table(headers: list[str], rows: list[list[Any]]) -> None:
    """Aligned columns, numbers to the right: as readable in a pipe as on a terminal."""
    text = [[f"{v:,}" if isinstance(v, int | float) else str(v) for v in row] for row in rows]
    widths = [max(len(line[i]) for line in [headers, *text]) for i in range(len(headers))]
    right = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(headers))]
    for line in [headers, *text]:
        print("  ".join(v.rjust(w) if r else v.ljust(w) for v, w, r in zip(line, widths, right, strict=True)).rstrip())


def print_error(text: str) -> None:
    """One line on stderr."""
    err.print(f"error: {printable(text)}", style="red", markup=False, highlight=False)


def ask(question: str, *, yes: bool) -> None:
    """Ask before something is deleted or spent.

    Raises:
        ConfigError: There is no terminal to ask on, and ``yes`` is not set.
    """
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():  # a service may have none at all
        raise ConfigError(f"{question} Say --yes to go on without being asked.")
    typer.confirm(f"{question} Go on?", abort=True, err=True)
