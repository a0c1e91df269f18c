"""AWS Lambda through Lithops: a function in each region, called without waiting for its answer.

A call that ends leaves its status in the region's bucket. One whose sandbox is lost leaves none: AWS then writes a record of it to
the same bucket, since that is the function's destination for failures. Without either, a call is lost once nothing can come any more.
"""

import json
import logging
import queue
import time
from collections import deque
from collections.abc import Hashable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from geo_assets.compute._call import Call
from geo_assets.compute._lithops_config import DEFAULT_MEMORY_MB, lambda_config, regions_of
from geo_assets.compute._lithops_executor import Ended, Executor, Job
from geo_assets.compute._lithops_local import PAYLOAD_MB, blob_of
from geo_assets.errors import ComputeError
from geo_assets.model.compute import Capabilities, ComputeRecipe
from geo_assets.model.task import Kind, TaskResult

_LOOK_S = 1.0
_RECORDS_S = 5.0  # between two looks for records of failures
_AGE_S = 900  # that AWS keeps a call that it has no place for
_SPARE_S = 60.0
_END_S = 30.0  # that those that run are waited for at the end; they cannot be ended
_BATCH_BYTES = 128 * 2**20
_OVERHEAD_S = 1.0  # of a handler: Lithops makes its clients anew for every task, and forks
_SKEW = timedelta(minutes=10)
_FOR_GOOD = (
    "AccessDenied",
    "AccessDeniedException",
    "ResourceNotFoundException",
    "UnrecognizedClientException",
    "ExpiredTokenException",
)
_logger = logging.getLogger(__name__)


def _client(service: str, region: str) -> Any:
    """A client whose calls end within seconds, where boto3's own wait for minutes."""
    import boto3
    from botocore.config import Config

    limits = Config(
        connect_timeout=5, read_timeout=120, retries={"mode": "standard", "total_max_attempts": 3}, max_pool_connections=64
    )  # fmt: skip
    return boto3.Session(region_name=region).client(service, config=limits)


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def connected(recipe: ComputeRecipe) -> "Lambda":
    """The adapter, with its functions made and known to answer.

    Raises:
        ComputeError: AWS cannot be reached, or refuses.
        ConfigError: The settings are wrong.
    """
    names = regions_of(recipe)
    for name in names:
        lambda_config(recipe, name, {})  # what is wrong in a file is said before anybody is asked
    try:
        said = _client("sts", names[0]).get_caller_identity()
    except Exception as e:
        raise ComputeError(
            f"AWS cannot be reached, or does not know you: {_text(e)}; look at the network, and at `aws sts get-caller-identity`"
        ) from e
    account = {"account_id": said["Account"], "user_id": said["UserId"]}
    regions: dict[str, _Region] = {}
    try:
        for name in names:
            regions[name] = _Region(name, lambda_config(recipe, name, account), recipe)
    except BaseException:
        for region in regions.values():
            region.executor.close()
        raise
    return Lambda(regions, recipe)


