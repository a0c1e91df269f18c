"""Commands that take single products out of the store: ``export cog``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from geo_assets.doors.commands.options import (
    DEFAULT,
    JsonOption,
    MonthsOption,
    ProjectArgument,
    RegionsOption,
    VerboseOption,
    list_of,
    months_of,
)
from geo_assets.doors.terminal import err, session
from geo_assets.project import load_project

app = typer.Typer(no_args_is_help=True, help="Single products out of the store.")


@app.callback()
def _several() -> None:
    """Single products out of the store."""


@app.command()
def cog(
    project: ProjectArgument = DEFAULT,
    to: Annotated[Path, typer.Option("--out", help="Folder for the files.")] = Path("export"),
    months: MonthsOption = None,
    regions: RegionsOption = None,
    bands: Annotated[str | None, typer.Option(metavar="B,..", help="Only these bands.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    json_: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write composites as cloud-optimised GeoTIFFs, one a region and month, for QGIS and the like.

    Example: `geo-assets export cog demo/geo_assets.yaml --out tiffs --months 2024-06`

    Clear days go to a file of their own, `..._n_clear.tif`. Files that are there are kept.

    With `--json`: `{"files": [paths], "kept": [paths]}`, the second those that were there already.
    """
    from geo_assets.doors.export import export_cog
    from geo_assets.doors.instance import workspace

    with session(verbose=verbose):
        loaded = workspace(load_project(project)).loaded
        first, last = months_of(months)
        chosen = [p.key for p in loaded.periods().between(first, last)] if months else None
        there = set() if overwrite else set(to.glob("*.tif"))
        files = export_cog(
            loaded, to, months=chosen, regions=list_of(regions), bands=list_of(bands), overwrite=overwrite
        )
    kept = [f for f in files if f in there]
    if json_:
        print(json.dumps({"files": [str(f) for f in files], "kept": [str(f) for f in kept]}))
        return
    print("\n".join(map(str, files)))
    if kept:
        err.print(
            f"{len(kept)} of {len(files)} files were there already and are kept; --overwrite writes them anew",
            highlight=False,
        )
