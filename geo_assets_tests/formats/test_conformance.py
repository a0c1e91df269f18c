import pytest

from geo_assets.registry import available
from geo_assets.testing.conformance_format import FormatConformance


class TestFormats(FormatConformance):
    @pytest.fixture(params=sorted(available("formats")))
    def name(self, request: pytest.FixtureRequest) -> str:
        return request.param
