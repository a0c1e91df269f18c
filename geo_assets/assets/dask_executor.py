"""Whole steps of a run on the workers of a Dask cluster that runs already.

``dagster_dask.dask_executor`` does the same as its name says, but loses work on a scheduler that serves more than one run;
docs/how-to/dask-executor.md says what differs. Steps, retries, skips and pools are Dagster's own business here, as they are for
its executors on Docker and Kubernetes: Dask only gives each step a place.
"""

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
from dagster._core.events import DagsterEvent
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.execution.step_dependency_config import StepDependencyConfig
from dagster._core.executor.step_delegating import (
    CheckStepHealthResult,
    StepDelegatingExecutor,
    StepHandler,
    StepHandlerContext,
)
from dagster_shared.serdes import serialize_value

from geo_assets.assets import dask_step
from geo_assets.errors import ComputeError, ConfigError, PluginError
from geo_assets.model.compute import ComputeRecipe
from geo_assets.project import DEFAULT_FILE, ENVIRONMENT

_PREFIX = "GEO_ASSETS_"
_START_S = 60.0
_LOOK_S, _HEALTH_S = 0.5, 3
_PORT = 8786  # Dask's own default
_HERE = {"localhost": "127.0.0.1", "::1": "127.0.0.1"}


def dask_executor(address: str, compute: ComputeRecipe) -> dg.ExecutorDefinition:
    """An executor for ``build_definitions`` that runs steps on a Dask cluster.

    Workers need the platform's environment, the same files at the same places, and the instance's database. TLS is that of
    Dask's own configuration.

    Args:
        address: Of the scheduler.
        compute: Where the tasks of the steps run.

    Raises:
        ConfigError: The tasks would run on the same cluster: each step waits for its tasks on a place that they need.
    """
    if compute.backend == "dask" and compute.address and _host(compute.address) == _host(address):
        raise ConfigError(
            f"steps and their tasks cannot share the Dask cluster {address}: steps that wait for their tasks would take all its "
            "places, and neither would end; use compute.backend local on its workers, or another cluster for the tasks"
        )
    _host(address)

    @dg.executor(name="dask", requirements=dg.multiple_process_executor_requirements(), config_schema={})
    def dask(_: Any) -> "_DaskExecutor":
        return _DaskExecutor(_Steps(address))

    return dask


def _host(address: str) -> tuple[str, int]:
    """Host and port of a scheduler.

    Raises:
        ConfigError: It is no address.
    """
    parts = urlsplit(address if "://" in address else f"tcp://{address}")
    try:
        port = parts.port or _PORT
    except ValueError:
        port = 0
    if not parts.hostname or not port:
        raise ConfigError(f"{address!r} is no address of a Dask scheduler: write tcp://host:8786 or tls://host:8786")
    return _HERE.get(parts.hostname, parts.hostname), port


