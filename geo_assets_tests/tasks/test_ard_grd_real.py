"""Layers with the orbit, look-up tables and noise of a real product, over ground and amplitudes that are made up."""

import datetime as dt
import math
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
import yaml

from geo_assets.model.crs import transformer
from geo_assets.project import load_project
from geo_assets.testing.plain_ard import run_ard
from geo_assets.testing.world_stac import MEDIA, dump, north_up, stac_item, write_cog, write_collection, write_item
from geo_assets_tests.realdata import real_data

pytestmark = [pytest.mark.realdata, pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")]
TRUTH = {"vv": 0.1, "vh": 0.02}
REACH = 260  # lines and pixels around the middle that hold amplitudes
HILL_M, WAVES_M = 60.0, (300.0, 250.0)


def numbers(element: ET.Element, name: str) -> np.ndarray:
    return np.array((element.findtext(name) or "").split(), float)


def between(vectors: list[ET.Element], name: str, lines: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Values of a look-up table, along range first and then between the two vectors around each line."""
    at = np.array([float(v.findtext("line") or 0) for v in vectors])
    rows = np.array([np.interp(pixels, numbers(v, "pixel"), numbers(v, name)) for v in vectors])
    return np.array([[np.interp(line, at, column) for column in rows.T] for line in lines])


class Product:
    """Files of a real product, read with an XML parser alone."""

    def __init__(self, folder: Path, polarization: str) -> None:
        self.polarization = polarization
        (self.product,) = folder.glob(f"annotation/*-{polarization}-*.xml")
        (self.calibration,) = folder.glob(f"annotation/calibration/calibration-*-{polarization}-*.xml")
        (self.noise,) = folder.glob(f"annotation/calibration/noise-*-{polarization}-*.xml")
        root = ET.parse(self.product).getroot()
        self.start = dt.datetime.fromisoformat(str(root.findtext("adsHeader/startTime")))
        image = root.find("imageAnnotation/imageInformation")
        assert image is not None
        self.shape = int(image.findtext("numberOfLines") or 0), int(image.findtext("numberOfSamples") or 0)
        names = ("line", "pixel", "longitude", "latitude", "height", "incidenceAngle")
        points = root.findall("geolocationGrid/geolocationGridPointList/geolocationGridPoint")
        self.points = np.array([[float(p.findtext(n) or 0) for n in names] for p in points])

    @property
    def middle(self) -> np.ndarray:
        """The point of the geolocation grid that is nearest to the middle of the image."""
        off = np.abs(self.points[:, :2] / self.shape - 0.5).max(axis=1)
        return self.points[off.argmin()]

    def amplitudes(self, line: int, pixel: int) -> np.ndarray:
        """What the sensor would store of ground as bright as the truth, before any relief."""
        lines, pixels = line + np.arange(-REACH, REACH), pixel + np.arange(-REACH, REACH)
        calibration, noise = ET.parse(self.calibration).getroot(), ET.parse(self.noise).getroot()
        table = between(calibration.findall("calibrationVectorList/calibrationVector"), "gamma", lines, pixels)
        power = between(noise.findall("noiseRangeVectorList/noiseRangeVector"), "noiseRangeLut", lines, pixels)
        for part in noise.findall("noiseAzimuthVectorList/noiseAzimuthVector"):
            first, last, low, high = (
                int(part.findtext(n) or 0) for n in ("firstRangeSample", "lastRangeSample", "firstAzimuthLine", "lastAzimuthLine")
            )  # fmt: skip
            inside = np.ix_((lines >= low) & (lines <= high), (pixels >= first) & (pixels <= last))
            factors = np.interp(lines, numbers(part, "line"), numbers(part, "noiseAzimuthLut"))[:, None]
            power[inside] = (power * factors)[inside]
        assert (
            -40 < 10 * math.log10(float((power / table**2).mean())) < -18
        )  # what the mission promises is -22 dB at most
        exact = np.sqrt(TRUTH[self.polarization] * table**2 + power)
        # Rounded up or down by chance: over even ground all would be rounded alike, and the mean be off
        return np.floor(exact + np.random.default_rng(5).uniform(size=exact.shape)).astype(np.uint16)


def hills(e: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Height, and its rise towards east and north, of places in metres from the middle."""
    (a, b), h = (1 / w for w in WAVES_M), HILL_M
    return (
        h * np.sin(e * a) * np.cos(n * b),
        h * a * np.cos(e * a) * np.cos(n * b),
        -h * b * np.sin(e * a) * np.sin(n * b),
    )


@pytest.mark.heavy
@pytest.mark.parametrize("relief", [False, True], ids=["level", "hills"])
def test_layers_when_tables_are_real_then_gamma0_is_that_of_the_plain_computation(tmp_path, relief):
    folder = next(f for f in sorted(real_data("s1", "annotation").glob("*IW_GRDH*")))
    products = {p: Product(folder, p) for p in TRUTH}
    of = products["vv"]
    line, pixel, lon, lat, base, angle = of.middle
    zone = f"EPSG:{32601 + int((lon + 180) // 6)}"
    plane = transformer("EPSG:4326", zone)
    x0, y0 = plane.transform(lon, lat)

    def height(lon_: np.ndarray, lat_: np.ndarray) -> np.ndarray:
        x, y = plane.transform(lon_, lat_)
        return base + (hills(np.asarray(x) - x0, np.asarray(y) - y0)[0] if relief else 0.0 * np.asarray(x))

    west, south = plane.transform(x0 - 1200, y0 - 1200, direction="INVERSE")
    east, north = plane.transform(x0 + 1200, y0 + 1200, direction="INVERSE")
    _write(tmp_path / "world", products, (int(line), int(pixel)), (lon, lat), height)
    document = {
        "name": "real", "storage": "./data", "products": ["ard"], "months": {"start": f"{of.start:%Y-%m}", "end": f"{of.start:%Y-%m}"},
        "aois": {"a": {"bbox": [west, south, east, north]}}, "sensors": ["sentinel-1-grd", "dem"], "catalog": {"kind": "static", "path": "world/catalog.json"},
        "grid": {"kind": "square", "size_m": 2560, "crs": zone}, "cube": {"sensor": "sentinel-1-grd", "bands": ["vv"], "resolution": 10},
        "ard": {"sensors": ["sentinel-1-grd"], "geoid_m": 0.0},
    }  # fmt: skip
    (tmp_path / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    loaded = load_project(tmp_path / "geo_assets.yaml")
    run = run_ard(loaded)
    table = next(t for key, t in run.tables.items())
    checked = 0
    for row in table.to_dict("records"):
        with rasterio.open(loaded.storage.uri(row["cog"])) as file:
            values, (a, _, c, _, e, f) = file.read(), row["transform"]
        x, y = np.meshgrid(
            c + a * (np.arange(row["shape"][1]) + 0.5) - x0, f + e * (np.arange(row["shape"][0]) + 0.5) - y0
        )
        near = (np.abs(x) < 1000) & (np.abs(y) < 1000)
        factor = _factor(of, math.radians(angle), x, y) if relief else np.ones(x.shape)
        for name, band in zip(("vv", "vh"), values, strict=True):
            ratio = (band / (TRUTH[name] * factor))[near & np.isfinite(band)]
            if not ratio.size:
                continue
            checked += ratio.size
            # Amplitudes are whole numbers, small ones of VH, and slopes of 10 m pixels those of a height model of 30 m
            assert np.percentile(np.abs(ratio - 1), 99) < (0.03 if relief or name == "vh" else 0.01)
            assert abs(ratio.mean() - 1) < 0.001
    assert checked > 60_000


def _factor(of: Product, theta: float, e: np.ndarray, n: np.ndarray) -> np.ndarray:
    """cos(incidence) / cos(local incidence), with the direction of sight from where neighbouring points of the grid lie."""
    line, pixel, lon, lat = of.middle[:4]
    beyond = of.points[(of.points[:, 0] == line) & (of.points[:, 1] > pixel)]
    _, _, lon1, lat1 = beyond[beyond[:, 1].argmin()][:4]
    east, north = (lon1 - lon) * math.cos(math.radians(lat)), lat1 - lat
    east, north = east / math.hypot(east, north), north / math.hypot(east, north)
    _, rise_e, rise_n = hills(e, n)
    away = rise_e * east + rise_n * north
    local = (math.cos(theta) + math.sin(theta) * away) / np.sqrt(1 + rise_e**2 + rise_n**2)
    return math.cos(theta) / local


def _write(
    folder: Path, products: dict[str, Product], at: tuple[int, int], middle: tuple[float, float], height: Any
) -> None:
    of, (line, pixel), (lon, lat) = products["vv"], at, middle
    item_id = f"S1A_IW_GRDH_1SDV_{of.start:%Y%m%dT%H%M%S}_{of.start:%Y%m%dT%H%M%S}_039156_049F13"
    home, assets = folder / "sentinel-1-grd" / item_id, {}
    for name, product in products.items():
        stem = product.product.stem
        for source in (product.product, product.calibration, product.noise):
            kind = "annotation" if source == product.product else "annotation/calibration"
            (home / kind).mkdir(parents=True, exist_ok=True)
            shutil.copy(source, home / kind / source.name)
        (home / "measurement").mkdir(exist_ok=True)
        with rasterio.open(
            home / "measurement" / f"{stem}.tiff", "w", driver="GTiff", dtype="uint16", count=1, height=product.shape[0], width=product.shape[1],
            tiled=True, blockxsize=512, blockysize=512, compress="deflate", sparse_ok=True,
        ) as sink:  # fmt: skip
            window = rasterio.windows.Window(pixel - REACH, line - REACH, 2 * REACH, 2 * REACH)
            sink.write(product.amplitudes(line, pixel), 1, window=window)
        assets[name] = {"href": f"./measurement/{stem}.tiff", "type": MEDIA, "roles": ["data"]}
    outline = shapely.box(lon - 0.05, lat - 0.05, lon + 0.05, lat + 0.05)
    scene = stac_item(
        item_id, "sentinel-1-grd", footprint=outline, properties={"datetime": f"{of.start:%Y-%m-%dT%H:%M:%SZ}"}, assets=assets, schemas=()
    )  # fmt: skip
    write_item(scene, folder / "sentinel-1-grd")
    write_collection([scene], folder / "sentinel-1-grd", title="GRD", description="One scene.")
    step, n = 1 / 3600, 600
    west, top = lon - n / 2 * step, lat + n / 2 * step
    ground = height(*np.meshgrid(west + (np.arange(n) + 0.5) * step, top - (np.arange(n) + 0.5) * step))
    (folder / "cop-dem-glo-30" / "heights").mkdir(parents=True)
    write_cog(
        folder / "cop-dem-glo-30" / "heights" / "dem.tif", ground.astype(np.float32), crs="EPSG:4326",
        transform=north_up(west, top, step, step), nodata=None, size=256,
    )  # fmt: skip
    tile = stac_item(
        "heights", "cop-dem-glo-30", footprint=shapely.box(west, top - n * step, west + n * step, top),
        properties={"datetime": "2021-04-22T00:00:00Z"}, assets={"data": {"href": "./dem.tif", "type": MEDIA}}, schemas=(),
    )  # fmt: skip
    write_item(tile, folder / "cop-dem-glo-30")
    write_collection([tile], folder / "cop-dem-glo-30", title="Heights", description="One tile.")
    links = [
        {"rel": "child", "href": f"./{name}/collection.json", "type": "application/json"}
        for name in ("sentinel-1-grd", "cop-dem-glo-30")
    ]
    root = {"rel": "root", "href": "./catalog.json", "type": "application/json"}
    dump(
        folder / "catalog.json",
        {"type": "Catalog", "stac_version": "1.0.0", "id": "real", "description": "Made up.", "links": [root, *links]},
    )
