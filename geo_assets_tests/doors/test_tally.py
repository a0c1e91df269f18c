"""Where a run says that its products lie."""

import datetime as dt
from pathlib import Path

import pytest

from geo_assets.doors.tally import Assets, Tally
from geo_assets.model.project import Project
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.storage import Storage

REGION, MONTH = "utm33n_r52_c5", "2024-01"


@pytest.mark.parametrize(("layout", "also"), [("scenes", set()), ("tiles", {"tiles"})])
def test_outputs_when_layers_are_yearly_tiles_then_their_folder_is_named_too(
    tmp_path: Path, layout: str, also: set[str]
):
    project = Project.model_validate(
        {
            "months": {"start": MONTH, "step": 12}, "aois": {"a": {"bbox": [15, 47, 16, 48]}}, "products": ["ard"],
            "sensors": ["sentinel-2-l2a"], "grid": {"kind": "tiles", "path": "t.csv"}, "ard": {"layout": layout},
        }
    )  # fmt: skip
    storage = Storage(str(tmp_path))
    made = {"status": "ok", "data_version": "1", "made_at": dt.datetime.now(dt.UTC)}
    storage.write_receipt(PartitionReceipt(product="ard/sentinel-2-l2a", region=REGION, month=MONTH, **made))
    tally = Tally(storage, Assets(project, ["cells", "scenes", "ard"]))
    tally.count([REGION], [(REGION, MONTH)])
    assert tally.summary.outputs == {name: str(tmp_path / name) for name in {"ard", *also}}