class _Steps(StepHandler):
    """Sends steps to the scheduler and takes them back."""

    name = "dask"

    def __init__(self, address: str) -> None:
        self._address = address
        self._client: Any = None
        self._resources: Any = None
        self._futures: dict[str, Any] = {}
        self._ended: set[str] = set()
        self._stopped = False

    @contextlib.contextmanager
    def connected(self, run_id: str) -> Iterator[None]:
        """Connect; at the end nothing of the run is left on the cluster."""
        try:
            import distributed
            from dagster_dask.executor import get_dask_resource_requirements
        except ImportError as e:
            raise PluginError(f"the executor needs the extra dask: pip install 'geo-assets[dask]' ({e})") from e
        self._resources = get_dask_resource_requirements
        try:
            self._client = distributed.Client(self._address, timeout=_START_S, set_as_default=False)
        except (OSError, TimeoutError) as e:
            raise ComputeError(
                f"the Dask scheduler {self._address} cannot be reached: {e}; see that it runs, and that its workers do"
            ) from e
        try:
            yield
        finally:
            self._take_back([f for f in self._futures.values() if not f.done()])
            if self._stopped:
                self._wait_for_ends(_prefix(run_id))
            self._client.close()

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        """Send one step."""
        arguments = step_handler_context.execute_step_args
        assert arguments.step_keys_to_execute is not None
        (step,) = arguments.step_keys_to_execute
        if not self._is_connected():
            raise ComputeError(
                f"the connection to the Dask scheduler {self._address} is lost: run again once it is back"
            )
        # A scheduler answers a key that it knows with the result that it has: no two tries may share one
        key = f"{_prefix(arguments.run_id)}{step}-{uuid.uuid4().hex}"
        self._ended.discard(step)
        self._futures[step] = self._client.submit(
            dask_step.run_step, serialize_value(arguments), _settings(), key=key, pure=False, retries=0,
            resources=self._resources(step_handler_context.step_tags[step]),
        )  # fmt: skip
        return iter(())

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        """Whether the step's task is still there, or only just ended so that its last events may not be read yet."""
        keys = step_handler_context.execute_step_args.step_keys_to_execute
        assert keys is not None
        future = self._futures.get(keys[0])
        if future is None:
            return CheckStepHealthResult.unhealthy("it was sent by a process that is gone")
        if not self._is_connected():
            return CheckStepHealthResult.unhealthy(f"the connection to the Dask scheduler {self._address} is lost")
        if future.status == "pending":
            return CheckStepHealthResult.healthy()
        if keys[0] not in self._ended:
            self._ended.add(keys[0])
            return CheckStepHealthResult.healthy()
        return CheckStepHealthResult.unhealthy(self._fate(future))

    def _fate(self, future: Any) -> str:
        if future.status == "error":
            return f"its task failed on the worker: {future.exception(timeout=_START_S)}"
        if future.status == "finished":
            return "its worker was lost while it ran, or a second one was given it"
        return f"its task was {future.status}: its worker or the scheduler was lost"

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        """Take one step back; its worker asks it to end."""
        keys = step_handler_context.execute_step_args.step_keys_to_execute
        self._take_back([f for k in keys or () if (f := self._futures.get(k))])
        return iter(())

    def _take_back(self, futures: list[Any]) -> None:
        if futures and self._is_connected():
            self._stopped = True
            self._client.cancel(futures, force=True)

    def _wait_for_ends(self, prefix: str) -> None:
        until = time.monotonic() + dask_step.GRACE_S
        while self._is_connected() and time.monotonic() < until:
            left = self._client.run(dask_step.running, prefix, on_error="ignore")
            if not sum(left.values()):
                return
            time.sleep(_LOOK_S)

    def _is_connected(self) -> bool:
        return self._client is not None and self._client.status == "running"


class _DaskExecutor(StepDelegatingExecutor):
    """Dagster's executor of steps elsewhere, connected to a cluster while a run goes on."""

    def __init__(self, steps: _Steps) -> None:
        super().__init__(
            steps, RetryMode.ENABLED, sleep_seconds=_LOOK_S, check_step_health_interval_seconds=_HEALTH_S, should_verify_step=True,
            # As in process: months whose scenes are known are composited even if the search of another one failed
            step_dependency_config=StepDependencyConfig(require_upstream_step_success=False),
        )  # fmt: skip
        self._steps = steps

    def execute(self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan) -> Iterator[DagsterEvent]:
        """Run the steps of a plan."""
        with self._steps.connected(plan_context.run_id):
            yield from super().execute(plan_context, execution_plan)


def _prefix(run_id: str) -> str:
    return f"geo-assets-step-{run_id}-"


def _settings() -> dict[str, str]:
    """This process's variables that say what the code location is; the project file by its whole path."""
    found = {k: v for k, v in os.environ.items() if k.startswith(_PREFIX)}
    return found | {ENVIRONMENT: str(Path(found.get(ENVIRONMENT) or DEFAULT_FILE).absolute())}
