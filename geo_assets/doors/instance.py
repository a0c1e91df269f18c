"""The Dagster instance and the code location, as the doors use them: by name, in this process."""

import contextlib
import importlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.execution.api import execute_run
from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from geo_assets.assets.context import Workspace
from geo_assets.assets.plain import PlainStore
from geo_assets.assets.strip import causes_of
from geo_assets.doors.home import entered, home_of, open_instance
from geo_assets.project import ENVIRONMENT, LoadedProject

MODULE = "geo_assets.definitions"
LOCATION = "geo_assets"
_JOB = "__ASSET_JOB"
_HOST_TAG, _PID_TAG = "geo_assets/host", "geo_assets/pid"

_NO_CONSOLE = {
    "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}
}  # the events are in the instance all the same

_WORKSPACE_HEADER = "# Written by geo-assets.\n"


def enter(loaded: LoadedProject) -> Path:
    """Point this process, and those that it starts, at the project and its instance. Returns the instance's folder."""
    home = home_of(loaded)
    if os.environ.get("DAGSTER_HOME") != str(home):
        os.environ["DAGSTER_HOME"] = str(home)
        entered.add(str(home))
    os.environ[ENVIRONMENT] = str(loaded.file)
    folder = str(working_directory(loaded))
    if folder not in sys.path:
        # Last, so that nothing in it hides a module of ours
        sys.path.append(folder)
    return home


def working_directory(loaded: LoadedProject) -> Path:
    """Folder that goes first on the code location's path: the current one if it has ``resources``, else the project's."""
    here = Path.cwd()
    return here if (here / "resources" / "__init__.py").exists() else loaded.base


def write_workspace(loaded: LoadedProject, home: Path) -> Path:
    """The workspace file for Dagster's own commands."""
    file = home / "workspace.yaml"
    module = {"module_name": MODULE, "working_directory": str(working_directory(loaded)), "location_name": LOCATION}
    text = yaml.safe_dump({"load_from": [{"python_module": module}]}, sort_keys=False, allow_unicode=True)
    file.write_text(_WORKSPACE_HEADER + text, encoding="utf-8")
    return file


@dataclass(frozen=True)
class Outcome:
    """How one run ended.

    Attributes:
        run_id: The run.
        success: Whether all of it succeeded.
        interrupted: Whether somebody stopped it.
        causes: Why partitions failed: (asset, partition key) to text; the key is "" for a step as a whole.
    """

    run_id: str
    success: bool
    interrupted: bool
    causes: dict[tuple[str, str], str]


def definitions(loaded: LoadedProject) -> Any:
    """The code location's module, loaded for this project."""
    enter(loaded)
    known = MODULE in sys.modules
    module = importlib.import_module(MODULE)
    if known and module.project != loaded:  # another project, or this one before it was changed
        module = importlib.reload(module)
        ReconstructableJob.get_definition.cache_clear()
        ReconstructableJob.get_repository_definition.cache_clear()
    return module


def effective_storage(loaded: LoadedProject) -> str:
    """Storage root of the project in this deployment."""
    return str(definitions(loaded).storage_root)


def workspace(loaded: LoadedProject) -> Workspace:
    """The project as its deployment runs it."""
    return Workspace.of(loaded, storage=PlainStore(effective_storage(loaded)))


def deployed(loaded: LoadedProject) -> LoadedProject:
    """The project with its deployment's storage in place of its own."""
    return workspace(loaded).loaded


