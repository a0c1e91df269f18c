"""What ``geo-assets request`` prints, writes and returns."""

import csv
import io
import json
import os
import random
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

from geo_assets.doors import cli
from geo_assets.doors import request as door
from geo_assets_tests.eo.tile_tables import ids, table, write

FRAME = table(5_000)
TILES = ids(FRAME)
HEAD = "Year,X,Y,Y_tile,X_tile"


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    def lines(self, word: str) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith(f"{word}: ")]


@pytest.fixture
def ga(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(tmp_path)
    write(FRAME, tmp_path / "all.parquet")

    def call(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["geo-assets", "request", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return Said(int(end.value.code or 0), said.out, said.err)

    return call


def ask(folder: Path, *entries: Any, year: str = "2023", name: str = "r.json") -> str:
    (folder / name).write_text(json.dumps({"p": {year: {"missing_tiles": list(entries)}}}))
    return name


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_request_when_200_tiles_have_bad_unknown_and_repeated_ones_then_all_are_told(ga, tmp_path):
    bad, unknown, again = ["foo", "1035X727", 7, ""], ["9999X1Y", "1X9999Y"], TILES[:5]
    entries = [*TILES[:200], *bad, *unknown, *again]
    random.Random(4).shuffle(entries)
    file = ask(tmp_path, *entries)
    said = ga(file, "--tiles", "all.parquet")
    assert said.code == 1
    assert said.out.splitlines()[0] == HEAD
    assert (len(rows(said.out)), len(said.lines("refused")), len(said.lines("duplicate"))) == (200, 6, 5)
    assert 'refused: "9999X1Y" of project "p", 2023: the table has no tile of this id' in said.err
    as_json = ga(file, "--tiles", "all.parquet", "--json")
    assert (as_json.code, as_json.err) == (1, "")
    found = as_json.document
    assert [set(t) for t in found["tiles"]] == [set(HEAD.split(","))] * 200
    assert {n["token"] for n in found["refused"]} == {"foo", "1035X727", "7", "", "9999X1Y", "1X9999Y"}
    assert len(found["tiles"]) + len(found["refused"]) + len(found["duplicates"]) == found["given"] == len(entries)
    assert [(t["X_tile"], t["Y_tile"]) for t in found["tiles"]] == sorted(
        (t["X_tile"], t["Y_tile"]) for t in found["tiles"]
    )
    assert [{k: str(v) for k, v in t.items()} for t in found["tiles"]] == rows(said.out)


def test_request_when_all_is_accepted_then_0_and_a_file_with_the_same_lines(ga, tmp_path):
    file = ask(tmp_path, *TILES[:9])
    printed = ga(file, "--tiles", "all.parquet")
    said = ga(file, "--tiles", "all.parquet", "--csv", "out.csv")
    assert (printed.code, said.code, said.err) == (0, 0, "")
    assert said.out == "wrote out.csv: 9 tiles, 0 refused, 0 given again\n"
    assert (tmp_path / "out.csv").read_text() == printed.out
    assert set(os.listdir(tmp_path)) == {"r.json", "all.parquet", "out.csv"}
    as_json = ga(file, "--tiles", "all.parquet", "--csv", "out.csv", "--json").document
    assert (as_json["csv"], len(as_json["tiles"])) == ("out.csv", 9)


@pytest.mark.parametrize("entries", [[], ["foo"], ["9999X1Y", None]])
def test_request_when_nothing_is_left_then_2_and_nothing_is_written(ga, tmp_path, entries):
    file = ask(tmp_path, *entries)
    (tmp_path / "out.csv").write_text("mine")
    said = ga(file, "--tiles", "all.parquet", "--csv", "out.csv")
    as_json = ga(file, "--tiles", "all.parquet", "--json")
    assert (said.code, said.out, as_json.code) == (2, "", 2)
    assert (len(said.lines("refused")), len(said.lines("error"))) == (len(entries), 1)
    assert (len(as_json.document["refused"]), as_json.document["tiles"]) == (len(entries), [])
    assert as_json.document["error"]["kind"] == "ConfigError"
    assert (tmp_path / "out.csv").read_text() == "mine"


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff\xfe", b"[" * 10_000, b'{"p": NaN}', b"[]", b'{"p": 1}', b'{"p": {"2023": ["1X1Y"]}}', b'{"p": {"20x3": {"missing_tiles": []}}}',
        b'{"p": {}, "p": {}}', b" " * 33_000_000, b'{"p": ' + b"1" * 5_000 + b"}",
    ],
    ids=lambda v: str(v)[:16],
)  # fmt: skip
def test_request_when_its_file_is_hostile_then_2_and_one_line(ga, tmp_path, content):
    (tmp_path / "r.json").write_bytes(content)
    said = ga("r.json", "--tiles", "all.parquet", "--csv", "out.csv")
    as_json = ga("r.json", "--tiles", "all.parquet", "--json")
    assert (said.code, said.out, len(said.err.splitlines()), as_json.code) == (2, "", 1, 2)
    assert as_json.document["error"]["kind"] == "ConfigError"
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("X,Y,X_tile\n1,1,1\n", "column 'Y_tile' is missing"), ("X,Y,X_tile,Y_tile\n1,1,1,1\n2,2,1,1\n", "1X1Y stands in 2 rows"),
        ("X,Y,X_tile,Y_tile\n1,91,1,1\n", "row 1"), ("X,Y,X_tile,Y_tile\nx,1,1,1\n", "not a readable"), ("", "is missing"),
    ],
)  # fmt: skip
def test_request_when_its_table_is_none_then_2_and_nothing_is_written(ga, tmp_path, text, said):
    (tmp_path / "t.csv").write_text(text)
    told = ga(ask(tmp_path, TILES[0]), "--tiles", "t.csv", "--csv", "out.csv")
    assert (told.code, told.out) == (2, "")
    assert said in told.err
    assert not (tmp_path / "out.csv").exists()


