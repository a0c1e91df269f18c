"""A folder is a registry, and an entry point is its other door: one file adds a plugin."""

import subprocess
import sys
import textwrap

import geopandas as gpd
import pytest
import shapely

from geo_assets import errors, registry
from geo_assets.errors import PluginError
from geo_assets.model.recipe import GridRecipe
from geo_assets.project import load_project

GRID = '''
    """A grid of one cell an area."""
    import geopandas as gpd


    class Whole:
        def cells(self, aoi, spec):
            return gpd.GeoDataFrame({"cell_id": ["whole"], "crs": ["EPSG:32633"]}, geometry=[aoi.envelope], crs="EPSG:4326")


    PLUGIN = Whole()
'''
CATALOG = '''
    """A catalog without scenes."""
    from geo_assets.model.href import Access


    class Nothing:
        def search(self, recipe, query):
            return []

        def access(self, recipe):
            return Access(hosts=("example.com",))

        def sign(self, href):
            return href


    PLUGIN = Nothing()
'''
SENSOR = '''
    """A sensor like Sentinel-2 under another name."""
    import dataclasses

    from geo_assets.sensors.sentinel_2_l2a import PLUGIN as KNOWN

    PLUGIN = dataclasses.replace(KNOWN, name="my-sensor", title="Mine")
'''
PROJECT = """
    name: added
    aois: {here: {bbox: [15.0, 47.0, 15.1, 47.1]}}
    months: {start: 2024-01, end: 2024-03}
    catalog: {kind: my-catalog}
    sensors: [my-sensor]
    cube: {sensor: my-sensor}
    grid: {kind: my-grid}
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts one file on the path and names it in entry points, as an installed package does."""
    monkeypatch.syspath_prepend(tmp_path)
    entries = {}

    def add(kind, name, source, module=None, attribute=""):
        module = module or f"added_{kind}_{name.replace('-', '_')}"
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        entries.setdefault(f"geo_assets.{kind}", []).append(f"{name} = {module}{attribute}")
        info = tmp_path / "added-1.0.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: added\nVersion: 1.0\n")
        text = "".join(f"[{group}]\n" + "\n".join(lines) + "\n" for group, lines in entries.items())
        (info / "entry_points.txt").write_text(text)

    yield add
    registry._resolve.cache_clear()
    for name in [n for n in sys.modules if n.startswith("added_")]:
        del sys.modules[name]


def test_every_plugin_of_the_package_is_found_and_can_be_loaded():
    for kind in registry.KINDS:
        found = registry.available(kind)
        assert found
        assert not any(name.startswith("_") for name in found)
        for name in found:
            assert registry.load(kind, name) is registry.load(kind, name)


def test_one_file_each_adds_a_grid_a_catalog_and_a_sensor_to_a_project(install, tmp_path):
    install("grids", "my-grid", GRID)
    install("catalogs", "my-catalog", CATALOG)
    install("sensors", "my-sensor", SENSOR)
    assert "my-grid" in registry.available("grids")
    area = shapely.box(15, 47, 15.1, 47.1)
    cells = registry.load("grids", "my-grid").cells(area, GridRecipe(kind="my-grid"))
    assert isinstance(cells, gpd.GeoDataFrame)
    file = tmp_path / "geo_assets.yaml"
    file.write_text(textwrap.dedent(PROJECT))
    loaded = load_project(file)
    assert loaded.sensor.title == "Mine"
    assert loaded.catalog.search(None, None) == []
    assert loaded.project.grid.kind == "my-grid"


@pytest.mark.parametrize("missing", ["my-grid", "my-catalog", "my-sensor"])
def test_project_that_names_a_plugin_that_is_not_there_is_refused(install, tmp_path, missing):
    sources = {"my-grid": ("grids", GRID), "my-catalog": ("catalogs", CATALOG), "my-sensor": ("sensors", SENSOR)}
    for name, (kind, source) in sources.items():
        if name != missing:
            install(kind, name, source)
    file = tmp_path / "geo_assets.yaml"
    file.write_text(textwrap.dedent(PROJECT))
    with pytest.raises(errors.GeoAssetsError, match=missing):
        load_project(file)


def test_entry_point_may_name_the_object(install):
    install("grids", "by-object", GRID.replace("PLUGIN", "mine"), attribute=":mine")
    assert registry.load("grids", "by-object").cells


@pytest.mark.parametrize("name", ["square", "majortom-eg"])
def test_name_of_a_plugin_of_ours_used_again_is_an_error(install, name):
    install("grids", name, GRID)
    with pytest.raises(PluginError, match=f"{name}.*defined twice"):
        registry.available("grids")


def test_name_that_two_packages_use_is_an_error(install):
    install("grids", "twice", GRID, module="added_one")
    install("grids", "twice", GRID, module="added_two")
    with pytest.raises(PluginError, match=r"twice.*added_one.*added_two"):
        registry.load("grids", "twice")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("import not_installed_anywhere", "not_installed_anywhere"),
        ("x = 1", "PLUGIN"),
        ("def f(:", "cannot be loaded"),
        ("raise RuntimeError('boom')", "boom"),
        ("1 / 0", "division"),
    ],
)
def test_plugin_that_cannot_be_loaded_says_which_and_why(install, source, text):
    install("grids", "broken", source)
    assert "broken" in registry.available("grids")  # listing imports nothing
    with pytest.raises(PluginError, match="'broken'") as error:
        registry.load("grids", "broken")
    assert text in str(error.value)


def test_unknown_plugin_gets_the_nearest_names():
    with pytest.raises(PluginError, match="did you mean square"):
        registry.load("grids", "sqare")
    with pytest.raises(PluginError, match=r"there are .*majortom"):
        registry.load("grids", "zzzzzz")
    with pytest.raises(PluginError, match="plugin kind"):
        registry.available("colours")


def test_listing_plugins_imports_none_of_them():
    code = (
        "import sys\nfrom geo_assets import registry\n"
        "for kind in registry.KINDS: registry.available(kind)\n"
        "heavy = {'stackstac', 'dask', 'distributed', 'icechunk', 'zarr', 'rasterio', 'lithops', 'torch', 'pystac_client'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
