import datetime as dt

import pyarrow as pa
import pytest

from geo_assets.errors import ConfigError
from geo_assets.model.chip_table import COLUMNS, KEY, Where, best, checked
from geo_assets.testing.conformance_table import chips


def test_where_when_a_time_has_no_zone_then_it_is_refused():
    with pytest.raises(ConfigError, match="after 2024-01-01 00:00:00 has no time zone"):
        Where(after=dt.datetime(2024, 1, 1))  # noqa: DTZ001 - that is what is refused


@pytest.mark.parametrize("bounds", [(0, 10, 1, 5), (0, -91, 1, 5), (-181, 0, 1, 5), (0, 0, float("nan"), 1)])
def test_where_when_bounds_are_none_then_they_are_refused(bounds):
    with pytest.raises(ConfigError, match="give west, south, east, north in degrees"):
        Where(bounds=bounds)


def test_checked_when_columns_come_in_another_order_then_in_that_of_the_table_and_further_ones_last():
    given = chips([0, 1], snow=0.5)
    mixed = given.select(sorted(given.column_names))
    assert checked(mixed).column_names == [*COLUMNS.names, "snow"]


def test_checked_when_a_required_value_lacks_then_it_is_refused():
    given = chips([0])
    empty = given.set_column(given.column_names.index("href"), "href", [[None]])
    with pytest.raises(ConfigError, match="have no href"):
        checked(empty)


def test_checked_when_a_type_does_not_fit_then_it_is_refused():
    given = chips([0])
    odd = given.set_column(given.column_names.index("index"), "index", [["first"]])
    with pytest.raises(ConfigError, match="rows of chips: "):
        checked(odd)


def test_checked_when_a_key_is_there_twice_in_all_but_one_column_then_it_is_no_key():
    assert set(KEY) <= set(COLUMNS.names)
    both = [chips([0]), chips([0], sensor="dem")]
    assert checked(both[0]).num_rows + checked(both[1]).num_rows == 2


def test_best_when_scenes_share_a_key_then_the_fullest_then_the_clearest_then_the_first_by_id():
    given = [chips([0], clear=0.2), chips([0], clear=0.4), chips([1], clear=0.1)]
    assert best(pa.concat_tables(given))["clear_fraction"].to_pylist() == [0.4, 0.1]
    place = given[0].column_names.index("valid_fraction")
    part = given[1].set_column(place, "valid_fraction", [[0.5]])
    assert best(pa.concat_tables([checked(part), given[0], given[2]]))["clear_fraction"].to_pylist() == [0.2, 0.1]
