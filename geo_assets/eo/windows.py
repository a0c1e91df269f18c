"""Chunks of a block as few rectangles that fit into memory."""

from collections.abc import Iterable

Rectangle = tuple[int, int, int, int]


def rectangles(chunks: Iterable[tuple[int, int]], *, max_chunks: int) -> list[Rectangle]:
    """Disjoint rectangles that cover exactly these chunks: row, column, rows, columns, in chunks.

    Runs within a row are joined, then equal runs of following rows, as long as a rectangle has at most ``max_chunks``.
    """
    rows: dict[int, list[int]] = {}
    for row, col in sorted(set(chunks)):
        rows.setdefault(row, []).append(col)
    done: list[Rectangle] = []
    growing: dict[tuple[int, int], Rectangle] = {}
    for row in sorted(rows):
        following: dict[tuple[int, int], Rectangle] = {}
        for col, width in _runs(rows[row], max_chunks):
            above = growing.pop((col, width), None)
            if above and above[0] + above[2] == row and (above[2] + 1) * width <= max_chunks:
                following[col, width] = (above[0], col, above[2] + 1, width)
            else:
                done += [above] if above else []
                following[col, width] = (row, col, 1, width)
        done += growing.values()
        growing = following
    return sorted([*done, *growing.values()])


def _runs(cols: list[int], longest: int) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for col in cols:
        if runs and sum(runs[-1]) == col and runs[-1][1] < max(1, longest):
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((col, 1))
    return runs
