"""The geoid, with a grid of its own and without one."""

import subprocess
import sys

import numpy as np
import pytest
import rasterio
from pyproj import datadir
from pyproj.transformer import TransformerGroup

from geo_assets.eo.geoid import undulation
from geo_assets.errors import ConfigError

ASK = """
import sys
import numpy as np
from pyproj import datadir
datadir.append_data_dir(sys.argv[1])
from geo_assets.eo.geoid import undulation
print(*undulation(np.array([11.3, -60.0]), np.array([46.8, -10.5])))
"""


def test_undulation_when_proj_has_the_grid_then_its_height(tmp_path):
    """A made-up geoid that rises by a metre for each two degrees of longitude, in the format of PROJ's grids."""
    lon = np.arange(-180, 181, 1.0)
    values = np.broadcast_to(40 + lon / 2, (181, 361)).astype(np.float32)
    profile = {
        "driver": "GTiff", "dtype": "float32", "count": 1, "height": 181, "width": 361, "crs": "EPSG:4326",
        "transform": rasterio.Affine(1, 0, -180.5, 0, -1, 90.5),
    }  # fmt: skip
    with rasterio.open(tmp_path / "us_nga_egm08_25.tif", "w", **profile) as sink:
        sink.write(values, 1)
        sink.update_tags(
            TYPE="VERTICAL_OFFSET_GEOGRAPHIC_TO_VERTICAL", AREA_OR_POINT="Point", target_crs_epsg_code="3855"
        )
        sink.set_band_description(1, "geoid_undulation")
        sink.set_band_unit(1, "metre")
    done = subprocess.run([sys.executable, "-c", ASK, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [float(v) for v in done.stdout.split()] == pytest.approx([45.65, 10.0], abs=1e-3)


@pytest.mark.filterwarnings("ignore:Best transformation")
def test_undulation_when_proj_lacks_the_grid_then_an_error_and_not_zero():
    if TransformerGroup("EPSG:9518", "EPSG:4979").best_available:
        pytest.skip(f"PROJ has the grid, in {datadir.get_data_dir()} or its user's folder")
    with pytest.raises(ConfigError, match=r"pyproj sync --file us_nga_egm08_25\.tif"):
        undulation(np.array([11.3]), np.array([46.8]))
