from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.doors.tiles import Asked, read_tiles
from geo_assets.errors import ConfigError

REGIONS, MONTHS = ["utm33n_r1_c1", "utm33n_r1_c2"], ["2024-01", "2024-02", "2024-03"]


def table(tmp_path: Path, text: str) -> str:
    file = tmp_path / "failed.csv"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_tiles_when_a_table_names_partitions_then_each_is_made_once_in_order(tmp_path):
    file = table(
        tmp_path,
        'product,region,month,block,cells,kind,cause\ncomposite,utm33n_r1_c2,2024-02,"1,2",a b,error,"x, y\nz"\n'
        "composite,utm33n_r1_c2,2024-02,,,,\ncomposite,utm33n_r1_c1,2024-03,,,,\n",
    )
    assert read_tiles(file, REGIONS, MONTHS).partitions == [("utm33n_r1_c1", "2024-03"), ("utm33n_r1_c2", "2024-02")]


def test_tiles_when_a_month_is_empty_then_it_is_all_of_them(tmp_path):
    file = table(tmp_path, "﻿region,month\nutm33n_r1_c1,\n")
    assert read_tiles(file, REGIONS, MONTHS).partitions == [("utm33n_r1_c1", m) for m in MONTHS]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "column 'region' is missing; it has none"),
        ("region\nutm33n_r1_c1\n", "column 'month' is missing; it has region"),
        ("region,month\n", "names nothing to make"),
        ("region,month\nutm33n_r9_c9,2024-01\n", r"line 2: utm33n_r9_c9 2024-01: not among"),
        ("region,month\nutm33n_r1_c1,2031-01\n", r"line 2: utm33n_r1_c1 2031-01: not among"),
        ("region,month\n" + "x,y\n" * 9, "line 6: x y and 4 more"),
    ],
)
def test_tiles_when_the_table_is_wrong_then_it_is_refused_with_the_place(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said):
        read_tiles(table(tmp_path, text), REGIONS, MONTHS)


def test_tiles_when_it_is_no_text_or_not_there_then_it_is_refused(tmp_path):
    (tmp_path / "b.csv").write_bytes(b"region,month\n\xff\xfe\x00")
    for name in ("b.csv", "none.csv", "."):
        with pytest.raises(ConfigError, match="cannot be read as CSV"):
            read_tiles(str(tmp_path / name), REGIONS, MONTHS)


def test_tiles_when_a_field_is_long_then_it_is_read_all_the_same(tmp_path):
    cells = " ".join(f"utm33n_{i:06}" for i in range(20_000))
    file = table(tmp_path, f'region,month,cells\nutm33n_r1_c1,2024-01,"{cells}"\n')
    assert read_tiles(file, REGIONS, MONTHS).partitions == [("utm33n_r1_c1", "2024-01")]


def test_tiles_when_headers_are_written_by_hand_then_they_are_known(tmp_path):
    assert read_tiles(table(tmp_path, " Region , MONTH \nutm33n_r1_c1,2024-01\n"), REGIONS, MONTHS)
    with pytest.raises(ConfigError, match=r"it has region;month, read as UTF-8 with commas between columns"):
        read_tiles(table(tmp_path, "region;month\nutm33n_r1_c1;2024-01\n"), REGIONS, MONTHS)


# Tables of tiles. Two tiles side by side, of which the second reaches into the region of the first, and one far away


def tiles_of_a_project() -> gpd.GeoDataFrame:
    boxes = [shapely.box(x, 0, x + 1 / 18, 1 / 18) for x in (10, 10 + 1 / 18, 11)]
    return gpd.GeoDataFrame(
        {
            "cell_id": ["1035X727Y", "1036X727Y", "7X-3Y"],
            "region": [REGIONS[0], REGIONS[1], REGIONS[1]],
            "regions": [[REGIONS[0]], REGIONS, [REGIONS[1]]],
        },
        geometry=boxes,
        crs="EPSG:4326",
    )


CELLS = tiles_of_a_project()
ROWS = {"a": "10.0277,0.0277,727,1035", "b": "10.0833,0.0277,727,1036", "c": "11.0277,0.0277,-3,7"}
HEAD = "Year,X,Y,Y_tile,X_tile"
SPAN = ["2023-11", "2023-12", "2024-01"]


def asked(tmp_path: Path, text: str, **values: Any) -> Asked:
    return read_tiles(table(tmp_path, text), REGIONS, SPAN, **({"cells": CELLS} | values))


def test_tiles_when_a_table_names_tiles_then_their_owners_are_made_in_the_months_of_the_year(tmp_path):
    found = asked(tmp_path, f"{HEAD}\n2023,{ROWS['b']}\n2023,{ROWS['b']}\n2024,{ROWS['a']}\n")
    assert found.partitions == [(REGIONS[0], "2024-01"), (REGIONS[1], "2023-11"), (REGIONS[1], "2023-12")]
    assert found.cells == {"1035X727Y", "1036X727Y"}


def test_tiles_when_columns_are_in_another_order_and_case_then_they_are_known(tmp_path):
    found = asked(tmp_path, " x_TILE,note,y_tile,YEAR,y,x\n7.0,hello,-3.0,2024.0,0.03,11.02\n")
    assert found == Asked([(REGIONS[1], "2024-01")], frozenset({"7X-3Y"}))


