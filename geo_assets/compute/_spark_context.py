"""How Spark's driver is started and left: its Java process ends with the context, and this process is as it was before."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from geo_assets.compute._restored import restored
from geo_assets.errors import ComputeError, ConfigError, GeoAssetsError, PluginError
from geo_assets.model.compute import ComputeRecipe

_JAVA = 17
_END_S = 30.0
_OURS = {
    "spark.master": "compute.address", "spark.task.maxFailures": "compute.retries", "spark.task.cpus": "one task a CPU, always"
}  # fmt: skip
_ALWAYS = {
    "spark.app.name": "geo_assets",
    "spark.task.maxFailures": "1",  # the driver of ours tries again
    "spark.stage.maxConsecutiveAttempts": "1",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "OFF",  # each lost worker is our result
}


def library() -> Any:
    """PySpark.

    Raises:
        PluginError: It is not installed.
    """
    try:
        import pyspark
    except ImportError as e:
        raise PluginError(f"the backend spark needs the extra spark: pip install 'geo-assets[spark]' ({e})") from e
    return pyspark


def check_java() -> None:
    """See that there is a Java which Spark can use.

    Raises:
        ConfigError: There is none.
    """
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    needs = f"the backend spark needs Java {_JAVA} or newer"
    if java is None:
        raise ConfigError(f"{needs}, and there is no java: install one, or set JAVA_HOME")
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, check=True).stderr
    except (OSError, subprocess.CalledProcessError) as e:
        raise ConfigError(f"{needs}, and {java} cannot be run: {e}; set JAVA_HOME") from e
    found = re.search(r'version "(\d+)(?:\.(\d+))?', said)
    version = int(found[2] if found[1] == "1" and found[2] else found[1]) if found else 0  # Java 8 calls itself 1.8
    if version < _JAVA:
        raise ConfigError(f"{needs}, and {java} is Java {version}: install one, or set JAVA_HOME")


@contextlib.contextmanager
def context(pyspark: Any, recipe: ComputeRecipe, folder: Path) -> Iterator[Any]:
    """Spark's context on a master, or on this machine alone.

    Args:
        pyspark: The library.
        recipe: Settings.
        folder: For what Spark keeps on this machine.

    Raises:
        ComputeError: It cannot be started.
        ConfigError: A setting is wrong, or Spark is in use here.
    """
    for name in sorted(_OURS.keys() & recipe.config.keys()):
        raise ConfigError(f"leave compute.config.{name} out: {_OURS[name]}")
    if pyspark.SparkContext._active_spark_context or pyspark.SparkContext._gateway:
        raise ConfigError(
            "this process uses Spark already: stop its session, and run geo_assets in a process of its own"
        )
    settings = pyspark.SparkConf(loadDefaults=False).setAll(
        [(k, _text(v)) for k, v in _settings(recipe, folder).items()]
    )
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((folder / "java.log").open("w+b"))
        try:
            with _as_it_was():
                gateway = stack.enter_context(_java(settings, log))
                made = pyspark.SparkContext(gateway=gateway, conf=settings)
        except GeoAssetsError:
            raise
        except Exception as e:
            log.seek(0)
            said = next(
                (line for line in log.read().decode(errors="replace").splitlines() if "Exception" in line), str(e)
            )
            raise ComputeError(f"Spark cannot be started on {recipe.address or 'this machine'}: {said}") from e
        with contextlib.closing(_Stopped(made)):
            yield made


class _Stopped:
    """A context that is to be closed."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def close(self) -> None:
        """Stop it; where its Java process is gone, only what is left of it here."""
        if self._context._gateway.proc.poll() is not None:
            self._context._jsc = None
        self._context.stop()


def _settings(recipe: ComputeRecipe, folder: Path) -> dict[str, Any]:
    """Of a master that is given, or of this machine alone, which nobody else can reach."""
    options = f"-Djava.io.tmpdir={folder} {recipe.config.get('spark.driver.extraJavaOptions', '')}".rstrip()
    ours = {"spark.driver.extraJavaOptions": options}  # what a Java that is killed leaves goes with the folder
    if recipe.address:
        return {**_ALWAYS, **recipe.config, **ours, "spark.master": recipe.address}
    here = {
        "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1", "spark.ui.enabled": "false",
        "spark.local.dir": str(folder), "spark.pyspark.python": sys.executable,
        "spark.executorEnv.PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }  # fmt: skip
    return {**_ALWAYS, **here, **recipe.config, **ours, "spark.master": f"local[{recipe.workers}]"}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@contextlib.contextmanager
def _java(settings: Any, log: Any) -> Iterator[Any]:
    """Spark's Java process, which ends with the context, or when this process does."""
    from pyspark import SparkContext
    from pyspark.java_gateway import launch_gateway

    launch: Any = launch_gateway  # typed by some versions of PySpark, and not there where it is not installed
    gateway = launch(settings, {"stdout": log, "stderr": log})
    try:
        yield gateway
    finally:
        SparkContext._gateway = SparkContext._jvm = None  # else the next one would ask the process that has ended
        if gateway.proc.poll() is None:
            gateway.shutdown()
        gateway.proc.stdin.close()
        try:
            gateway.proc.wait(_END_S)
        except subprocess.TimeoutExpired:
            gateway.proc.kill()
            gateway.proc.wait()


@contextlib.contextmanager
def _as_it_was() -> Iterator[None]:
    """PySpark takes Ctrl-C for itself and changes the environment: both are put back."""
    with restored(signal.SIGINT):
        os.environ.pop("PYSPARK_GATEWAY_PORT", None)
        yield


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="spark-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
