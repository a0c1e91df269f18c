"""Errors cross processes, and say by their class what a handler should do."""

import copy
import pickle

import pytest

from geo_assets import errors
from geo_assets.errors import GeoAssetsError


def tree(error=GeoAssetsError):
    yield error
    for below in error.__subclasses__():
        if below.__module__.startswith("geo_assets."):
            yield from tree(below)


@pytest.mark.parametrize("error", list(tree()), ids=lambda e: e.__name__)
def test_error_survives_pickling_with_its_message(error):
    original = error("region r, month m: what happened; what to do — é")
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(original, protocol))
        assert type(again) is error
        assert str(again) == str(original)
        assert again.retryable == original.retryable
    assert str(copy.copy(original)) == str(original)


def test_class_says_what_a_retry_can_help():
    ours = [e for e in tree() if e.__module__ == errors.__name__]
    assert {e.__name__ for e in ours if e.retryable} == {"CatalogError", "StoreError", "ConflictError", "ComputeError"}


def test_errors_are_what_a_handler_of_python_expects():
    assert issubclass(errors.ConfigError, ValueError)
    assert issubclass(errors.PluginError, LookupError)
