"""The command line: ``geo-assets COMMAND [PROJECT]``. Exit codes: 0 all done, 1 something failed, 2 bad input."""

import contextlib
import json
import logging
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from geo_assets.errors import GeoAssetsError
from geo_assets.project import DEFAULT_FILE, LoadedProject, load_project

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False,
    help="Monthly clear-sky composites of satellite scenes as partitioned Dagster assets.",
)  # fmt: skip
aoi_app = typer.Typer(no_args_is_help=True, help="Register areas of interest.")
export_app = typer.Typer(no_args_is_help=True, help="Single products out of the store.")
app.add_typer(aoi_app, name="aoi")
app.add_typer(export_app, name="export")

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
DEFAULT = Path(DEFAULT_FILE)

err = Console(stderr=True, soft_wrap=True)
out = Console(soft_wrap=True)


def main() -> None:
    """Entry point: an error becomes one line and an exit code."""
    try:
        app()
    except GeoAssetsError as e:
        if "--verbose" in sys.argv:
            raise
        if "--json" in sys.argv:
            print(json.dumps({"error": {"kind": type(e).__name__, "message": str(e)}}))
        err.print(f"error: {e}", style="red", markup=False, highlight=False)
        sys.exit(1 if e.retryable else 2)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output left, as in `| head`
        sys.exit(0)


@contextlib.contextmanager
def _session(*, verbose: bool) -> Iterator[None]:
    """Logs to stderr, Dagster's own console log off unless asked for, warnings as lines."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        force=True,
    )
    warnings.showwarning = _show_warning
    warnings.filterwarnings("always", category=UserWarning, module="geo_assets")
    try:
        yield
    except KeyboardInterrupt:
        err.print("stopped; what is committed stays, run again to go on", style="yellow")
        raise typer.Exit(130) from None


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if issubclass(category, UserWarning) and "geo_assets" in filename:
        err.print(f"warning: {message}", style="yellow", markup=False, highlight=False)


@contextlib.contextmanager
def _progress() -> Iterator[Any]:
    """A callback (title, done, total): a bar on a terminal, plain lines elsewhere."""
    if not err.is_terminal:
        last: list[str] = []

        def line(title: str, done: int, total: int) -> None:
            if [title] != last:
                last[:] = [title]
                err.print(f"[{done}/{total}] {title}", markup=False, highlight=False)

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda title, done, total: bar.update(task, description=title, completed=done, total=total)


def _months(text: str | None) -> tuple[str | None, str | None]:
    if text is None:
        return None, None
    first, colon, last = text.partition(":")
    return first or None, (last or None) if colon else first


def _list(text: str | None) -> list[str] | None:
    return [part.strip() for part in text.split(",") if part.strip()] if text else None


def _print_table(headers: list[str], rows: list[list[Any]]) -> None:
    """Aligned columns, numbers to the right: as readable in a pipe as on a terminal."""
    text = [[f"{v:,}" if isinstance(v, int | float) else str(v) for v in row] for row in rows]
    widths = [max(len(line[i]) for line in [headers, *text]) for i in range(len(headers))]
    right = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(headers))]
    for line in [headers, *text]:
        print("  ".join(v.rjust(w) if r else v.ljust(w) for v, w, r in zip(line, widths, right, strict=True)).rstrip())


def _ask(question: str, *, yes: bool) -> None:
    """Ask before something is deleted or spent; without a terminal and without --yes that is bad input."""
    if yes:
        return
    if not sys.stdin.isatty():
        err.print(f"error: {question} Say --yes to go on without being asked.", style="red", markup=False)
        raise typer.Exit(2)
    typer.confirm(question, abort=True, err=True)


def _workspace(loaded: LoadedProject) -> Any:
    """The project as its deployment runs it."""
    from geo_assets.assets.context import Workspace
    from geo_assets.assets.plain import PlainStore
    from geo_assets.doors.instance import effective_storage

    return Workspace.of(loaded, storage=PlainStore(effective_storage(loaded)))


@app.command()
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
    """
    from geo_assets.doors.init import write_project

    with _session(verbose=verbose):
        box = list(bbox) if bbox else None
        file = write_project(
            project, aoi=aoi, layer=layer, bbox=box, grid=grid, months=months, storage=storage, compute=compute
        )
    if json_:
        print(json.dumps({"project": str(file)}))
    else:
        out.print(
            f"wrote {file}\nnext: geo-assets doctor {file}, then geo-assets plan {file} and geo-assets run {file}",
            highlight=False,
        )