def test_tiles_when_a_failed_cell_is_named_then_the_region_and_month_of_its_line_are_made(tmp_path):
    text = f'{HEAD},product,region,month,block,cells,kind,cause\n2023,{ROWS["b"]},composite,{REGIONS[0]},2023-12,"1,2",1036X727Y,error,x\n'
    assert asked(tmp_path, text) == Asked([(REGIONS[0], "2023-12")], frozenset({"1036X727Y"}))


def test_tiles_when_a_line_names_a_region_alone_then_all_its_cells_are_meant(tmp_path):
    text = f"{HEAD},region,month\n,,,,,{REGIONS[0]},2023-12\n2024,{ROWS['c']},,\n"
    found = asked(tmp_path, text)
    assert found.partitions == [(REGIONS[0], "2023-12"), (REGIONS[1], "2024-01")]
    assert found.cells == {"1035X727Y", "1036X727Y", "7X-3Y"}
    assert len(asked(tmp_path, f"{HEAD},region,month\n,,,,,{REGIONS[1]},\n").partitions) == 3


def test_tiles_when_a_table_names_partitions_then_no_cells_are_named(tmp_path):
    assert asked(tmp_path, f"region,month\n{REGIONS[0]},2024-01\n").cells is None
    assert asked(tmp_path, f"year,region,month\n2024,{REGIONS[0]},2024-01\n").partitions == [(REGIONS[0], "2024-01")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("2023,1,1,1,99,,", "line 2: no cell 99X1Y"), ("2023,1,1,,99,,", "line 2: no cell 99XY"), ("2023,1,1,1,99.5,,", "no cell 99.5X1Y"),
        ("2023,50,5,727,1035,,", "1035X727Y is another cell in the project, at 10.0278, 0.0278"), ("2023,nan,0,727,1035,,", "another cell"), ("2023,,,727,1035,,", "no position"),
        ("2019,10.02,0.02,727,1035,,", "1035X727Y utm33n_r1_c1 2019: not among the cells"), (",10.02,0.02,727,1035,,", "line 2: 1035X727Y"), ("20x3,10.02,0.02,727,1035,,", "20x3"),
        ("2023,10.02,0.02,727,1035,,2024-01", "1035X727Y utm33n_r1_c1 2023 2024-01"), ("2023,10.02,0.02,727,1035,utm33n_r1_c2,", "does not touch utm33n_r1_c2"),
        (",,,,,utm33n_r9_c9,2024-01", "line 2: utm33n_r9_c9 2024-01"), (",,,,,,", "neither a tile nor a region"), (",,,,,utm33n_r1_c1,2030-01", "utm33n_r1_c1 2030-01"),
    ],
)  # fmt: skip
def test_tiles_when_a_line_is_not_of_the_project_then_it_is_refused_with_its_place(tmp_path, line, said):
    with pytest.raises(ConfigError, match=said):
        asked(tmp_path, f"{HEAD},region,month\n{line}\n")


def test_tiles_when_many_lines_are_wrong_then_the_first_are_told(tmp_path):
    with pytest.raises(ConfigError, match=r"line 6: no cell 5X1Y and 4 more: not among .* take these lines out"):
        asked(tmp_path, f"{HEAD}\n" + "".join(f"2023,1,1,1,{i}\n" for i in range(1, 10)))


def test_tiles_when_its_region_or_year_is_not_selected_then_it_is_refused(tmp_path):
    file = table(tmp_path, f"{HEAD}\n2023,{ROWS['b']}\n")
    with pytest.raises(ConfigError, match="line 2: 1036X727Y utm33n_r1_c2 2023"):
        read_tiles(file, REGIONS[:1], SPAN, cells=CELLS)
    with pytest.raises(ConfigError, match="line 2: 1036X727Y utm33n_r1_c2 2023"):
        read_tiles(file, REGIONS, ["2024-01"], cells=CELLS)


def test_tiles_when_the_grid_is_another_or_a_column_is_missing_then_it_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="set grid to tiles"):
        asked(tmp_path, f"{HEAD}\n2023,{ROWS['a']}\n", cells=None)
    with pytest.raises(ConfigError, match="column 'x' is missing; it has year, y, y_tile, x_tile"):
        asked(tmp_path, "Year,Y,Y_tile,X_tile\n2023,1,1,1\n")
    with pytest.raises(ConfigError, match="names nothing to make"):
        asked(tmp_path, f"{HEAD}\n")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["2023", "2024"])), min_size=1), st.randoms())
def test_tiles_when_lines_are_in_another_order_then_the_same_is_asked(tmp_path_factory, lines, chance):
    folder = tmp_path_factory.mktemp("t")
    texts = [f"{year},{ROWS[row]}\n" for row, year in lines]
    one = asked(folder, f"{HEAD}\n" + "".join(texts))
    chance.shuffle(texts)
    assert asked(folder, f"{HEAD}\n" + "".join(texts)) == one
    assert one.cells == {dict(zip("abc", CELLS.cell_id, strict=True))[row] for row, _ in lines}
