"""Pages of the reference that are written from the code."""

import runpy
from pathlib import Path

import pytest

from geo_assets.registry import available, load

_DOCS = Path(__file__).parents[1] / "docs"
_MADE = runpy.run_path(str(_DOCS / "make_reference.py"))


@pytest.mark.parametrize("name", _MADE["PAGES"])
def test_page_when_the_code_is_as_it_is_then_it_says_so(name):
    written = (_DOCS / "reference" / name).read_text()
    assert written == _MADE["PAGES"][name](), "run `python docs/make_reference.py`"


def test_sensors_when_listed_then_every_band_of_every_sensor_has_its_facts():
    text = (_DOCS / "reference" / "sensors.md").read_text()
    sections = {s.splitlines()[0]: s for s in text.split("\n## ")[1:]}
    assert sections.keys() == available("sensors").keys()
    for name, section in sections.items():
        sensor = load("sensors", name)
        rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
        assert [r[0] for r in rows] == [f"| `{b}`" for b in (*sensor.bands, *sensor.derived)]
        assert {len(r) for r in rows} == {9}
    landsat = sections["landsat-c2-l2"]
    assert "| `1` | -0.2 to 1.6022125 | `uint16` | 2.75e-05 | -0.2 | 0 | 30 | `red`," in landsat
    assert "| `K` | 149 to 373 | `uint16` | 0.00341802 | 149 | 0 | 100 | `lwir11`," in landsat


def test_project_file_when_settings_have_settings_then_they_are_listed_and_products_to_come_are_marked():
    sections = {s.splitlines()[0]: s for s in (_DOCS / "reference" / "project-file.md").read_text().split("\n## ")[1:]}
    for part in ("### `sensors[].bands.<name>`", "### `sensors[].mask`", "| `gsd_m` |", "| `bits` |", "| `nodata` |"):
        assert part in sections["sensors"]
    marked = {name for name, text in sections.items() if "Not made by this version" in text}
    assert marked == {"embeddings", "release", "stac"}
