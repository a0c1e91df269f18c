"""What a run on a paid backend is expected to cost: worked out, compared with the limit and asked about before it starts."""

from collections.abc import Callable, Collection, Sequence

from geo_assets.assets.context import Workspace
from geo_assets.doors.plan import expected
from geo_assets.errors import ConfigError
from geo_assets.model.compute import Compute
from geo_assets.model.cost import Estimate
from geo_assets.model.period import Periods
from geo_assets.model.project import Product
from geo_assets.registry import load
from geo_assets.report.markup import plural

Ask = Callable[[str], None]
_OF_TASKS = {"composite", "pyramid", "ard", "chips", "prediction"}  # products that workers make


def refuse(question: str) -> None:
    """The answer where nobody can be asked.

    Raises:
        ConfigError: Always.
    """
    raise ConfigError(f"{question} Nobody agreed to it: nothing was started")


def agreed(
    workspace: Workspace, keys: Sequence[tuple[str, str]], periods: Periods, products: Sequence[Product], *, overwrite: bool, ask: Ask,
    maps: Collection[tuple[str, str]] | None = None, only: frozenset[str] | None = None,
) -> Estimate:  # fmt: skip
    """What is to be spent on some partitions, once that is agreed to; nothing is searched or asked where nobody is billed.

    Args:
        workspace: The project.
        keys: Regions and months.
        periods: Of the project.
        products: What is to be made.
        overwrite: Whether what is fresh is made again.
        ask: Called with the question; raises if the answer is no.
        maps: Those of them for which a model is run; None is all.
        only: Cells that are made of what is made cell by cell; None is all.

    Raises:
        CatalogError: The search that tells what there is to do failed.
        ConfigError: It is more than ``compute.max_usd``, or nobody knows the price.
    """
    if not _OF_TASKS & set(products):
        return Estimate()
    recipe = workspace.project.compute
    backend: Compute = load("compute", recipe.backend)
    if not backend.capabilities(recipe).paid:
        return Estimate()
    by_region: dict[str, list[str]] = {}
    for region, month in keys:
        by_region.setdefault(region, []).append(month)
    by_key = {p.key: p for p in periods}
    wanted = {r: [by_key[m] for m in months] for r, months in by_region.items()}
    estimate = expected(workspace, wanted, products, maps=maps, only=only, overwrite=overwrite)
    told = f"{plural(estimate.tasks, 'task')} on {recipe.backend} should take {estimate.billed_s:,.0f} billed seconds and cost ${estimate.usd:.4f}"
    if recipe.max_usd is not None and estimate.usd > recipe.max_usd:
        raise ConfigError(
            f"{told}, which is more than compute.max_usd {recipe.max_usd:g}: raise it, or run less at a time (--limit, --months, --regions); nothing was started"
        )
    if estimate.tasks:
        ask(f"{told}.")
    return estimate