def test_request_when_a_file_is_not_there_or_no_file_then_2(ga, tmp_path):
    file = ask(tmp_path, TILES[0])
    for arguments in (("none.json", "all.parquet"), (".", "all.parquet"), (os.devnull, "all.parquet"), (file, "none.csv"), (file, "."), (file, "r.json")):  # fmt: skip
        said = ga(arguments[0], "--tiles", arguments[1])
        assert (said.code, len(said.lines("error"))) == (2, 1), arguments
    assert ga(file).code == 2


@pytest.mark.parametrize("out", [".", "none/out.csv", "r.json", "all.parquet", "link.json", os.devnull])
def test_request_when_its_target_cannot_be_written_then_2_and_the_inputs_stay(ga, tmp_path, out):
    file = ask(tmp_path, TILES[0])
    (tmp_path / "link.json").symlink_to("r.json")
    before = [(tmp_path / name).read_bytes() for name in ("r.json", "all.parquet")]
    said = ga(file, "--tiles", "all.parquet", "--csv", out)
    assert (said.code, said.out) == (2, "")
    assert f"--csv {out}" in said.err
    assert [(tmp_path / name).read_bytes() for name in ("r.json", "all.parquet")] == before


def test_request_when_writing_fails_then_what_was_there_stays_and_no_part_is_left(ga, tmp_path, monkeypatch):
    def full(answer: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(door, "tiles_csv", full)
    (tmp_path / "out.csv").write_text("mine")
    said = ga(ask(tmp_path, TILES[0]), "--tiles", "all.parquet", "--csv", "out.csv")
    assert said.code == 1
    assert "No space left" in said.err
    assert (tmp_path / "out.csv").read_text() == "mine"
    assert set(os.listdir(tmp_path)) == {"r.json", "all.parquet", "out.csv"}


def test_request_when_ids_steer_a_screen_then_they_are_shown_as_text(ga, tmp_path):
    said = ga(ask(tmp_path, "\x1b[2J[red]", "\ud800", "x" * 1_000, TILES[0]), "--tiles", "all.parquet")
    assert said.code == 1
    assert "\x1b" not in said.err
    assert max(map(len, said.err.splitlines())) < 300
    assert r'refused: "\u001b[2J[red]" of project' in said.err


def test_request_when_the_table_is_csv_then_the_same_comes_out(ga, tmp_path):
    write(FRAME.sample(frac=1, random_state=1), tmp_path / "all.csv")
    file = ask(tmp_path, *TILES[:50])
    assert ga(file, "--tiles", "all.csv").out == ga(file, "--tiles", "all.parquet").out


def test_request_when_its_csv_is_the_next_table_then_it_gives_itself(ga, tmp_path):
    file = ask(tmp_path, *TILES[:50])
    ga(file, "--tiles", "all.parquet", "--csv", "out.csv")
    again = ga(file, "--tiles", "out.csv")
    assert (again.code, again.out) == (0, (tmp_path / "out.csv").read_text())
    assert len(pd.read_csv(tmp_path / "out.csv")) == 50