@app.command()
def demo(
    dir_: Annotated[Path, typer.Option("--dir", help="Folder of the demo.")] = Path("demo"),
    json_: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make a small sample world and its monthly composites, offline.

    Example: `geo-assets demo --dir demo`
    """
    from geo_assets.doors.demo import how_to_open, run_demo

    with _session(verbose=verbose), _progress() as progress:
        loaded, summary, report = run_demo(dir_.absolute(), progress=progress, console=verbose)
    if json_:
        print(json.dumps(summary.document() | {"report": str(report), "project": str(loaded.file)}))
    else:
        _print_summary(summary)
        first, *python = how_to_open(loaded)
        lines = [
            f"report   {report}",
            f"project  {loaded.file}",
            "open it",
            f"  {first}",
            *(f"  >>> {line}" for line in python),
        ]
        print("\n".join(lines))
    raise typer.Exit(0 if summary.complete else 1)


@app.command()
def doctor(project: ProjectArgument = DEFAULT, json_: JsonOption = False, verbose: VerboseOption = False) -> None:
    """Check project file, catalog, storage, compute, plugins and partition count, and say what to do.

    Example: `geo-assets doctor geo_assets.yaml`
    """
    from geo_assets.doors.doctor.diagnose import diagnose

    with _session(verbose=verbose):
        target: Path | LoadedProject = project
        with contextlib.suppress(GeoAssetsError):  # a faulty project is the first finding
            target = _workspace(load_project(project)).loaded
        findings = diagnose(target)
    if json_:
        print(json.dumps({"findings": [asdict(f) for f in findings]}))
    else:
        marks = {"ok": "[green]ok[/]     ", "warning": "[yellow]warning[/]", "error": "[red]error[/]  "}
        for f in findings:
            out.print(marks[f.level], end=" ")
            out.print(
                f"{f.name}: {f.message}" + (f"\n        -> {f.advice}" if f.advice else ""),
                markup=False,
                highlight=False,
            )
    raise typer.Exit(2 if any(f.level == "error" for f in findings) else 0)


@app.command()
def plan(
    project: ProjectArgument = DEFAULT,
    months: MonthsOption = None,
    regions: RegionsOption = None,
    sweep: Annotated[str | None, typer.Option(metavar="KEY=A,B,C", help="Compare values of one setting.")] = None,
    json_: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Count cells, blocks, partitions and scenes, and estimate bytes, seconds and cost. Reads no pixel.

    Example: `geo-assets plan --sweep mask.max_cloud_cover=20,60,100`
    """
    from geo_assets.doors import plan as planner
    from geo_assets.doors.strips import select

    def one(loaded: LoadedProject) -> list[Any]:
        workspace = _workspace(loaded)
        chosen = select(workspace.cut.regions, _list(regions))
        return planner.plan_project(workspace, loaded.periods().between(*_months(months)), chosen, loaded.wanted())

    with _session(verbose=verbose):
        loaded = load_project(project)
        variants = [("", loaded)]
        if sweep:
            key, equals, values = sweep.partition("=")
            if not equals or not _list(values):
                raise typer.BadParameter("write --sweep key=a,b,c")
            variants = [(f"{key}={v}", p) for v, p in planner.sweep(loaded, key, _list(values) or [])]
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
    _print_table([*(["setting"] if sweep else []), *columns], rows)


@app.command()
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
    report_dir: Annotated[Path | None, typer.Option(help="Write report.html and summary.json there.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json_: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make what is missing or stale, as Dagster runs: one a region.

    Example: `geo-assets run --months 2023-06:2023-08 --json`
    """
    from geo_assets.doors.run import RunOptions, run_project

    with _session(verbose=verbose):
        loaded = load_project(project)
        if initialize:
            _ask(f"--initialize deletes the cube in {loaded.project.storage}.", yes=yes)
        first, last = _months(months)
        options = RunOptions(first, last, _list(regions), _list(products), limit, overwrite, initialize, retry_failed)
        with _progress() as progress:
            summary = run_project(loaded, options, progress=progress, console=verbose)
        if report_dir:
            _write_reports(loaded, summary, report_dir)
    if json_:
        print(json.dumps(summary.document()))
    else:
        _print_summary(summary)
    raise typer.Exit(0 if summary.complete else 1)


def _write_reports(loaded: LoadedProject, summary: Any, folder: Path) -> None:
    from geo_assets.doors.demo import write_project_report

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(summary.document(), indent=1))
    write_project_report(loaded, folder / "report.html", title=loaded.project.name)


def _print_summary(summary: Any) -> None:
    p, t = summary.partitions, summary.tasks
    skipped = " (same scenes, recipe and code)" if p["skipped"] else ""
    lines = [
        f"partitions  {p['ok']} made, {p['skipped']} skipped{skipped}, {p['partial']} partial, {p['failed']} failed of {p['total']}",
        f"tasks       {t['ok']} made, {t['skipped']} skipped, {t['failed']} failed",
        f"read        {summary.bytes_read:,} bytes in {summary.requests:,} requests; {summary.wall_s:.1f} s, {summary.cpu_s:.1f} CPU s",
        *(f"made        {product}: {uri}" for product, uri in summary.outputs.items()),
    ]
    print("\n".join(lines))
    for f in summary.failures[:20]:
        where = " ".join(str(f[k]) for k in ("product", "region", "month") if f[k]) + (
            f" block {f['block']}" if f["block"] else ""
        )
        err.print(f"failed: {where}: {f['cause']}", style="red", markup=False, highlight=False)
    if len(summary.failures) > 20:
        err.print(f"... and {len(summary.failures) - 20} more; --json lists them all", style="red")


@app.command()
def status(project: ProjectArgument = DEFAULT, json_: JsonOption = False, verbose: VerboseOption = False) -> None:
    """Say which partitions are fresh, stale, failed or missing, and why.

    Example: `geo-assets status --json`
    """
    from geo_assets.doors.status import document
    from geo_assets.doors.status import status as states_of

    with _session(verbose=verbose):
        loaded = load_project(project)
        shown = document(states_of(_workspace(loaded), loaded.periods()))
    if json_:
        print(json.dumps(shown))
        return
    columns = ("total", "fresh", "stale", "failed", "missing")
    _print_table(
        ["product", *columns],
        [[product, *(counts[k] for k in columns)] for product, counts in shown["products"].items()],
    )
    for s in shown["partitions"][:50]:
        out.print(
            f"{s['state']:8} {s['product']} {s['region']} {s['month'] or ''}  {s['reason']}",
            markup=False,
            highlight=False,
        )
    if len(shown["partitions"]) > 50:
        out.print(f"... and {len(shown['partitions']) - 50} more; --json lists them all")


@app.command()
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

    with _session(verbose=verbose):
        loaded = load_project(project)
        err.print(f"Dagster UI on http://{host}:{port} (stop with Ctrl-C)", highlight=False)
        raise typer.Exit(serve_ui(loaded, host=host, port=port))


@app.command()
def plugins(json_: JsonOption = False, verbose: VerboseOption = False) -> None:
    """List every grid, sensor, catalog, store, reader and backend, and what is missing for it.

    Example: `geo-assets plugins --json`
    """
    from geo_assets.doors.plugins import list_plugins

    with _session(verbose=verbose):
        found = list_plugins()
    if json_:
        print(json.dumps({"plugins": found}))
        return
    rows = [[p["kind"], p["name"], "yes" if p["usable"] else f"no: {p['missing']}", p["summary"]] for p in found]
    _print_table(["kind", "name", "usable", "what it is"], rows)


@aoi_app.command("add")
def aoi_add(
    arguments: Annotated[list[str], typer.Argument(metavar="[PROJECT] NAME FILE")],
    layer: Annotated[str | None, typer.Option(help="Layer of the file.")] = None,
    json_: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Register an area; regions that it does not touch stay as they are.

    Example: `geo-assets aoi add geo_assets.yaml valley valley.gpkg`
    """
    from geo_assets.doors.areas import add_area

    with _session(verbose=verbose):
        file, (name, vector) = _with_project(arguments, 2, "NAME FILE")
        shown = add_area(load_project(file), name, vector, layer)
    if json_:
        print(json.dumps(shown))
        return
    for note in shown["notes"]:
        err.print(f"note: {note}", markup=False)
    out.print(
        f"area {name}: {shown['cells']} cells in {len(shown['regions'])} regions, {len(shown['new_regions'])} of them new",
        highlight=False,
    )


@aoi_app.command("list")
def aoi_list(project: ProjectArgument = DEFAULT, json_: JsonOption = False, verbose: VerboseOption = False) -> None:
    """List the areas.

    Example: `geo-assets aoi list --json`
    """
    from geo_assets.doors.areas import list_areas

    with _session(verbose=verbose):
        rows = list_areas(load_project(project))
    if json_:
        print(json.dumps({"aois": rows}))
        return
    for row in rows:
        out.print(f"{row['name']}  {row['area_km2']:,.0f} km2  from {row['source']}", markup=False, highlight=False)


@aoi_app.command("remove")
def aoi_remove(
    arguments: Annotated[list[str], typer.Argument(metavar="[PROJECT] NAME")],
    json_: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Take a registered area away; what was made for it stays.

    Example: `geo-assets aoi remove valley`
    """
    from geo_assets.tasks.areas import unregister

    with _session(verbose=verbose):
        file, (name,) = _with_project(arguments, 1, "NAME")
        unregister(load_project(file), name)
    print(json.dumps({"removed": name}) if json_ else f"area {name} is removed; what was made for it stays")


def _with_project(arguments: list[str], wanted: int, what: str) -> tuple[Path, list[str]]:
    if len(arguments) not in (wanted, wanted + 1):
        raise typer.BadParameter(f"give [PROJECT] {what}")
    return (DEFAULT, arguments) if len(arguments) == wanted else (Path(arguments[0]), arguments[1:])


@export_app.command("cog")
def export_cog(
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
    """
    from geo_assets.doors.export import export_cog as export

    with _session(verbose=verbose):
        workspace = _workspace(load_project(project))
        first, last = _months(months)
        chosen = [p.key for p in workspace.loaded.periods().between(first, last)] if months else None
        files = export(
            workspace.loaded, to, months=chosen, regions=_list(regions), bands=_list(bands), overwrite=overwrite
        )
    print(json.dumps({"files": [str(f) for f in files]}) if json_ else "\n".join(map(str, files)))
