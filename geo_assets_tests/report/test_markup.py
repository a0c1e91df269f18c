import pytest

from geo_assets.report.markup import Markup, data_size, duration, el, percent


def test_el_when_children_are_text_then_escaped_and_markup_is_kept():
    assert el("p", "<&", el("b", 1), None, [" ", "x"], title='"') == '<p title="&quot;">&lt;&amp;<b>1</b> x</p>'
    assert isinstance(el("p"), Markup)


@pytest.mark.parametrize(
    ("got", "wanted"),
    [
        (percent(0), "0 %"), (percent(0.001), "< 1 %"), (percent(0.999), "99 %"), (percent(1), "100 %"), (data_size(999), "999 B"),
        (data_size(1_500), "1.5 kB"), (data_size(999_600), "1.0 MB"), (data_size(2.5e15), "2,500 TB"), (duration(8.14), "8.1 s"),
        (duration(90), "1 min 30 s"), (duration(1000), "17 min"), (duration(36_000), "10.0 h"),
    ],
)  # fmt: skip
def test_numbers_when_shown_then_as_people_read_them(got, wanted):
    assert got == wanted
