"""A process that upserts overlapping rows round by round, and writes down what was committed: ``upserter ROOT NAME FIRST ROUNDS LOG``."""

import datetime as dt
import os
import random
import sys

from geo_assets.model.chip_table import ChipTable
from geo_assets.model.recipe import TablesRecipe
from geo_assets.registry import load
from geo_assets.testing.conformance_table import chips

CHIPS, ROWS = 30, 6


def rows_of(name: str, number: int):
    """Rows of a round; ``clear_fraction`` tells which round of whom wrote them."""
    numbers = random.Random(f"{name} {number}").sample(range(CHIPS), ROWS)
    return chips(numbers, day=dt.date(2024, 3 + number % 2, 5), clear=int(name) + number / 100)


def main(root: str, name: str, first: str, rounds: str, log: str) -> None:
    """Upsert; each round is logged after its commit."""
    table: ChipTable = load("tables", "iceberg").open(TablesRecipe(kind="iceberg"), root, "chips")
    for number in range(int(first), int(rounds)):
        table.upsert(rows_of(name, number))
        with open(log, "a") as file:
            file.write(f"{name} {number}\n")
            file.flush()
            os.fsync(file.fileno())


if __name__ == "__main__":
    main(*sys.argv[1:])
