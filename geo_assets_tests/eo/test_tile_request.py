import csv
import io
import json
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.eo.tile_request import COLUMNS, MAX_REQUEST_BYTES, answer_request, parse_request, tiles_csv
from geo_assets.errors import ConfigError
from geo_assets_tests.eo.tile_tables import ids, known, table

FRAME = table(60)
TABLE = known(FRAME)
IDS = ids(FRAME)
ROWS = dict(zip(IDS, FRAME.itertuples(), strict=True))
RULE = re.compile(r"^\s*(-?\d+)X(-?\d+)Y\s*$")
BAD = st.text(max_size=8) | st.sampled_from(
    ["", "1035X727", "X727Y", "1035x727y", "1.0X2Y", "1X2Y3", "+1X2Y", "--1X2Y", "1 X2Y"]
)
ODD = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.lists(st.just("1X1Y"))
    | st.just({"a": 1})
    | st.just(10**5000)
)
UNKNOWN = st.builds("{}X{}Y".format, st.integers(9000, 10**30), st.integers(-(10**30), 10**30)) | st.just(
    "9" * 5000 + "X1Y"
)
GOOD = st.builds(
    lambda a, i, b: a + i + b,
    st.sampled_from(["", " ", "\t", "\n"]),
    st.sampled_from(IDS[:9]),
    st.sampled_from(["", "  ", "\r\n"]),
)
ENTRIES = st.lists(GOOD | BAD | UNKNOWN | ODD, max_size=12)
YEARS = st.sampled_from(["2017", "2023", "2024"])
REQUESTS = st.dictionaries(st.text(max_size=5), st.dictionaries(YEARS, ENTRIES, max_size=3), min_size=1, max_size=3)


def request(projects):
    return {p: {y: {"missing_tiles": entries} for y, entries in years.items()} for p, years in projects.items()}


def of(*entries, year="2023"):
    return answer_request(request({"p": {year: list(entries)}}), TABLE)


@given(REQUESTS)
def test_answer_when_entries_are_any_then_none_vanishes(projects):
    answer = answer_request(request(projects), TABLE)
    entries = [(p, int(y), e) for p, years in projects.items() for y, listed in years.items() for e in listed]
    assert answer.given == len(entries)
    found = [(p, y, e.strip()) for p, y, e in entries if isinstance(e, str) and e.strip() in IDS]
    assert {(t.Year, f"{t.X_tile}X{t.Y_tile}Y") for t in answer.tiles} == {(y, e) for _, y, e in found}
    assert len({(t.Year, t.X_tile, t.Y_tile) for t in answer.tiles}) == len(answer.tiles)
    assert len(answer.duplicates) == len(found) - len(answer.tiles)
    assert {(n.project, n.year) for n in answer.refused} <= {(p, y) for p, y, _ in entries}
    assert all(n.reason for n in (*answer.refused, *answer.duplicates))
    json.dumps(answer.document())


@given(st.lists(st.text(max_size=12) | GOOD | UNKNOWN, max_size=9))
def test_answer_when_entries_are_texts_then_those_refused_are_told_as_they_were_given(entries):
    answer = of(*entries)
    assert sorted(n.token for n in answer.refused) == sorted(e for e in entries if e.strip() not in IDS)


@given(REQUESTS, st.randoms())
def test_answer_when_it_is_asked_in_another_order_then_it_is_the_same(projects, chance):
    def mixed(things):
        things = list(things)
        chance.shuffle(things)
        return things

    other = {p: {y: mixed(projects[p][y]) for y in mixed(projects[p])} for p in mixed(projects)}
    one, two = (answer_request(request(r), TABLE) for r in (projects, other))
    assert one == two
    assert list(one.tiles) == sorted(one.tiles, key=lambda t: (t.Year, t.X_tile, t.Y_tile))


@given(st.text(alphabet="0123456789-XY \n", max_size=10))
def test_answer_when_a_token_fits_the_rule_then_it_is_an_id_and_else_none(token):
    answer = of(token)
    reasons = {n.reason.split(":")[0] for n in answer.refused}
    assert reasons <= ({"the table has no tile of this id"} if RULE.match(token) else {"not the id of a tile"})


def test_answer_when_two_hundred_tiles_are_asked_for_then_each_entry_is_accounted_for():
    frame = table(5_000)
    tiles = ids(frame)
    wanted, again = tiles[:200], tiles[:7]
    bad, unknown = ["", "foo", "1035X727", 5, None], ["999999X1Y", "1X999999Y", "999999X1Y"]
    entries = [*wanted, *again, *bad, *unknown]
    random.Random(1).shuffle(entries)
    answer = answer_request(request({"p": {"2023": entries}}), known(frame))
    assert (len(answer.tiles), len(answer.refused), len(answer.duplicates)) == (200, 8, 7)
    assert answer.given == len(entries) == 215
    rows = dict(zip(tiles, frame.itertuples(), strict=True))
    for tile in answer.tiles:
        row = rows[f"{tile.X_tile}X{tile.Y_tile}Y"]
        assert (tile.Year, tile.X, tile.Y) == (2023, row.X, row.Y)
    assert sorted(n.token for n in answer.duplicates) == sorted(again)


