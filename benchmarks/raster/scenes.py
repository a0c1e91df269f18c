"""The scenes: Cloud Optimized GeoTIFFs of quarter tiles with STAC items, made from a seed and kept in a folder.

Sixty-four scenes see one quarter of a tile: of every four, two are of one day, the second from a tile that lies 9 km
further north and 3 km further west and shows the same where they overlap, as neighbouring tiles of an overpass do. Pixel
files exist for the first sixteen; later scenes have classes of their own and share the pixels of an earlier one, under
addresses of their own. For targets that are wider than a quarter, four days are seen in all four quarters.
"""

import datetime as dt
import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import shapely
from affine import Affine

from benchmarks.raster import texture, tiff
from benchmarks.raster.targets import Target
from geo_assets.model.crs import reproject

CRS = "EPSG:32632"
SIZE = 5490
SHIFT = (900, 300)  # rows and columns by which the second tile of a day lies further north and west
CANVAS = (SIZE + SHIFT[0], SIZE + SHIFT[1])
TILE = 1024
DISTINCT = 16
_WEST, _TOP = 399_960, 5_245_140
SITES = {
    "sw": (_WEST, _TOP),
    "shifted": (_WEST - 10 * SHIFT[1], _TOP + 10 * SHIFT[0]),
    "se": (_WEST + 10 * SIZE, _TOP),
    "nw": (_WEST, _TOP + 10 * SIZE),
    "ne": (_WEST + 10 * SIZE, _TOP + 10 * SIZE),
}
_CODES = {"sw": "32TMT", "shifted": "32TLT", "se": "32TNT", "nw": "32TMU", "ne": "32TNU"}
_CUT = 0  # the scene of which a corner was not seen


@dataclass(frozen=True)
class Scene:
    """One scene: its day, where it lies, and the number of the scene whose pixel files it has."""

    day: int
    site: str
    like: int

    @property
    def id(self) -> str:
        return f"S2A_{_CODES[self.site]}_{self.time:%Y%m%d}_0_L2A"

    @property
    def time(self) -> dt.datetime:
        shift = 8 * list(SITES).index(self.site)
        return dt.datetime(2024, 3, 1, 10, 6, 1, tzinfo=dt.UTC) + dt.timedelta(days=self.day, seconds=shift)

    @property
    def offset(self) -> int:
        """What the stored DN hold on top of reflectance / 0.0001; one for all scenes of a day."""
        return 1000 if _scene(self.like).day % 2 else 0


def _scene(k: int) -> Scene:
    group, nth = divmod(k, 4)
    return Scene(3 * group + max(0, nth - 1), "shifted" if nth == 1 else "sw", k % DISTINCT)


def of_target(target: Target) -> list[Scene]:
    """The scenes that a target is made of."""
    if target.scenes:
        return [_scene(k) for k in range(target.scenes)]
    firsts = [k for k in range(1, 64) if _scene(k).site == "sw"][: target.days]
    return [Scene(_scene(k).day, site, k) for k in firsts for site in ("sw", "se", "nw", "ne")]


