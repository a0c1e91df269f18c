import itertools

import numpy as np
import pytest

from geo_assets.eo._network import BOTH, LESS, MORE, median, middle, networks, sorting


def led(columns: np.ndarray, comparators: list[tuple[int, int, int]]) -> np.ndarray:
    """Columns after the comparators; a result that is not kept is spoilt, so that nothing may look at it."""
    rows = columns.astype(float)
    for low, high, kept in comparators:
        a, b = rows[low].copy(), rows[high].copy()
        rows[low] = np.minimum(a, b) if kept in (BOTH, LESS) else np.nan
        rows[high] = np.maximum(a, b) if kept in (BOTH, MORE) else np.nan
    return rows


def zeros_and_ones(wires: int) -> np.ndarray:
    """All columns of zeros and ones: what sorts them sorts everything (Knuth, The Art of Computer Programming, 5.3.4)."""
    return np.array(list(itertools.product([0, 1], repeat=wires))).T.reshape(wires, -1)


@pytest.mark.parametrize("wires", range(1, 13))
def test_sorting_when_the_wires_hold_anything_then_they_are_in_order(wires):
    columns = zeros_and_ones(wires)
    done = led(columns, [(low, high, BOTH) for low, high in sorting(wires)])
    assert np.array_equal(done, np.sort(columns, axis=0))


@pytest.mark.parametrize("wires", range(1, 13))
def test_median_when_comparators_are_left_out_then_its_wires_are_those_of_the_whole_network(wires):
    columns = zeros_and_ones(wires)
    needed = list(middle(wires))
    assert np.array_equal(led(columns, median(wires))[needed], np.sort(columns, axis=0)[needed])


@pytest.mark.parametrize(("wires", "expected"), [(1, (0, 0)), (2, (0, 1)), (3, (0, 1)), (4, (1, 2)), (5, (1, 2))])
def test_middle_when_one_may_be_missing_then_an_odd_network_looks_one_wire_lower_too(wires, expected):
    assert middle(wires) == expected


def test_networks_when_in_one_table_then_each_is_found_in_it():
    table = networks(9)
    for wires in range(10):
        rows = table.comparators[table.starts[wires] : table.starts[wires + 1]]
        assert [tuple(r) for r in rows.tolist()] == median(wires)
        assert tuple(table.wires[wires].tolist()) == middle(wires)