def test_answer_when_an_id_is_read_then_its_first_number_is_x_tile():
    only = table(1).assign(X=10.0, Y=20.0, X_tile=1035, Y_tile=727)
    for token, count in (("1035X727Y", 1), ("727X1035Y", 0)):
        found = answer_request(request({"p": {"2023": [token]}}), known(only)).tiles
        assert [(t.X_tile, t.Y_tile, t.X, t.Y) for t in found] == [(1035, 727, 10.0, 20.0)] * count


def test_answer_when_projects_ask_for_the_same_tile_then_it_is_made_once_a_year():
    years = {"2023": [IDS[0]], "2024": [IDS[0]]}
    answer = answer_request(request({"b": years, "a": years}), TABLE)
    assert [t.Year for t in answer.tiles] == [2023, 2024]
    assert [(n.project, n.year) for n in answer.duplicates] == [("b", 2023), ("b", 2024)]


def test_answer_when_an_id_is_written_in_two_ways_then_it_is_the_same_tile():
    only = known(table(1).assign(X_tile=7, Y_tile=-3))
    answer = answer_request(request({"p": {"2023": ["7X-3Y", " 007X-03Y "]}}), only)
    assert (len(answer.tiles), [n.token for n in answer.duplicates]) == (1, ["7X-3Y"])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([], "no object with projects"), ({}, "no object with projects"), ("x", "no object with projects"), (None, "no object with projects"),
        ({"p": []}, "project 'p' is no object with years"), ({"p": {"2023": []}}, "has no missing_tiles"),
        ({"p": {"2023": {"missing": []}}}, "project 'p', year 2023 has no missing_tiles"), ({"p": {"2023": {"missing_tiles": "1X1Y"}}}, "is no list"),
        ({"p": {"2023": {"missing_tiles": {"1X1Y": 1}}}}, "is no list"), ({"p": {"23": {"missing_tiles": []}}}, "'23' is no year"),
        ({"p": {"0000": {"missing_tiles": []}}}, "no year"), ({"p": {"٢٠٢٣": {"missing_tiles": []}}}, "no year"), ({"p": {" 2023": {"missing_tiles": []}}}, "no year"),
        ({"p": {"9999": {"missing_tiles": []}}}, "no year from 1900 to 2100"), ({"p": {"2023": {"missing_tiles": []}, "x": {}}}, "'x' is no year"),
        ({"\x1b[2J": 1}, "project '�\\[2J'"),
    ],
)  # fmt: skip
def test_answer_when_the_request_has_another_shape_then_it_is_refused_whole(wrong, said):
    with pytest.raises(ConfigError, match=said):
        answer_request(wrong, TABLE)


def test_answer_when_other_keys_are_there_then_they_are_left_alone():
    part = {"missing_tiles": [IDS[0]], "count": 1}
    assert len(answer_request({"p": {"2023": part}}, TABLE).tiles) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"), (b"{", "not JSON"), (b'{"p": NaN}', "NaN is no number"), (b'{"p": -Infinity}', "Infinity is no number"), (b"\xff\xfe{", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"), (b'{"a":' * 100_000, "nested too deeply"), (b" " * (MAX_REQUEST_BYTES + 1), "over 32 MB"),
        (b'{"p": ' + b"9" * 5000 + b"}", "not JSON"), (b'{"p": 1, "q": 2, "p": 3}', "'p' is given twice"),
        (b'{"p": {"2023": {"missing_tiles": []}, "2023": {"missing_tiles": ["1X1Y"]}}}', "'2023' is given twice"),
        (b'{"p": {"2023": {"missing_tiles": [], "missing_tiles": ["1X1Y"]}}}', "'missing_tiles' is given twice"),
    ],
    ids=lambda v: str(v)[:20],
)  # fmt: skip
def test_parse_when_the_text_is_hostile_or_means_two_things_then_it_is_refused(content, said):
    with pytest.raises(ConfigError, match=f"r.json .*{said}"):
        parse_request(content, where="r.json")


def test_parse_when_it_begins_with_a_mark_then_it_is_read():
    assert parse_request('﻿{"p": {}}'.encode()) == {"p": {}}


def test_csv_when_read_back_then_every_value_is_the_same():
    answer = of(*IDS)
    text = tiles_csv(answer.tiles)
    assert text.splitlines()[0] == "Year,X,Y,Y_tile,X_tile" == ",".join(COLUMNS)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == len(IDS)
    for row in rows:
        tile = ROWS[f"{row['X_tile']}X{row['Y_tile']}Y"]
        assert (float(row["X"]), float(row["Y"]), row["Year"]) == (tile.X, tile.Y, "2023")
    assert "\r" not in text
