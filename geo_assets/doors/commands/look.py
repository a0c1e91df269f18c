"""Commands that look and change nothing: ``doctor``, ``plan``, ``status``, ``plugins`` and ``ui``."""

import json
from dataclasses import asdict
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
from geo_assets.doors.terminal import err, out, print_table, session
from geo_assets.project import LoadedProject, load_project


def doctor(project: ProjectArgument = DEFAULT, json_: JsonOption = False, verbose: VerboseOption = False) -> None:
    """Check project file, catalog, storage, compute, plugins and partition count, and say what to do.

    Example: `geo-assets doctor geo_assets.yaml`

    Exit code: 0 a run can start, 2 something would stop it.

    With `--json`: `{"findings": [...]}`, each with `name`, `level` (`ok`, `warning` or `error`), `message`, `advice`.
    """
    from geo_assets.doors.doctor.diagnose import diagnose
    from geo_assets.doors.instance import workspace

    with session(verbose=verbose):
        findings = diagnose(project, deploy=lambda loaded: workspace(loaded).loaded)
    if json_:
        print(json.dumps({"findings": [asdict(f) for f in findings]}))
    else:
        marks = {"ok": "[green]ok[/]     ", "warning": "[yellow]warning[/]", "error": "[red]error[/]  "}
        for f in findings:
            out.print(marks[f.level], end=" ")
            advice = f"\n        -> {f.advice}" if f.advice else ""
            out.print(f"{f.name}: {f.message}{advice}", markup=False, highlight=False)
    raise typer.Exit(2 if any(f.level == "error" for f in findings) else 0)


