from pathlib import Path

import pytest

from geo_assets.doors.tiles import read_tiles
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
