"""The command line: ``geo-assets COMMAND [PROJECT]``. Exit codes: 0 all done, 1 something failed, 2 bad input."""

import json
import os
import sys
from typing import Any

import typer

from geo_assets.doors.commands import areas, export, look, make, request
from geo_assets.doors.terminal import err, print_error
from geo_assets.errors import GeoAssetsError
from geo_assets.threads import hung

_NAME = "geo-assets"
_UsageError: Any = typer.BadParameter.__base__  # typer does not name it

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False,
    help="Monthly clear-sky composites of satellite scenes as partitioned Dagster assets.",
)  # fmt: skip
for command in (
    make.init,
    make.demo,
    look.doctor,
    look.plan,
    make.run,
    make.predict,
    look.status,
    request.request,
    look.ui,
    look.plugins,
):
    app.command()(command)
app.add_typer(areas.app, name="aoi")
app.add_typer(export.app, name="export")


def main() -> None:
    """Entry point; it ends the process also where a task hangs in a thread, which Python would wait for."""
    try:
        _main()
    except SystemExit as e:
        if not hung():
            raise
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(e.code if isinstance(e.code, int) else 0 if e.code is None else 1)


def _main() -> None:
    """An error becomes one line and an exit code, and with ``--json`` a document as well."""
    # On a terminal typer frames what it says about wrong usage; a program that reads our output gets a line
    plain = "--json" in sys.argv or not err.is_terminal
    try:
        sys.exit(app(prog_name=_NAME, standalone_mode=not plain) or 0)
    except _UsageError as e:
        if text := e.format_message():  # else the help was asked for, and is printed
            _tell("UsageError", f"{text.removesuffix('.')}; see `{e.ctx.command_path if e.ctx else _NAME} --help`")
        sys.exit(e.exit_code)
    except typer.Abort:
        print_error("not confirmed; nothing was done")
        sys.exit(2)
    except GeoAssetsError as e:
        if "--verbose" in sys.argv:
            raise
        _tell(type(e).__name__, str(e))
        sys.exit(1 if e.retryable else 2)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output left, as in `| head`
        sys.exit(0)


def _tell(kind: str, message: str) -> None:
    if "--json" in sys.argv:
        print(json.dumps({"error": {"kind": kind, "message": message}}))
    print_error(message)
