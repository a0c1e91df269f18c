"""Commands that make something: ``init``, ``demo`` and ``run``."""

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

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
from geo_assets.doors.doubted import doubted_lines
from geo_assets.doors.progress import progress
from geo_assets.doors.run_options import RunOptions
from geo_assets.doors.terminal import ask, err, out, print_error, session
from geo_assets.errors import GeoAssetsError
from geo_assets.project import load_project
from geo_assets.report.jobs import kind_of


def init(
    project: ProjectArgument = DEFAULT,
    aoi: Annotated[Path | None, typer.Option(help="Vector file of the area.")] = None,
    layer: Annotated[str | None, typer.Option(help="Its layer.")] = None,
    bbox: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(metavar="W S E N", help="Area as west south east north, degrees."),
    ] = None,
    grid: Annotated[str | None, typer.Option(help="Grid plugin.")] = None,
    months: MonthsOption = None,
    storage: Annotated[str | None, typer.Option(help="Path or URI of everything that is made.")] = None,
    compute: Annotated[str | None, typer.Option(help="Compute plugin.")] = None,
    json_: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write a commented project file.

    Example: `geo-assets init --bbox 15 46 15.3 46.2 --months 2023-06:2023-08`

    With `--json`: `{"project": path of the file}`.
    """
    from geo_assets.doors.init import write_project

    with session(verbose=verbose):
        box = list(bbox) if bbox else None
        file = write_project(
            project, aoi=aoi, layer=layer, bbox=box, grid=grid, months=months, storage=storage, compute=compute
        )
    if json_:
        print(json.dumps({"project": str(file)}))
    else:
        name = shlex.quote(str(file))
        out.print(
            f"wrote {file}\nnext: geo-assets doctor {name}, then geo-assets plan {name} and geo-assets run {name}",
            markup=False, highlight=False,
        )  # fmt: skip


def demo(
    dir_: Annotated[Path, typer.Option("--dir", help="Folder of the demo.")] = Path("demo"),
    json_: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make a small sample world and its monthly composites, offline.

    Example: `geo-assets demo --dir demo`

    With `--json`: the document of `run`, and `report` and `project`, the paths of both files.
    """
    from geo_assets.doors.demo import run_demo
    from geo_assets.doors.reports import how_to_open

    with session(verbose=verbose), progress(err) as told:
        loaded, summary, report = run_demo(dir_.absolute(), progress=told, console=verbose)
    if json_:
        print(json.dumps(summary.document() | {"report": str(report), "project": str(loaded.file)}))
    else:
        _print_summary(summary)
        shell, python = how_to_open(loaded)
        lines = [f"report   {report}", f"project  {loaded.file}", "open it", f"  {shell}"]
        print("\n".join([*lines, *(f"  >>> {line}" for line in python)]))
    raise typer.Exit(0 if summary.complete else 1)


