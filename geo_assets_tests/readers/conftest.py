"""What tests of readers share."""

import pytest

from geo_assets.readers._files import HEADS


@pytest.fixture(autouse=True)
def no_kept_heads():
    """Servers of two tests may have the same port, and so their files the same address."""
    HEADS.clear()
    yield
    HEADS.clear()
