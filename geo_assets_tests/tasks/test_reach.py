import pytest

from geo_assets.errors import ConfigError
from geo_assets.model.task import TaskResult
from geo_assets.storage import Storage
from geo_assets.tasks.reach import Reach, read_back, refuse_unreached


def on_this_machine(fn, tasks):
    for i, task in enumerate(tasks):
        yield TaskResult(i, "ok", value=fn(task))


def test_reach_when_workers_see_the_storage_then_nothing_stays_of_the_question(tmp_path):
    storage = Storage(str(tmp_path))
    refuse_unreached(storage, on_this_machine, backend="dask")
    assert storage.names("probes") == []


def test_reach_when_workers_have_a_disk_of_their_own_then_it_is_refused(tmp_path):
    def elsewhere(fn, tasks):
        for i, task in enumerate(tasks):
            yield TaskResult(i, "ok", value=fn(Reach(str(tmp_path / "other"), task.name)))

    with pytest.raises(ConfigError, match=r"workers of lithops cannot read .*here; give them a bucket, or a folder"):
        refuse_unreached(Storage(str(tmp_path / "here")), elsewhere, backend="lithops")
    assert Storage(str(tmp_path / "here")).names("probes") == []


def test_reach_when_workers_lack_access_then_their_cause_is_told():
    storage = Storage("memory://reach")

    def refused(fn, tasks):
        list(tasks)
        yield TaskResult(0, "error", cause="403 Forbidden", error="StoreError")

    with pytest.raises(ConfigError, match="cannot read memory://reach: 403 Forbidden; give them access; no task was"):
        refuse_unreached(storage, refused, backend="ray")
    assert read_back(Reach("memory://reach", "probes/none")) == ""
