from hypothesis import given
from hypothesis import strategies as st

from geo_assets.eo.windows import rectangles

CHUNKS = st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)))


@given(CHUNKS, st.integers(1, 30))
def test_rectangles_when_made_then_each_chunk_is_in_one_and_nothing_else_is(chunks, most):
    covered = [
        (r, c)
        for row, col, rows, cols in rectangles(chunks, max_chunks=most)
        for r in range(row, row + rows)
        for c in range(col, col + cols)
    ]
    assert len(covered) == len(set(covered))
    assert set(covered) == chunks


@given(CHUNKS, st.integers(1, 30))
def test_rectangles_when_made_then_none_is_larger_than_allowed(chunks, most):
    assert all(rows * cols <= most for _, _, rows, cols in rectangles(chunks, max_chunks=most))


def test_rectangles_when_a_block_is_full_then_it_is_one():
    assert rectangles([(r, c) for r in range(4) for c in range(4)], max_chunks=16) == [(0, 0, 4, 4)]


def test_rectangles_when_memory_is_short_then_rows_are_cut():
    assert rectangles([(r, c) for r in range(4) for c in range(4)], max_chunks=8) == [(0, 0, 2, 4), (2, 0, 2, 4)]
    assert rectangles([(0, c) for c in range(5)], max_chunks=2) == [(0, 0, 1, 2), (0, 2, 1, 2), (0, 4, 1, 1)]


def test_rectangles_when_chunks_form_a_cross_then_each_part_is_one():
    cross = {(1, c) for c in range(3)} | {(r, 1) for r in range(3)}
    assert rectangles(cross, max_chunks=9) == [(0, 1, 1, 1), (1, 0, 1, 3), (2, 1, 1, 1)]


def test_rectangles_when_nothing_is_asked_then_there_are_none():
    assert rectangles([], max_chunks=4) == []