def run(
    project: ProjectArgument = DEFAULT,
    months: MonthsOption = None,
    regions: RegionsOption = None,
    products: Annotated[
        str | None, typer.Option("--products", metavar="P,..", help="Only these products, with what they need.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many partitions.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make everything again, also what is fresh.")] = False,
    initialize: Annotated[bool, typer.Option("--initialize", help="Clear the cube first.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Only partitions that failed or are partial.")
    ] = False,
    tiles: Annotated[
        str | None,
        typer.Option(
            metavar="CSV",
            help="Only what this table names: columns region and month, as in a failed.csv, or Year, X, Y, Y_tile and X_tile.",
        ),
    ] = None,
    report_dir: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Write the report there, and not below the storage root.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json_: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make what is missing or stale, as Dagster runs: one a region.

    Example: `geo-assets run --months 2023-06:2023-08 --json`

    Exit code: 0 all is made, 1 some partitions failed or are partial, 2 bad input: nothing was made.

    With `--json`: `run_ids`; `partitions` (`total, ok, partial, failed, skipped`); `tasks` (`ok, failed, skipped`);
    `bytes_read`, `requests`, `cpu_s`, `wall_s`, `peak_rss_mb`, `usd` (`predicted, actual`); `report`, its folder; `failures`, each with `product, region, month,
    block, cells, cause`; `empty`, partitions that hold no pixel, each with its `reason`; `doubted`, yearly tiles that are
    faulty or doubtful, each with `product, region, month, tile, faults, doubts, page`; `outputs`, the URI by product,
    and that of `tiles` where files of yearly tiles are made.
    """
    first, last = months_of(months)
    options = RunOptions(
        first, last, list_of(regions), list_of(products), limit, overwrite, initialize, retry_failed, tiles
    )
    _run(project, options, report_dir=report_dir, yes=yes, json_=json_, verbose=verbose)


def predict(
    project: ProjectArgument = DEFAULT,
    months: MonthsOption = None,
    regions: RegionsOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many partitions.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make everything again, also the composites that it reads.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json_: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Run the project's model (`prediction: {model: FILE}`), with what it reads: `run --products prediction`.

    Example: `geo-assets predict --months 2023-12`

    A month is the last one of the series that the model reads; those before it are made where they are missing. A model of
    yearly tiles (`source: tiles`) has one a year, its January.

    Exit code and `--json`: those of `run`.
    """
    first, last = months_of(months)
    options = RunOptions(first, last, list_of(regions), ["prediction"], limit, overwrite)
    _run(project, options, report_dir=None, yes=yes, json_=json_, verbose=verbose)


def _run(project: Path, options: RunOptions, *, report_dir: str | None, yes: bool, json_: bool, verbose: bool) -> None:
    from geo_assets.doors.instance import effective_storage
    from geo_assets.doors.reports import refuse_folder, write_reports
    from geo_assets.doors.run import run_project

    with session(verbose=verbose):
        loaded = load_project(project)
        folder = refuse_folder(report_dir, cube=f"{effective_storage(loaded)}/cube") if report_dir is not None else None
        if options.initialize:
            ask(f"--initialize deletes the cube in {effective_storage(loaded)}.", yes=yes)
        with progress(err) as told:
            summary = run_project(
                loaded, options, progress=told, console=verbose, ask=lambda question: ask(question, yes=yes)
            )
        fault = None
        try:
            summary.report = write_reports(loaded, summary, folder)
        except GeoAssetsError as e:  # the summary is the one document, and the run stands as it is
            fault = e
        if json_:
            print(json.dumps(summary.document()))
        else:
            _print_summary(summary)
        if fault:
            print_error(str(fault))
            raise typer.Exit(1) from fault
    raise typer.Exit(0 if summary.complete else 2 if summary.refused else 1)


def _print_summary(summary: Any) -> None:
    p, t = summary.partitions, summary.tasks
    skipped = " (same scenes, recipe and code)" if p["skipped"] else ""
    lines = [
        f"partitions  {p['ok']} made, {p['skipped']} skipped{skipped}, {p['partial']} partial, {p['failed']} failed of {p['total']}",
        f"tasks       {t['ok']} made, {t['skipped']} skipped, {t['failed']} failed",
        f"read        {summary.bytes_read:,} bytes in {summary.requests:,} requests; {summary.wall_s:.1f} s, {summary.cpu_s:.1f} CPU s",
        *(f"made        {product}: {uri}" for product, uri in summary.outputs.items()),
        *([f"run report  {summary.report}/report.html"] if summary.report else []),
    ]
    if any(summary.usd.values()):
        lines.insert(3, f"cost        ${summary.usd['actual']:.4f}, and ${summary.usd['predicted']:.4f} were expected")
    print("\n".join(lines))
    for e in summary.empty[:20]:
        where = f"{e['product']} {e['region']} {e['month']}"
        err.print(f"warning: {where}: {e['reason']}", style="yellow", markup=False, highlight=False)
    if len(summary.empty) > 20:
        err.print(f"... and {len(summary.empty) - 20} more that hold no pixel; --json lists them all", style="yellow")
    for line in doubted_lines(summary.doubted):
        err.print(f"warning: {line}", style="yellow", markup=False, highlight=False)
    for f in summary.failures[:20]:
        where = " ".join(str(f[k]) for k in ("product", "region", "month") if f[k]) + (
            f" {kind_of(str(f['product']))} {f['block']}" if f["block"] else ""
        )
        err.print(f"failed: {where}: {f['cause']}", style="red", markup=False, highlight=False)
    if len(summary.failures) > 20:
        err.print(f"... and {len(summary.failures) - 20} more; --json lists them all", style="red")
