"""What Icechunk keeps of a cube beside its pixels."""

from fractions import Fraction
from math import ceil

import icechunk
import pytest

from geo_assets import registry
from geo_assets.model.geometry import PixelGrid
from geo_assets.model.period import Month, Periods
from geo_assets.testing.conformance_store import GROUP, VARIABLES, grid, made, put

UTM = grid()
DEGREES = PixelGrid("EPSG:4326", Fraction(1, 3600), 64, 32, 8)


@pytest.fixture
def plugin():
    return registry.load("stores", "icechunk")


def repository(uri):
    return icechunk.Repository.open(icechunk.local_filesystem_storage(uri))


def lists(uri):
    """How many chunks each list holds, in the newest state."""
    repo = repository(uri)
    snapshot = repo.lookup_snapshot(repo.lookup_branch("main"))
    return {m.id: m.num_chunk_refs for m in snapshot.manifests}


def test_a_commit_writes_no_list_of_other_months_or_places(plugin, tmp_path):
    uri = str(tmp_path / "cube")
    cube = made(plugin, uri, count=12)
    before = lists(uri)
    places = [((0, 0), month) for month in range(12)] + [((4096, 0), 0)]
    for at, month in places:
        put(plugin, plugin.open(uri), at=at, time=month, value=1)
    assert cube.describe()
    of_pixels = {k: n for k, n in lists(uri).items() if k not in before}
    assert list(of_pixels.values()) == [1] * len(places) * len(VARIABLES)


@pytest.mark.parametrize(("pixels", "months"), [(UTM, 3), (UTM, 120), (DEGREES, 60), (DEGREES, 1200)])
def test_an_array_has_a_thousand_lists_or_one_a_month(plugin, tmp_path, pixels, months):
    uri = str(tmp_path / "cube")
    plugin.open(uri).prepare({"title": "t"}, GROUP, pixels, Periods(Month.parse("1984-01"), 1, months), VARIABLES)
    (cut,) = repository(uri).config.manifest.splitting.to_dict().values()
    sizes = {axis[0]: size for axis, size in cut.items()}
    shards = [ceil(n / pixels.block_px) for n in pixels.array_geobox().shape]
    count = months * ceil(shards[0] / sizes["y"]) * ceil(shards[1] / sizes["x"])
    assert sizes["time"] == 1
    assert max(months, 250) <= count <= max(months, 1000) or sizes["y"] == 32
