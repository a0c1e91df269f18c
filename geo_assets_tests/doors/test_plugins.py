import ast
import importlib.metadata
import subprocess
import sys

import pytest

from geo_assets import registry
from geo_assets.doors import plugins
from geo_assets.doors.plugins import list_plugins
from geo_assets.errors import PluginError
from geo_assets.registry import KINDS, available


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """Modules of another package, and the entry points that name them."""
    entries = {}

    def add(name, source, kind="grids", attribute=""):
        (tmp_path / f"{name}.py").write_text(source)
        value = f"{name}:{attribute}" if attribute else name
        entries.setdefault(f"geo_assets.{kind}", []).append(
            importlib.metadata.EntryPoint(name.replace("_", "-"), value, f"geo_assets.{kind}")
        )

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry.importlib.metadata, "entry_points", lambda group: entries.get(group, []))
    yield add
    registry._resolve.cache_clear()


def row(kind, name):
    return next(p for p in list_plugins() if (p["kind"], p["name"]) == (kind, name))


def test_plugins_when_listed_then_all_kinds_are_there_usable_and_described():
    rows = list_plugins()
    assert {p["kind"] for p in rows} == set(KINDS)
    assert [(p["kind"], p["name"]) for p in rows] == [(k, n) for k in KINDS for n in sorted(available(k))]
    assert all(p["summary"] and p["origin"] for p in rows)
    assert not [p["summary"] for p in rows if "`" in p["summary"]]
    assert row("grids", "majortom") | {"summary": ""} == {
        "kind": "grids", "name": "majortom", "origin": "geo_assets.grids.majortom", "usable": True, "missing": "", "install": "", "summary": "",
    }  # fmt: skip


def test_plugins_when_listed_then_no_heavy_library_is_imported():
    code = (
        "import sys; from geo_assets.doors.plugins import list_plugins; list_plugins(); "
        "print([m for m in ('torch', 'stackstac', 'distributed', 'ray', 'lithops', 'icechunk', 'dagster') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_plugins_when_a_package_is_missing_then_it_is_named_with_the_extra_that_brings_it(monkeypatch):
    real = plugins._findable
    monkeypatch.setattr(plugins, "_findable", lambda m: m not in ("icechunk", "majortom_eg") and real(m))
    monkeypatch.setattr(
        plugins.importlib.metadata,
        "requires",
        lambda _: ["icechunk>=1", "majortom-eg==1; extra == 'majortom'", "majortom-eg==1; extra == 'dev'"],
    )
    assert row("grids", "majortom-eg")["missing"] == "majortom_eg (pip install 'geo-assets[majortom]')"
    icechunk = row("stores", "icechunk")
    assert (icechunk["usable"], icechunk["install"]) == (False, "pip install icechunk")
    assert row("stores", "zarr")["usable"]


def test_plugins_when_boto3_is_missing_then_readers_are_usable_since_only_profiles_need_it(monkeypatch):
    real = plugins._findable
    monkeypatch.setattr(plugins, "_findable", lambda m: m not in ("boto3", "botocore") and real(m))
    assert [row("readers", name)["missing"] for name in ("native", "gdal", "stackstac")] == ["", "", ""]


@pytest.mark.heavy
def test_plugins_when_another_package_brings_one_then_it_is_loaded_and_told(foreign):
    foreign("good_grid", '"""Hexagons.\n\nMore."""\nPLUGIN = object()')
    foreign("by_name", '"""Named."""\nMINE = object()', attribute="MINE")
    foreign("no_plugin", '"""Nothing."""')
    foreign("needs_more", '"""Needs."""\nimport not_installed_at_all')
    foreign("breaks", '"""Breaks."""\nraise RuntimeError("boom\\nand more")')
    assert row("grids", "good-grid") | {} == {
        "kind": "grids", "name": "good-grid", "origin": "good_grid", "usable": True, "missing": "", "install": "", "summary": "Hexagons.",
    }  # fmt: skip
    assert row("grids", "by-name")["usable"]
    assert "binds no PLUGIN" in row("grids", "no-plugin")["missing"]
    assert "not_installed_at_all" in row("grids", "needs-more")["missing"]
    assert row("grids", "breaks")["missing"].endswith("boom")


def test_plugins_when_a_name_is_defined_twice_then_that_kind_says_so_and_the_others_are_listed(foreign):
    foreign("majortom", "PLUGIN = 1")
    with pytest.raises(PluginError):
        available("grids")
    rows = [p for p in list_plugins() if p["kind"] == "grids"]
    assert [(p["name"], p["usable"], "defined twice" in p["missing"]) for p in rows] == [("", False, True)]
    assert row("stores", "zarr")["usable"]


def test_plugins_when_an_import_is_optional_or_shared_then_only_what_must_be_there_counts():
    tree = ast.parse(
        "import a.b\nfrom c import d\ntry:\n    import e\nexcept ImportError:\n    e = None\n"
        "try:\n    import k\nexcept ImportError as e:\n    raise ValueError from e\n"
        "def f():\n    import g\n    with x:\n        from h.i import j\n"
        "from geo_assets.catalogs._api import search_api\n"
    )
    names = set(plugins._imported(tree))
    assert {"a", "c", "g", "h", "k", "pystac_client", "requests"} <= names
    assert "e" not in names
