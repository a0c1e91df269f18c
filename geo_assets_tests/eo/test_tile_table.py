import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.eo import tile_table
from geo_assets.eo.tile_table import id_of, key_of, pieces, read_tile_table, tile_boxes
from geo_assets.errors import ConfigError
from geo_assets_tests.eo.tile_tables import table, write

NUMBER = st.integers(-(2**31) + 1, 2**31 - 1)
HEAD = "X,Y,Y_tile,X_tile\n"


@given(st.lists(st.tuples(NUMBER, NUMBER), min_size=1, max_size=9))
def test_keys_when_packed_then_they_keep_order_and_name_the_tile(pairs):
    x, y = np.array(pairs, np.int64).T
    keys = key_of(x, y)
    assert [id_of(int(k)) for k in keys] == [f"{a}X{b}Y" for a, b in pairs]
    assert sorted(pairs) == [pairs[i] for i in np.argsort(keys, kind="stable")]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_table_when_read_then_each_tile_is_found_where_it_lies(tmp_path, suffix):
    frame = table(20_000)
    found = read_tile_table(write(frame.sample(frac=1, random_state=3), tmp_path / f"t.{suffix}"))
    assert len(found) == 20_000
    rows = found.find(key_of(frame.X_tile.to_numpy(np.int64), frame.Y_tile.to_numpy(np.int64)))
    assert (found.x[rows] == frame.X).all()
    assert (found.y[rows] == frame.Y).all()
    assert found.find(np.array([key_of(np.int64(99_999), np.int64(1))])) == [-1]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_table_when_columns_are_written_otherwise_then_they_are_known(tmp_path, suffix):
    frame = (
        table(10).rename(columns={"X": " x", "X_tile": "x_TILE"}).assign(other="a\nb", Y_tile=lambda t: t.Y_tile * 1.0)
    )
    assert len(read_tile_table(write(frame, tmp_path / f"t.{suffix}"))) == 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "column 'X' is missing; it has none"), (HEAD, "has no rows"), ("X,Y,Y_tile\n1,1,1\n", "column 'X_tile' is missing; it has X, Y, Y_tile"),
        ("X,Y,Y_tile,X_tile,x_tile\n1,1,1,1,1\n", None), ("X,Y,Y_tile,x_tile,X_TILE\n1,1,1,1,1\n", "2 columns 'X_tile'"),
        (HEAD + "1,1,1,1\n2,2,2,2\n3,3,1,1\n", "the tile 1X1Y stands in 2 rows"), (HEAD + "1,1,1,1\n1,95,1,2\n", "row 2: X and Y are no longitude"),
        (HEAD + "-180.1,1,1,1\n", "row 1: X and Y"), (HEAD + ",1,1,1\n", "row 1: X and Y"), (HEAD + "nan,1,1,1\n", "row 1: X and Y"), (HEAD + "inf,1,1,1\n", "row 1: X and Y"),
        (HEAD + "a,1,1,1\n", "not a readable csv table: .*'a'"), (HEAD + "1,1,1.5,1\n", "row 1: Y_tile is no whole number"), (HEAD + "1,1,1,\n", "row 1: X_tile is no whole"),
        (HEAD + "1,1,1,9999999999\n", "row 1: X_tile is no whole"), (HEAD + "1,1,1\n", "not a readable csv table"), ("X;Y;Y_tile;X_tile\n1;1;1;1\n", "'X' is missing"),
    ],
)  # fmt: skip
def test_table_when_it_is_none_then_it_is_refused_with_the_place(tmp_path, text, said):
    (tmp_path / "t.csv").write_text(text)
    if said is None:
        assert len(read_tile_table(tmp_path / "t.csv")) == 1
        return
    with pytest.raises(ConfigError, match=f"t.csv.*{said}"):
        read_tile_table(tmp_path / "t.csv")


def test_table_when_the_file_is_none_then_it_is_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xff\xfeX\0,\0")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and nothing more PAR1")
    (tmp_path / "half.csv").write_bytes(b"X,Y,Y_tile,X_tile\n1,1,1,1\n\xff\xff,1,1,1\n")
    pq.write_table(pa.table({"X": [[1.0]], "Y": [1.0], "X_tile": [1], "Y_tile": [1]}), tmp_path / "nested.parquet")
    for name, said in (("t.csv", "not a readable csv"), ("t.parquet", "not a readable parquet"), ("half.csv", "not a readable csv"), ("nested.parquet", r"column 'X' holds list<.*>: write it as numbers"), ("none.csv", "does not exist"), ("", "is no file"), ("t.xlsx", "does not exist")):  # fmt: skip
        with pytest.raises(ConfigError, match=said):
            read_tile_table(tmp_path / name)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_table_when_it_has_too_many_rows_or_bytes_then_it_is_refused(tmp_path, monkeypatch, suffix):
    file = write(table(10), tmp_path / f"t.{suffix}")
    monkeypatch.setattr(tile_table, "MAX_AREA_ROWS", 9)
    with pytest.raises(ConfigError, match="over 9 rows"):
        tile_boxes(file)
    monkeypatch.setattr(tile_table, "_MAX_BYTES", 9)
    with pytest.raises(ConfigError, match="is the most"):
        read_tile_table(file)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs the memory marks of Linux")
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_table_when_it_is_large_then_only_what_is_needed_is_in_memory(tmp_path: Path, suffix: str) -> None:
    """The other columns have 300 MB as text: whoever reads them as well needs twice what is allowed."""
    rows = 300_000
    text = [f"{i:x>500}" for i in range(rows)]
    frame = table(rows).assign(more=text, least=text)
    code = """
import pathlib, sys
from geo_assets.eo.tile_table import read_tile_table
# The mark of this process: what getrusage tells began as that of its parent
peak = lambda: next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM:"))
base = peak()
table = read_tile_table(pathlib.Path(sys.argv[1]))
print(len(table), (peak() - base) / 1024)
"""
    file = write(frame, tmp_path / f"t.{suffix}")
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    count, mb = done.stdout.split()
    assert int(count) == rows
    assert 0 < float(mb) < 200


def test_pieces_when_text_is_asked_for_then_it_stays_as_it_is_written(tmp_path):
    frame = pd.DataFrame({"X": [1.0, 2.0], "Y": [1.0, 2.0], "code": ["007", ""]})
    (piece,) = pieces(write(frame, tmp_path / "t.csv"), texts=["code"])
    assert piece.columns["code"].to_pylist() == ["007", ""]
    assert piece.first == 1


def test_boxes_when_tiles_are_neighbours_then_they_share_their_edge_exactly(tmp_path):
    frame = pd.DataFrame(
        {"X": [(k + 0.5) / 18 for k in range(-40, 40)], "Y": 10 / 36, "Y_tile": 1, "X_tile": range(80)}
    )
    boxes = tile_boxes(write(pd.concat([frame, frame[:3]]), tmp_path / "t.csv"))
    assert len(boxes) == 80
    edges = sorted((b.bounds[0], b.bounds[2]) for b in boxes)
    assert all(one[1] == two[0] for one, two in itertools.pairwise(edges))
