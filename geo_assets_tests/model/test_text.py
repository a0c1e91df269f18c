import pytest

from geo_assets.model.text import first_line, printable, told, without_secrets


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("password=hunter2 at https://u:p@host/x?sig=SECRET", "password=*** at https://host/x"),
        ("DASK_COILED__TOKEN: abc, and more", "DASK_COILED__TOKEN: ***, and more"),
        (
            "{'aws_secret_access_key': 'abc', 'region': 'us-west-2'}",
            "{'aws_secret_access_key': ***, 'region': 'us-west-2'}",
        ),
        ("api_key=***", "api_key=***"),
        ("tokens are counted, the secret is out", "tokens are counted, the secret is out"),
        ("a key: value", "a key: value"),
    ],
)
def test_text_when_it_names_a_secret_then_its_value_is_gone(text, wanted):
    assert without_secrets(text) == wanted
    assert without_secrets(wanted) == wanted


def test_text_when_it_steers_a_screen_then_it_does_not_any_more():
    assert printable("\x1b[31mred\u202e") == "\N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER}"


def test_error_when_it_is_told_then_it_is_one_line_without_secrets():
    assert told(RuntimeError("token=abc\nat https://u:p@h/x")) == "RuntimeError: token=***"
    assert told(KeyError()) == "KeyError"


class Mute(Exception):
    """An error that cannot describe itself."""

    def __str__(self):
        raise ValueError("no words")


def test_error_when_it_cannot_describe_itself_then_its_class_is_told():
    assert first_line(Mute()) == ""
    assert told(Mute()) == "Mute"
