"""Jobs for executors on a Dask cluster: each op leaves a file in ``MARKS`` when it starts, named by run, op and chance."""

import os
import sys
import time
import uuid
from pathlib import Path

import dagster as dg
import dagster_dask
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.execution.api import execute_run

from geo_assets.assets.dask_executor import dask_executor
from geo_assets.model.compute import ComputeRecipe

PARTITIONS = dg.StaticPartitionsDefinition(["a", "b"])
SCHEDULER = os.environ.get("SCHEDULER", "tcp://127.0.0.1:8786")
EXECUTORS = {
    "ours": dask_executor(SCHEDULER, ComputeRecipe()),
    "released": dagster_dask.dask_executor.configured({"cluster": {"existing": {"address": SCHEDULER}}}),
}


def mark(run_id: str, op: str) -> Path:
    """Leave a file; returns it."""
    file = Path(os.environ["MARKS"]) / f"{run_id} {op} {uuid.uuid4().hex}"
    file.touch()
    return file


@dg.op
def first(context: dg.OpExecutionContext) -> None:
    """Waits for the file ``go``, so that runs overlap."""
    mark(context.run_id, "first")
    until = time.monotonic() + 60
    while not (Path(os.environ["MARKS"]) / "go").exists() and time.monotonic() < until:
        time.sleep(0.1)


@dg.op(ins={"after": dg.In(dg.Nothing)})
def second(context: dg.OpExecutionContext) -> None:
    mark(context.run_id, "second")


@dg.op
def wrong(context: dg.OpExecutionContext) -> None:
    mark(context.run_id, "wrong")
    raise ValueError("plainly wrong")


@dg.op(retry_policy=dg.RetryPolicy(max_retries=1))
def shaky(context: dg.OpExecutionContext) -> None:
    mark(context.run_id, "shaky")
    if context.retry_number == 0:
        raise ValueError("the first time")


@dg.op
def long(context: dg.OpExecutionContext) -> None:
    """Shows twenty times a second that it is alive, until its file is taken away."""
    file = mark(context.run_id, "long")
    while file.exists():
        os.utime(file)
        time.sleep(0.05)


@dg.op(retry_policy=dg.RetryPolicy(max_retries=1))
def long_at_first(context: dg.OpExecutionContext) -> None:
    mark(context.run_id, "long_at_first")
    if context.retry_number == 0:
        time.sleep(60)


@dg.op(pool="one", out=dg.Out(dg.Nothing))
def alone(context: dg.OpExecutionContext) -> None:
    file = mark(context.run_id, "alone")
    began = time.time()
    time.sleep(2)
    file.write_text(f"{began} {time.time()}")


@dg.op
def broken_off(context: dg.OpExecutionContext) -> None:
    """Its process ends without a word to Dagster."""
    mark(context.run_id, "broken_off")
    print("no more memory", file=sys.stderr, flush=True)
    os._exit(9)


@dg.graph
def chain() -> None:
    second(first())


@dg.graph
def failing() -> None:
    second(wrong())


@dg.graph
def retried() -> None:
    shaky()


@dg.graph
def endless() -> None:
    long()


@dg.graph
def lost_once() -> None:
    long_at_first()


@dg.graph
def pooled() -> None:
    alone.alias("one")()
    alone.alias("two")()


@dg.graph
def dying() -> None:
    broken_off()


GRAPHS = [chain, failing, retried, endless, lost_once, pooled, dying]


@dg.multi_asset(specs=[dg.AssetSpec("wanted"), dg.AssetSpec("unwanted")], can_subset=True)
def two(context: dg.AssetExecutionContext):
    for key in sorted(context.op_execution_context.selected_asset_keys):
        mark(context.run_id, key.to_user_string())
        yield dg.MaterializeResult(key)


def _jobs(kind: str) -> list[dg.JobDefinition]:
    executor = EXECUTORS[kind]
    jobs = [g.to_job(name=g.name, executor_def=executor, partitions_def=PARTITIONS) for g in GRAPHS]
    assets = dg.Definitions(assets=[two], jobs=[dg.define_asset_job("two_job", executor_def=executor)])
    return [*jobs, assets.resolve_job_def("two_job")]


@dg.repository
def released() -> list[dg.JobDefinition]:
    return _jobs("released")


@dg.repository
def ours() -> list[dg.JobDefinition]:
    return _jobs("ours")


def run(kind: str, name: str, *, partition: str = "a", assets: list[str] | None = None) -> dg.DagsterRun:
    """Execute a job in this process as a launcher would; says its id, and returns its run as it ended."""
    keys = frozenset(map(dg.AssetKey, assets)) if assets else None
    job = ReconstructableJob(ReconstructableRepository.for_module(__name__, fn_name=kind), name)
    job = job.get_subset(asset_selection=keys)
    with dg.DagsterInstance.get() as instance:
        made = instance.create_run_for_job(
            job.get_definition(), tags={"dagster/partition": partition}, asset_selection=keys, job_code_origin=job.get_python_origin()
        )  # fmt: skip
        print(made.run_id, flush=True)
        execute_run(job, made, instance, raise_on_error=False)
        ended = instance.get_run_by_id(made.run_id)
        assert ended is not None
        return ended