@contextlib.contextmanager
def _own_sigterm() -> Iterator[None]:
    """What SIGTERM does is put back: Dagster gives it what SIGINT does, and a shell has that ignored in the background."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


class Runner:
    """Executes strips in this process, as ordinary runs of the instance that the UI shows and can start again."""

    @_own_sigterm()
    def __init__(self, loaded: LoadedProject, *, console: bool = False) -> None:
        home = enter(loaded)
        self._console = console
        self.instance = open_instance(home)
        module = definitions(loaded)
        self.loaded: LoadedProject = module.project
        self.storage_root: str = str(module.storage_root)
        self._defs: dg.Definitions = module.defs
        folder = str(working_directory(loaded))
        target = LoadableTargetOrigin(
            executable_path=sys.executable, module_name=MODULE, working_directory=folder, attribute=None
        )
        location = ManagedGrpcPythonEnvCodeLocationOrigin(target, LOCATION)
        self._origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), _JOB)
        self._job = ReconstructableJob(
            ReconstructableRepository.for_module(MODULE, fn_name="defs", working_directory=folder), _JOB
        )
        self._full = self._defs.resolve_implicit_global_asset_job_def()

    @_own_sigterm()
    def run(
        self, assets: Sequence[str], first: str, last: str, *, config: dict[str, Any] | None = None, tags: Mapping[str, str] | None = None
    ) -> Outcome:  # fmt: skip
        """Materialize assets for the keys ``first`` to ``last`` in one run, with further tags."""
        keys = frozenset(dg.AssetKey(a.split("/")) for a in assets)
        tags = {**(tags or {}), _HOST_TAG: socket.gethostname(), _PID_TAG: str(os.getpid())}
        tags |= (
            _partition_tags(first)
            if first == last
            else {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        )
        config = {**(config or {}), **({} if self._console else _NO_CONSOLE)}
        run = self.instance.create_run_for_job(
            self._full.get_subset(asset_selection=set(keys)), run_config=config, tags=tags, asset_selection=keys,
            remote_job_origin=self._origin, job_code_origin=self._job.get_python_origin(),
        )  # fmt: skip
        result = execute_run(self._job.get_subset(asset_selection=keys), run, self.instance, raise_on_error=False)
        if result.success:
            return Outcome(run.run_id, True, False, {})
        return Outcome(run.run_id, False, self._interrupted(run.run_id), self._causes(run.run_id, keys))

    def _interrupted(self, run_id: str) -> bool:
        # Of the run as well: steps that run elsewhere may not have begun when it is stopped
        kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
        for entry in self.instance.all_logs(run_id, of_type=kinds):
            event = entry.get_dagster_event()
            error = event.step_failure_data.error if event.is_step_failure else event.job_failure_data.error
            while error is not None:
                if error.cls_name in ("DagsterExecutionInterruptedError", "KeyboardInterrupt"):
                    return True
                error = error.cause
        return False

    def _causes(self, run_id: str, assets: Iterable[dg.AssetKey]) -> dict[tuple[str, str], str]:
        names = {a.to_python_identifier(): a.to_user_string() for a in assets}
        causes: dict[tuple[str, str], str] = {}
        for entry in self.instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
            event = entry.get_dagster_event()
            data = event.step_failure_data
            asset = names.get(event.step_key or "", event.step_key or "")
            if data.user_failure_data and data.user_failure_data.metadata:
                causes |= {(asset, key): cause for key, cause in causes_of(data.user_failure_data.metadata).items()}
            elif data.error:
                inner = data.error.cause or data.error
                causes[asset, ""] = inner.message.strip().splitlines()[-1]
        return causes

    def failed(self, asset: str) -> set[str]:
        """Keys of an asset whose latest run failed, as the UI shows them."""
        key = dg.AssetKey(asset.split("/"))
        partitions = self._defs.resolve_assets_def(key).partitions_def
        status = get_and_update_asset_status_cache_value(self.instance, key, partitions)
        if status is None or partitions is None:
            return set()
        with partition_loading_context(dynamic_partitions_store=self.instance):
            return {str(k) for k in status.deserialize_failed_partition_subsets(partitions).get_partition_keys()}

    def fail_orphans(self) -> list[str]:
        """Mark runs as failed whose process on this machine is gone; returns their ids."""
        going = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]
        started = dg.RunsFilter(statuses=going, tags={_HOST_TAG: socket.gethostname()})
        gone = [r for r in self.instance.get_runs(started) if not _alive(r.tags.get(_PID_TAG, ""))]
        for run in gone:
            self.instance.report_run_failed(run, f"the process that ran it ({run.tags.get(_PID_TAG)}) is gone")
        return [r.run_id for r in gone]


def _partition_tags(key: str) -> dict[str, str]:
    """Tags of a run of one partition, as Dagster's own runs have them."""
    if "|" not in key:
        return {"dagster/partition": key}
    month, region = key.split("|")
    return {"dagster/partition": key, "dagster/partition/month": month, "dagster/partition/region": region}


def _alive(pid: str) -> bool:
    if not pid.isdigit() or int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
