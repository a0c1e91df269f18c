"""Commands about areas of interest: ``aoi add``, ``aoi list`` and ``aoi remove``."""

import json
from typing import Annotated

import typer

from geo_assets.doors.commands.options import DEFAULT, JsonOption, ProjectArgument, VerboseOption, with_project
from geo_assets.doors.terminal import err, out, session
from geo_assets.project import load_project

app = typer.Typer(no_args_is_help=True, help="Register areas of interest.")


@app.command()
def add(
    arguments: Annotated[list[str], typer.Argument(metavar="[PROJECT] NAME FILE")],
    layer: Annotated[str | None, typer.Option(help="Layer of the file.")] = None,
    json_: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Register an area; regions that it does not touch stay as they are.

    Example: `geo-assets aoi add geo_assets.yaml valley valley.gpkg`

    With `--json`: `name`, `cells` (their number), `regions` and `new_regions` (keys), `notes`.
    """
    from geo_assets.doors.areas import add_area

    with session(verbose=verbose) as warned:
        file, (name, vector) = with_project(arguments, 2, "NAME FILE")
        shown = add_area(load_project(file), name, vector, layer)
    if json_:
        print(json.dumps(shown))
        return
    for note in (n for n in shown["notes"] if not any(n in line for line in warned)):
        err.print(f"note: {note}", markup=False)
    out.print(
        f"area {name}: {shown['cells']} cells in {len(shown['regions'])} regions, {len(shown['new_regions'])} of them new",
        highlight=False,
    )


@app.command("list")
def list_(project: ProjectArgument = DEFAULT, json_: JsonOption = False, verbose: VerboseOption = False) -> None:
    """List the areas.

    Example: `geo-assets aoi list --json`

    With `--json`: `{"aois": [...]}`, each with `name, area_km2, source, notes`.
    """
    from geo_assets.doors.areas import list_areas

    with session(verbose=verbose):
        rows = list_areas(load_project(project))
    if json_:
        print(json.dumps({"aois": rows}))
        return
    for row in rows:
        out.print(f"{row['name']}  {row['area_km2']:,.0f} km2  from {row['source']}", markup=False, highlight=False)


@app.command()
def remove(
    arguments: Annotated[list[str], typer.Argument(metavar="[PROJECT] NAME")],
    json_: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Take a registered area away; what was made for it stays.

    Example: `geo-assets aoi remove valley`

    With `--json`: `{"removed": name}`.
    """
    from geo_assets.doors.areas import remove_area

    with session(verbose=verbose):
        file, (name,) = with_project(arguments, 1, "NAME")
        remove_area(load_project(file), name)
    print(json.dumps({"removed": name}) if json_ else f"area {name} is removed; what was made for it stays")