class Store:
    """The scenes' files in a folder, made when they are first asked for."""

    def __init__(self, folder: Path, seed: int = 7) -> None:
        code = b"".join(Path(m.__file__ or "").read_bytes() for m in (texture, tiff)) + Path(__file__).read_bytes()
        self.folder = folder / f"scenes-{seed}-{hashlib.sha256(code).hexdigest()[:10]}"
        self.seed = seed

    def prepare(self, target: Target) -> list[dict[str, Any]]:
        """STAC items of a target's scenes, whose assets are addressed from the folder, and every file in place."""
        scenes = of_target(target)
        for day in sorted({_scene(s.like).day for s in scenes}):
            self._pixels(day, target.bands)
        for scene in scenes:
            self._classes(scene)
            self._moved(scene, target.bands)
        return [self._item(scene, target.bands) for scene in scenes]

    def path(self, scene: Scene, band: str) -> Path:
        """File of an asset."""
        if band == "scl" or scene.site in ("se", "nw", "ne"):
            return self.folder / scene.id / f"{band}.tif"
        return self.folder / _scene(scene.like).id / f"{band}.tif"

    def _pixels(self, day: int, bands: tuple[str, ...]) -> None:
        scenes = [s for k in range(DISTINCT) if (s := _scene(k)).day == day]
        over = None
        for band in bands:
            if all(self.path(s, band).exists() for s in scenes):
                continue
            over = over or texture.sky(self.seed, day, CANVAS)
            dn = texture.scene_dn(self._ground(band), over, band, seed=self.seed, day=day, offset=scenes[0].offset)
            for scene in scenes:
                self._write(self.path(scene, band), _cut(dn, scene, 1), scene, 10)

    def _ground(self, band: str) -> npt.NDArray[np.uint16]:
        path = self.folder / f"ground-{band}.npy"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, texture.ground(self.seed, CANVAS, band))
        return np.load(path, mmap_mode="r")

    def _classes(self, scene: Scene) -> None:
        path = self.path(scene, "scl")
        if path.exists():
            return
        if scene.site in ("se", "nw", "ne"):
            self._copy(self.path(_scene(scene.like), "scl"), path, scene)
            return
        classes = texture.sky(self.seed, scene.day, CANVAS).classes
        self._write(path, _cut(classes, scene, 2), scene, 20)

    def _moved(self, scene: Scene, bands: tuple[str, ...]) -> None:
        for band in bands:
            path = self.path(scene, band)
            if not path.exists():
                self._copy(self.path(_scene(scene.like), band), path, scene)

    def _copy(self, source: Path, path: Path, scene: Scene) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        shutil.copyfile(source, part)
        tiff.move(part, *SITES[scene.site])
        part.rename(path)

    def _write(self, path: Path, values: npt.NDArray[Any], scene: Scene, step: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part, (x, y) = path.with_suffix(".part"), SITES[scene.site]
        with rasterio.open(
            part, "w", driver="COG", dtype=values.dtype, count=1, height=values.shape[0], width=values.shape[1],
            nodata=0, crs=CRS, transform=Affine(step, 0, x, 0, -step, y), blocksize=TILE, compress="DEFLATE", predictor="YES",
            level=6, overview_resampling="AVERAGE" if step == 10 else "NEAREST", num_threads="ALL_CPUS",
        ) as sink:  # fmt: skip
            sink.write(values, 1)
        part.rename(path)

    def _item(self, scene: Scene, bands: tuple[str, ...]) -> dict[str, Any]:
        outline = _outline(scene)
        area = reproject(outline, CRS, "EPSG:4326")
        stamp = f"{scene.time:%Y%m%dT%H%M%S}"
        properties: dict[str, Any] = {
            "datetime": f"{scene.time:%Y-%m-%dT%H:%M:%S}Z", "platform": "sentinel-2a", "constellation": "sentinel-2",
            "proj:epsg": 32632, "proj:shape": [SIZE, SIZE], "proj:transform": _affine(scene, 10),
            "s2:processing_baseline": "05.10", "s2:mgrs_tile": _CODES[scene.site],
            "s2:datastrip_id": f"S2A_OPER_MSI_L2A_DS_2APS_{stamp}_S{stamp}_N05.10",
            "earthsearch:boa_offset_applied": scene.offset == 0,
        }  # fmt: skip
        assets = {}
        for band in (*bands, "scl"):
            step = 20 if band == "scl" else 10
            assets[band] = {
                "href": f"{scene.id}/{band}.tif", "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                "roles": ["data"], "gsd": step, "proj:shape": [SIZE * 10 // step] * 2, "proj:transform": _affine(scene, step),
                "raster:bands": [{"nodata": 0, "data_type": "uint8" if band == "scl" else "uint16", "spatial_resolution": step}],
                "file": str(self.path(scene, band)),
            }  # fmt: skip
        return {
            "type": "Feature", "stac_version": "1.0.0", "id": scene.id, "collection": "sentinel-2-l2a", "links": [],
            "stac_extensions": [f"https://stac-extensions.github.io/{n}/schema.json" for n in ("projection/v1.1.0", "raster/v1.1.0")],
            "geometry": shapely.geometry.mapping(area), "bbox": list(area.bounds), "properties": properties, "assets": assets,
        }  # fmt: skip


def _affine(scene: Scene, step: int) -> list[int]:
    x, y = SITES[scene.site]
    return [step, 0, x, 0, -step, y, 0, 0, 1]


def _slant(rows: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Column at which the swath of the cut scene begins, by row."""
    return np.maximum(0.0, 2600 - 0.35 * np.asarray(rows))


def _outline(scene: Scene) -> shapely.Polygon:
    """What a scene saw, in its CRS."""
    x, y = SITES[scene.site]
    side = 10 * SIZE
    if scene.like != _CUT:
        return shapely.box(x, y - side, x + side, y)
    return shapely.Polygon(
        [(x + 10 * float(_slant(0)), y), (x + 10 * float(_slant(SIZE)), y - side), (x + side, y - side), (x + side, y)]
    )


def _cut(canvas: npt.NDArray[Any], scene: Scene, step: int) -> npt.NDArray[Any]:
    """The part of the canvas that a scene shows, 0 outside its swath."""
    row, col = (0, 0) if scene.site == "shifted" else SHIFT
    n = SIZE // step
    part = np.array(canvas[row // step : row // step + n, col // step : col // step + n])
    if scene.like == _CUT:
        middle = (np.arange(n) + 0.5) * step
        part[middle[None, :] < _slant(middle)[:, None]] = 0
    return part
