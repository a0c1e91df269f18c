"""Coiled: machines in the cloud for one run, through ``coiled.function``; a cluster of them in each region that tasks name.

A cluster starts with the first task of its region, grows to ``compute.workers`` machines, and is shut down when the run ends,
however it ends; Coiled itself ends one whose client is gone or that has nothing to do. How a try is sent, told and taken back
is in ``_dask_client``. Workers have the packages of this environment, which Coiled copies, unless ``compute.config`` names an
image or a software environment.
"""

import contextlib
import logging
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from geo_assets.compute import _dask_client
from geo_assets.compute._dask_client import PAYLOAD_MB, SETTINGS, Cluster, DaskAdapter
from geo_assets.compute._driver import Engine
from geo_assets.errors import ComputeError, ConfigError, PluginError
from geo_assets.model.compute import Capabilities, ComputeRecipe
from geo_assets.model.cost import Estimate, Load, Price, estimate, hourly
from geo_assets.model.text import told

# A worker is a machine of 4 CPUs: m6i.xlarge on demand in us-west-2 $0.192, and Coiled's fee of $0.05 for each CPU, an hour.
# Spot machines, which Coiled takes where it gets them, cost less
USD_PER_HOUR = 0.192 + 4 * 0.05
_CPUS = 4
_START_S = 900.0
_DEFAULTS = {"idle_timeout": "20 minutes", "keepalive": "30 seconds"}
_OURS = {
    "region": "compute.region", "n_workers": "compute.workers", "threads_per_worker": "one task a worker, always",
    "local": "compute.backend: dask", "shutdown_on_close": "clusters end with the run",
}  # fmt: skip
_SETTINGS = {
    **SETTINGS,
    # Else each task is a request to Coiled, for its dashboard
    "coiled.analytics.client-spans.transmit": False,
}


class _Clusters:
    """Those of a run, by cloud region."""

    def __init__(self, coiled: Any, recipe: ComputeRecipe) -> None:
        self._coiled, self._recipe = coiled, recipe
        self._name = recipe.config.get("name") or f"geo-assets-{uuid.uuid4().hex[:8]}"
        self._made: dict[str, Cluster] = {}
        self._functions: list[Any] = []
        self._failed: dict[str, ComputeError] = {}

    def __call__(self, region: str) -> Cluster:
        """The cluster of a region; made with the first task there, and tried once.

        Raises:
            ComputeError: It cannot be started.
        """
        if region in self._failed:
            raise self._failed[region]
        if region not in self._made:
            try:
                self._made[region] = self._start(region)
            except Exception as e:
                where = f"in {region}" if region else "in the region of its workspace"
                self._failed[region] = ComputeError(
                    f"Coiled cannot start a cluster {where}: {told(e)}; see that coiled login was done and what "
                    "compute.config asks for"
                )
                raise self._failed[region] from e
        return self._made[region]

    def _start(self, region: str) -> Cluster:
        function = self._coiled.function(
            **_arguments(self._recipe, f"{self._name}{'-' if region else ''}{region}", region)
        )(_dask_client.run)
        self._functions.append(function)  # before it starts, so that one that starts half is ended as well
        client = self._client(function)
        client.wait_for_workers(1, timeout=_START_S)
        return Cluster(client, own=True, submit=function.submit)

    def _client(self, function: Any) -> Any:
        try:
            return function.client
        except (Exception, KeyboardInterrupt):
            raise  # Coiled has deleted what there was of its cluster
        except BaseException:  # the end of the run, such as by SIGTERM, of which Coiled takes no notice
            if function.cluster_status is None:
                self._coiled.delete_cluster(function._name, workspace=self._recipe.config.get("workspace"))
            raise

    def close(self) -> None:
        """Shut all of them down, also if one cannot be."""
        with contextlib.ExitStack() as stack:
            for function in self._functions:
                stack.callback(_shut_down, function)


def _shut_down(function: Any) -> None:
    from coiled.function import _clients, _clusters  # where it keeps them for its next call

    with contextlib.ExitStack() as stack:
        if cluster := _clusters.pop(function._name, None):
            stack.callback(cluster.shutdown)
        if client := _clients.pop(function._name, None):
            stack.callback(client.close)


def _arguments(recipe: ComputeRecipe, name: str, region: str) -> dict[str, Any]:
    """Of ``coiled.function``, as the settings say."""
    config = dict(recipe.config)
    if not config.keys() & {"vm_type", "cpu", "memory", "gpu"}:
        config |= {"memory": f"{recipe.memory_mb} MiB"} if recipe.memory_mb else {"cpu": _CPUS}
    return {
        **_DEFAULTS, **config, "name": name, "region": region or None, "n_workers": [1, recipe.workers], "threads_per_worker": 1
    }  # fmt: skip


class Coiled:
    """See ``model.compute.Compute``."""

    def capabilities(self, recipe: ComputeRecipe) -> Capabilities:
        """Those of machines of our own.

        Raises:
            PluginError: The library is not installed.
        """
        _coiled()
        return Capabilities(isolated=True, kills=True, remote=True, paid=True, payload_mb=PAYLOAD_MB)

    def price(self, recipe: ComputeRecipe, region: str) -> Price:
        """A worker's hour: that of a machine of 4 CPUs, unless the settings say another."""
        return hourly(USD_PER_HOUR if recipe.usd_per_hour is None else recipe.usd_per_hour)

    def estimate(self, recipe: ComputeRecipe, loads: Sequence[Load]) -> Estimate:
        """Time and money of some loads on so many workers as the settings say."""
        return estimate(
            loads, workers=recipe.workers, price=lambda source: self.price(recipe, recipe.region_of(source))
        )

    @contextlib.contextmanager
    def connect(self, recipe: ComputeRecipe) -> Iterator[Engine]:
        """Clusters start with the first tasks, and all are shut down with the context."""
        coiled = _coiled()
        for name in sorted(_OURS.keys() & recipe.config.keys()):
            raise ConfigError(f"leave compute.config.{name} out: {_OURS[name]}")
        import dask

        if not dask.config.get("coiled.token", None):
            raise ConfigError("nobody is logged in to Coiled: run coiled login, or set DASK_COILED__TOKEN")
        logging.getLogger("distributed").setLevel(logging.ERROR)  # each lost worker is our result
        clusters = _Clusters(coiled, recipe)
        adapter = DaskAdapter(self.capabilities(recipe), cluster_in=clusters, slots=lambda: recipe.workers)
        with dask.config.set(_SETTINGS), contextlib.closing(clusters):
            yield Engine(adapter, recipe, price=lambda region: self.price(recipe, region))


def _coiled() -> Any:
    """The library.

    Raises:
        PluginError: It is not installed.
    """
    try:
        import coiled
    except ImportError as e:
        raise PluginError(f"the backend coiled needs the extra coiled: pip install 'geo-assets[coiled]' ({e})") from e
    return coiled


PLUGIN = Coiled()