class _Region:
    """One region: its executor, its function, and what is known of lost calls.

    Args:
        name: Of the region.
        config: Lithops' configuration for it.
        recipe: The settings.
    """

    def __init__(self, name: str, config: dict[str, Any], recipe: ComputeRecipe) -> None:
        self.name, memory_mb = name, recipe.memory_mb or DEFAULT_MEMORY_MB
        try:
            self.executor = Executor(config)
        except Exception as e:
            raise ComputeError(f"Lithops cannot be used in {name}: {_text(e)}") from e
        try:
            self.executor.use(_client("s3", name))
            self._backend = self.executor.handler.backend
            self._backend.lambda_client = self._lambda = _client("lambda", name)
            self._backend.ecr_client = _client("ecr", name)
            self._backend.invoke = self._invoke  # Lithops' own tries for ever
            self.executor.deploy(memory_mb)
            self._function = self._backend._format_function_name(config["aws_lambda"]["runtime"], memory_mb)
            known = self._lambda.get_function_configuration(FunctionName=self._function)
            self._refuse_other(known, config["aws_lambda"])
            self._without_retries(known)
            self.limit_s = float(known["Timeout"])
        except Exception as e:
            self.executor.close()
            if isinstance(e, ComputeError):
                raise
            raise ComputeError(f"the function of Lithops cannot be made in {name}: {_text(e)}") from e
        self._refused: queue.SimpleQueue[tuple[str, str, str]] = queue.SimpleQueue()
        self._broken = ""
        self._from = f"aws/lambda/async/{self._function}/{datetime.now(UTC) - _SKEW:%Y/%m/%d/%Y-%m-%dT%H.%M.%S}"
        self._seen: set[str] = set()
        self._next = 0.0

    def _refuse_other(self, known: dict[str, Any], wanted: dict[str, Any]) -> None:
        """Lithops takes a function that is there as it is.

        Raises:
            ComputeError: It was made with other settings.
        """
        settings = {
            "Timeout": wanted["runtime_timeout"], "Role": wanted["execution_role"], "Architectures": [wanted["architecture"]],
            "EphemeralStorage": {"Size": wanted["ephemeral_storage"]} if "ephemeral_storage" in wanted else None,
        }  # fmt: skip
        other = [f"{k} {known[k]}, and not {v}" for k, v in settings.items() if v and k in known and known[k] != v]
        if other:
            raise ComputeError(
                f"the function {self._function} in {self.name} was made with {'; '.join(other)}: give the image another tag, or delete the "
                f"function with `aws lambda delete-function --region {self.name} --function-name {self._function}`"
            )

    def _without_retries(self, known: dict[str, Any]) -> None:
        """AWS calls twice more what fails, which the driver does itself.

        Raises:
            ComputeError: It would still do so.
        """
        bucket = f"arn:{known['FunctionArn'].split(':')[1]}:s3:::{self.executor.bucket}"
        self._lambda.put_function_event_invoke_config(
            FunctionName=self._function, MaximumRetryAttempts=0, MaximumEventAgeInSeconds=_AGE_S,
            DestinationConfig={"OnFailure": {"Destination": bucket}},
        )  # fmt: skip
        said = self._lambda.get_function_event_invoke_config(FunctionName=self._function)
        if said.get("MaximumRetryAttempts") != 0:
            raise ComputeError(f"AWS would still retry {self._function} in {self.name}: {said}")

    def _invoke(self, runtime_name: str, memory_mb: int, payload: dict[str, Any]) -> str:
        """Call the function; a call that AWS does not take is kept as refused. Called by threads of Lithops."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._lambda.invoke(
                FunctionName=self._function, InvocationType="Event", Payload=json.dumps(payload, default=str)
            )
        except (BotoCoreError, ClientError) as e:
            if isinstance(e, ClientError) and e.response["Error"]["Code"] in _FOR_GOOD:
                self._broken = _text(e)
            for call_id in payload["call_ids"]:
                self._refused.put((payload["job_id"], call_id, _text(e)))
            return "refused"
        return str(answer["ResponseMetadata"]["RequestId"])

    def look(self) -> list[Ended]:
        """What has ended, however."""
        ended = self.executor.look()
        while not self._refused.empty():
            job_id, call_id, why = self._refused.get()
            if job := self.executor.out.pop((job_id, call_id), None):
                ended.append(Ended(job, job.call.lost("lost", f"its worker cannot be called: {why}", retryable=True)))
        if self._broken:
            raise ComputeError(f"the function {self._function} in {self.name} cannot be called: {self._broken}")
        if self.executor.out and time.monotonic() >= self._next:
            ended += self._records()
            self._next = time.monotonic() + _RECORDS_S
        return [*ended, *self._overdue()]

    def _records(self) -> Iterator[Ended]:
        """Calls that AWS wrote a record of failure for."""
        try:
            pages = self.executor.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.executor.bucket, Prefix=f"aws/lambda/async/{self._function}/", StartAfter=self._from
            )
            found = [o["Key"] for page in pages for o in page.get("Contents", [])]
            for name in [n for n in found if n not in self._seen]:
                self._seen.add(name)
                body = self.executor.client.get_object(Bucket=self.executor.bucket, Key=name)["Body"].read()
                record = json.loads(body)
                payload = record.get("requestPayload") or {}
                if payload.get("executor_id") != self.executor.id:
                    continue  # another run's
                self.executor.client.delete_object(Bucket=self.executor.bucket, Key=name)
                for call_id in payload.get("call_ids", []):
                    if job := self.executor.out.pop((payload["job_id"], call_id), None):
                        yield Ended(job, _loss(job, record))
        except Exception as e:
            raise ComputeError(f"records of failed calls in {self.name} cannot be read: {_text(e)}") from e

    def _overdue(self) -> Iterator[Ended]:
        """Calls of which nothing can come any more."""
        now = time.monotonic()
        for key, job in list(self.executor.out.items()):
            until = (job.sent + _AGE_S if job.began is None else job.began) + self.limit_s + _SPARE_S
            if now > until:
                del self.executor.out[key]
                cause = f"its worker was lost: it has not answered within the {self.limit_s:.0f} s of its function"
                run_s = self.limit_s if job.began else 0.0
                yield Ended(job, job.call.lost("lost", cause, retryable=True, run_s=run_s))


def _loss(job: Job, record: dict[str, Any]) -> TaskResult:
    """The result of a call whose sandbox was lost, as AWS tells it."""
    why = record.get("responsePayload") or {}
    text = f"{why.get('errorType', '')} {why.get('errorMessage', '')} {record.get('requestContext', {}).get('condition', '')}"
    text = " ".join(text.split())
    ran = "EventAgeExceeded" not in text  # else no worker has had it
    run_s = time.monotonic() - (job.began or job.sent) if ran else 0.0
    kind: Kind = "lost"
    if "timed out" in text or "Sandbox.Timedout" in text:
        kind = "timeout"
    elif "OutOfMemory" in text:
        kind = "memory"
    cause = {
        "timeout": f"timeout: AWS ended its function: {text}",
        "memory": f"out of memory: {text}; raise compute.memory_mb",
        "lost": f"its worker was lost: {text}",
    }[kind]
    return job.call.lost(kind, cause, retryable=kind == "lost", run_s=run_s)


def _parts(jobs: list[Job]) -> list[list[Job]]:
    """Jobs that are sent together: what they hold is written as one object."""
    parts: list[list[Job]] = [[]]
    size = 0
    for job in jobs:
        size += len(job.blob)
        if parts[-1] and size > _BATCH_BYTES:
            parts.append([])
            size = len(job.blob)
        parts[-1].append(job)
    return parts


class Lambda:
    """The adapter; see ``_call.Adapter``."""

    capabilities = Capabilities(
        isolated=True,
        limits_memory=True,
        remote=True,
        paid=True,
        payload_mb=PAYLOAD_MB,
        queue_s=_AGE_S,
        overhead_s=_OVERHEAD_S,
    )

    def __init__(self, regions: dict[str, _Region], recipe: ComputeRecipe) -> None:
        self.slots, self._regions, self._first = recipe.workers, regions, next(iter(regions))
        self._look_s = float(dict(recipe.config.get("lithops") or {}).get("monitoring_interval", _LOOK_S))
        self._waiting: deque[Job] = deque()
        self._unwanted: set[int] = set()
        self._next = 0.0

    def submit(self, call: Call) -> Hashable:
        """Queue a try; it is sent with the next poll, together with others."""
        job = Job(call, blob_of(call))
        self._waiting.append(job)
        return job

    def poll(self, wait_s: float) -> list[tuple[Hashable, TaskResult]]:
        """What has ended."""
        until = time.monotonic() + wait_s
        while True:
            self._send()
            found = self._look() if time.monotonic() >= self._next else []
            now = time.monotonic()
            if found or now >= until:
                return found
            time.sleep(max(0.0, min(until, self._next) - now))

    def _look(self) -> list[tuple[Hashable, TaskResult]]:
        ended = [e for region in self._regions.values() if region.executor.out for e in region.look()]
        self._next = time.monotonic() + self._look_s
        wanted = [e for e in ended if id(e.job) not in self._unwanted]
        self._unwanted -= {id(e.job) for e in ended}
        return [(e.job, e.result) for e in wanted]

    def _running(self) -> int:
        """Calls that are out and wanted."""
        return sum(len(r.executor.out) for r in self._regions.values()) - len(self._unwanted)

    def _send(self) -> None:
        """Call as many as may run at a time, those of a region together: what is called starts at once."""
        by_region: dict[str, list[Job]] = {}
        for _ in range(min(len(self._waiting), self.slots - self._running())):
            job = self._waiting.popleft()
            by_region.setdefault(job.call.region or self._first, []).append(job)
        for name, jobs in by_region.items():
            for part in _parts(jobs):
                self._regions[name].executor.send(part)

    def started(self, handle: Hashable) -> float | None:
        """When its worker's mark was seen in storage."""
        assert isinstance(handle, Job)
        return handle.began

    def kill(self, handle: Hashable) -> str:
        """Nobody can end a call of a function: forget it."""
        assert isinstance(handle, Job)
        region = self._regions[handle.call.region or self._first]
        self._forget([handle])
        return f"its call goes on until its worker ends it, is billed for {region.limit_s:.0f} s at most, and its answer is thrown away"

    def _forget(self, jobs: list[Job]) -> list[Job]:
        """Leave out what waits, and throw away what the rest answers; returns the rest."""
        ids = {id(j) for j in jobs}
        self._waiting = deque(j for j in self._waiting if id(j) not in ids)
        rest = [j for r in self._regions.values() for j in r.executor.out.values() if id(j) in ids]
        self._unwanted |= {id(j) for j in rest}
        return rest

    def drop(self, handles: list[Hashable], timeout_s: float) -> None:
        """Take back those that wait; those that run are waited for, none longer than its time and half a minute."""
        rest = self._forget([h for h in handles if isinstance(h, Job)])
        until = time.monotonic() + min(timeout_s, _END_S)
        try:
            self._settle(rest, until)
        except ComputeError as e:  # AWS may be out of reach, which is what this run ends for
            _logger.warning("calls of AWS Lambda may still run: %s", e)

    def _settle(self, jobs: list[Job], until: float) -> None:
        while any(id(j) in self._unwanted for j in jobs) and time.monotonic() < until:
            self._look()
            time.sleep(min(self._look_s, max(0.0, until - time.monotonic())))

    def close(self) -> None:
        """Delete what is in storage, and end all threads; the functions stay, for the next run."""
        self.drop([j for r in self._regions.values() for j in r.executor.out.values()], _END_S)
        for region in self._regions.values():
            region.executor.close()
