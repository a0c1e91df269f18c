"""The command ``request``: from ids of tiles to a table of them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geo_assets.doors.commands.options import JsonOption, VerboseOption
from geo_assets.doors.terminal import err, out, print_error, session
from geo_assets.errors import ConfigError

if TYPE_CHECKING:
    from geo_assets.eo.tile_request import Answer, Note

_SHOWN = 80


def request(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON file of the request.")],
    tiles: Annotated[
        Path,
        typer.Option(metavar="TABLE", help="CSV or parquet with the columns X, Y, Y_tile and X_tile of all tiles."),
    ],
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="OUT", help="Write the table there, and not to stdout.")
    ] = None,
    json_: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Look up tiles by their ids, and write them as a table for `run --tiles`; lists what it refused.

    Example: `geo-assets request missing.json --tiles all_tiles.parquet --csv tiles.csv`

    FILE is JSON: `{"project": {"2023": {"missing_tiles": ["1035X727Y"]}}}`; of an id the first number is X_tile, the
    second Y_tile. The table has the columns `Year,X,Y,Y_tile,X_tile` and is sorted by Year, X_tile and Y_tile.

    Exit code: 0 every id is accepted, 1 some are refused and the table has the rest, 2 bad input or nothing that can
    be used: nothing was written.

    With `--json`: `tiles`, objects with the five columns; `refused` and `duplicates`, each with `token, reason, project,
    year`; `given`, the number of all three; and `csv`, the file that was written, if one was asked for.
    """
    from geo_assets.doors.request import answer_file, refuse_target, write_tiles
    from geo_assets.eo.tile_request import tiles_csv

    with session(verbose=verbose):
        target = refuse_target(csv, file, tiles) if csv is not None else None
        answer = answer_file(file, tiles)
        if target is not None and answer.tiles:
            write_tiles(target, answer)
    if not answer.tiles:
        _end_without_tiles(answer, json_=json_)
    if json_:
        print(json.dumps(answer.document() | ({"csv": str(csv)} if csv is not None else {})))
    else:
        _list_notes(answer)
        if csv is None:
            print(tiles_csv(answer.tiles), end="")
        else:
            line = f"wrote {csv}: {_many(answer.tiles)}, {len(answer.refused):,} refused, {len(answer.duplicates):,} given again"
            out.print(line, markup=False, highlight=False)
    raise typer.Exit(1 if answer.refused else 0)


def _end_without_tiles(answer: "Answer", *, json_: bool) -> None:
    why = f"its {answer.given:,} entries are refused" if answer.given else "it has no entries"
    message = f"no tile is left of the request and nothing was written: {why}; correct its ids, or give another table"
    if json_:
        print(json.dumps(answer.document() | {"error": {"kind": ConfigError.__name__, "message": message}}))
    else:
        _list_notes(answer)
    print_error(message)
    raise typer.Exit(2)


def _list_notes(answer: "Answer") -> None:
    for word, notes in (("refused", answer.refused), ("duplicate", answer.duplicates)):
        for note in notes:
            err.print(f"{word}: {_line(note)}", style="yellow", markup=False, highlight=False)


def _line(note: "Note") -> str:
    # As JSON writes it, blanks and unprintable characters of an id can be seen, and none steers the screen
    token = json.dumps(note.token[:_SHOWN]) + ("..." if len(note.token) > _SHOWN else "")
    return f"{token} of project {json.dumps(note.project[:_SHOWN])}, {note.year}: {note.reason}"


def _many(found: Sequence[object]) -> str:
    return "1 tile" if len(found) == 1 else f"{len(found):,} tiles"
