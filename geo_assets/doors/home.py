"""Folder of the Dagster instance, and the instance itself, opened so that nothing in it ends in a traceback."""

import contextlib
import fcntl
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._check import CheckError
from dagster._core.instance.config import dagster_instance_config
from dagster_shared.error import DagsterError
from sqlalchemy.exc import SQLAlchemyError

from geo_assets.errors import ConfigError
from geo_assets.project import LoadedProject

_SETTINGS, _LOCK = "dagster.yaml", "geo_assets.lock"
_FAULTS = (yaml.YAMLError, DagsterError, CheckError)  # of a dagster.yaml that Dagster cannot use
_MOST = 300  # characters of what Dagster says: it lists every key there is

entered: set[str] = set()  # values of DAGSTER_HOME that come from here, not from the user

_INSTANCE_YAML = """\
# Written by geo-assets; yours to change. Runs, events and schedules lie beside this file in SQLite.
telemetry: {enabled: false}
nux: {enabled: false}
run_coordinator:
  module: dagster
  class: QueuedRunCoordinator
concurrency:
  runs: {max_concurrent_runs: 2}
run_monitoring: {enabled: true}
"""


def home_of(loaded: LoadedProject) -> Path:
    """Folder of the instance: ``DAGSTER_HOME`` if it is set, else ``.dagster`` beside the project file.

    Raises:
        ConfigError: It cannot be a folder that this process writes to.
    """
    given = os.environ.get("DAGSTER_HOME")
    if given in entered:  # set by us for another project of this process
        given = None
    home = Path(given or loaded.base / ".dagster").expanduser().absolute()
    with _as_unusable(home):
        home.mkdir(parents=True, exist_ok=True)
        if not (home / _SETTINGS).exists():
            part = home / f".{_SETTINGS}.{uuid.uuid4().hex}.part"
            part.write_text(_INSTANCE_YAML)
            os.replace(part, home / _SETTINGS)  # whole, also for a process that starts at the same time
    return home


def open_instance(home: Path) -> dg.DagsterInstance:
    """The instance of a folder; where its databases are made or upgraded, one process does it and the others wait.

    Raises:
        ConfigError: Its settings are wrong, or its databases damaged; nothing of them was changed.
    """
    check_settings(home)
    try:
        with _alone(home):
            instance = dg.DagsterInstance.from_config(str(home))
            # What is first needed in the middle of a run, or by the UI, is opened here
            instance.get_runs_count()
            instance.get_dynamic_partitions("region")
            _ = instance.run_coordinator, instance.run_launcher, instance.scheduler
            return instance
    except SQLAlchemyError as e:
        raise ConfigError(
            f"{home}: the databases of the Dagster instance cannot be used: {_line(e)}; move the folders history and schedules "
            "away to begin new ones (cube, tables and receipts do not depend on them), or set DAGSTER_HOME to another folder"
        ) from e
    except _FAULTS as e:
        raise _wrong_settings(home, e) from e


def check_settings(home: Path) -> dict[str, Any]:
    """Settings of the instance, checked; opens and changes nothing.

    Raises:
        ConfigError: Says what is wrong in which file.
    """
    file = home / _SETTINGS
    try:
        if not file.exists():
            return {}
        settings, _ = dagster_instance_config(str(home))
        return dict(settings)
    except (*_FAULTS, OSError, ValueError) as e:
        raise _wrong_settings(home, e) from e


def _wrong_settings(home: Path, error: Exception) -> ConfigError:
    return ConfigError(
        f"{home / _SETTINGS}: Dagster cannot use it: {_line(error)}; mend it, or remove it if you have changed nothing in it"
    )


def _line(error: Exception) -> str:
    """What an error says, as one line without lists and links."""
    text = " ".join(str(error).split()).split(" Expected: ")[0].split(" [SQL: ")[0].split(" (Background")[0]
    return text[:_MOST] or type(error).__name__


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One process at a time. Instances with folders are on local disks, where the lock ends with its process."""
    with _as_unusable(home):
        handle = (home / _LOCK).open("w")
    with handle:
        with _as_unusable(home):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _as_unusable(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        raise ConfigError(
            f"the Dagster instance cannot be kept in {home}: {e}; set DAGSTER_HOME to a folder of yours"
        ) from e