def plan(
    project: ProjectArgument = DEFAULT,
    months: MonthsOption = None,
    regions: RegionsOption = None,
    sweep: Annotated[
        str | None,
        typer.Option(metavar="KEY=A,B,C", help="Compare values of one setting, such as mask.keep=[4],[4,5]."),
    ] = None,
    tiles: Annotated[
        str | None,
        typer.Option("--tiles", metavar="CSV", help="Only what this table names, as `run --tiles` makes it."),
    ] = None,
    json_: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Count cells, blocks, partitions and scenes, and estimate bytes, seconds and cost. Reads no pixel.

    Example: `geo-assets plan --sweep mask.max_cloud_cover=20,60,100`

    With `--json`: `{"products": {product: figures}}`, or `{"sweep": {"key=value": {product: figures}}}`; figures are
    `cells, blocks, regions, months, partitions, scenes, bytes, seconds, usd`.
    """
    from geo_assets.doors import plan as planner
    from geo_assets.doors.instance import workspace
    from geo_assets.doors.strips import select
    from geo_assets.doors.tiles import read_tiles

    def one(loaded: LoadedProject) -> list[Any]:
        place = workspace(loaded)
        chosen, periods = select(place.cut.regions, list_of(regions)), loaded.periods().between(*months_of(months))
        asked = None
        if tiles is not None:
            cells = place.cut.cells if loaded.project.grid.kind == "tiles" else None
            asked = read_tiles(tiles, chosen, [p.key for p in periods], cells=cells)
        return planner.plan_project(place, periods, chosen, loaded.wanted(), asked=asked)

    with session(verbose=verbose):
        loaded = load_project(project)
        variants = [("", loaded)]
        if sweep:
            key, equals, values = sweep.partition("=")
            if not equals or not planner.sweep_values(values):
                raise typer.BadParameter("write --sweep key=a,b,c")
            variants = [(f"{key}={v}", p) for v, p in planner.sweep(loaded, key, planner.sweep_values(values))]
        plans = {name: one(variant) for name, variant in variants}
    if json_:
        shown = {
            name: {p.product: {k: v for k, v in asdict(p).items() if k != "product"} for p in ps}
            for name, ps in plans.items()
        }
        print(json.dumps({"sweep": shown} if sweep else {"products": shown[""]}))
        return
    columns = ("product", "cells", "blocks", "regions", "months", "partitions", "scenes", "bytes", "seconds", "usd")
    rows = [[*([name] if sweep else []), *(asdict(p)[c] for c in columns)] for name, ps in plans.items() for p in ps]
    print_table([*(["setting"] if sweep else []), *columns], rows)


def status(project: ProjectArgument = DEFAULT, json_: JsonOption = False, verbose: VerboseOption = False) -> None:
    """Say which partitions are fresh, stale, failed or missing, and why.

    Example: `geo-assets status --json`

    Exit code: 0 whatever the partitions are (the states are the answer), 2 if the project cannot be used.

    With `--json`: `products`, for each the counts `total, fresh, stale, failed, missing`; `partitions`, those that are
    not fresh, each with `product, region, month, state, reason`; `empty`, those that are fresh and hold no pixel;
    `doubted`, yearly tiles that are faulty or doubtful, each with `product, region, month, tile, faults, doubts, page`.
    """
    from geo_assets.doors.doubted import doubted_lines, doubted_of
    from geo_assets.doors.instance import workspace
    from geo_assets.doors.status import document
    from geo_assets.doors.status import status as states_of

    with session(verbose=verbose):
        loaded = load_project(project)
        work = workspace(loaded)
        states = states_of(work, loaded.periods())
        tiles = states if loaded.project.ard.layout == "tiles" else []
        shown = document(states) | {"doubted": doubted_of(work.storage, tiles)}
    if json_:
        print(json.dumps(shown))
        return
    columns = ("total", "fresh", "stale", "failed", "missing")
    print_table(
        ["product", *columns],
        [[product, *(counts[k] for k in columns)] for product, counts in shown["products"].items()],
    )
    for s in shown["partitions"][:50]:
        line = f"{s['state']:8} {s['product']} {s['region']} {s['month'] or ''}  {s['reason']}"
        out.print(line, markup=False, highlight=False)
    if len(shown["partitions"]) > 50:
        out.print(f"... and {len(shown['partitions']) - 50} more; --json lists them all")
    for s in shown["empty"][:20]:
        out.print(f"empty    {s['product']} {s['region']} {s['month']}  {s['reason']}", markup=False, highlight=False)
    if len(shown["empty"]) > 20:
        out.print(f"... and {len(shown['empty']) - 20} more that hold no pixel; --json lists them all")
    for line in doubted_lines(shown["doubted"]):
        out.print(f"doubted  {line}", markup=False, highlight=False)


def plugins(json_: JsonOption = False, verbose: VerboseOption = False) -> None:
    """List every grid, sensor, catalog, store, reader and backend, and what is missing for it.

    Example: `geo-assets plugins --json`

    With `--json`: `{"plugins": [...]}`, each with `kind, name, origin, usable, missing, install, summary`.
    """
    from geo_assets.doors.plugins import list_plugins

    with session(verbose=verbose):
        found = list_plugins()
    if json_:
        print(json.dumps({"plugins": found}))
        return
    rows = [[p["kind"], p["name"], "yes" if p["usable"] else f"no: {p['missing']}", p["summary"]] for p in found]
    print_table(["kind", "name", "usable", "what it is"], rows)


def ui(
    project: ProjectArgument = DEFAULT,
    port: Annotated[int, typer.Option(help="Port.")] = 3000,
    host: Annotated[
        str, typer.Option(help="Address to bind; the UI has no password, so think before you change it.")
    ] = "127.0.0.1",
    verbose: VerboseOption = False,
) -> None:
    """Open the Dagster UI on the project's instance and data.

    Example: `geo-assets ui demo/geo_assets.yaml --port 3001`
    """
    from geo_assets.doors.ui import serve_ui

    with session(verbose=verbose):
        loaded = load_project(project)
        err.print(f"Dagster UI on http://{host}:{port} (stop with Ctrl-C)", highlight=False)
        raise typer.Exit(serve_ui(loaded, host=host, port=port))
