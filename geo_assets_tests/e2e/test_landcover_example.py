"""The example of land cover, as a person runs it: scenes, cube, training, maps of the platform, and how right they are."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.heavy
def test_maps_when_made_by_the_platform_then_they_beat_one_month_and_the_commonest_class(tmp_path: Path) -> None:
    pytest.importorskip("lightgbm")
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "landcover_model.py"), str(tmp_path / "project"), "--small"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [line.rsplit(maxsplit=2) for line in done.stdout.splitlines()[1:]]
    accuracy = {name.strip(): float(share) for name, share, _ in rows}
    trees = accuracy["trees, twelve months"]
    assert trees > 0.9
    assert trees > accuracy["trees, last month alone"] + 0.15
    assert trees > accuracy["commonest class everywhere"] + 0.5
    assert len(list((tmp_path / "project" / "data" / "prediction" / "lightgbm").rglob("*.tif"))) > 10
