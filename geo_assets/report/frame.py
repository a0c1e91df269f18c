"""The page that every report is: its style, its head with links, and its sections."""

import string
from collections.abc import Iterable, Sequence
from importlib import resources

from geo_assets.report.markup import Markup, el


def page(title: str, head: Markup, body: Markup) -> str:
    """A whole HTML document: no network, no script."""
    file = resources.files("geo_assets.report").joinpath("page.html")
    template = string.Template(file.read_text(encoding="utf-8"))
    return template.substitute(title=el("title", title), head=head, body=body)


def contents(sections: Iterable[tuple[str, str]]) -> Markup:
    """Links to sections, each given by its name and heading."""
    return el("nav", el("ul", [el("li", el("a", text, href=f"#{name}")) for name, text in sections]), aria_label="Contents")  # fmt: skip


def section(name: str, heading: str, *content: object) -> Markup:
    """A section that can be linked to."""
    return el("section", el("h2", heading, id=f"{name}-heading"), *content, id=name, aria_labelledby=f"{name}-heading")


def tiles(figures: Sequence[tuple[str, str, str]]) -> Markup:
    """Figures side by side, each with its name, its value and a note."""
    shown = [el("div", el("dt", name), el("dd", el("strong", value), el("span", note))) for name, value, note in figures]  # fmt: skip
    return el("dl", shown, class_="tiles")


def commands(title: str, lines: Sequence[str]) -> Markup:
    """Lines that are typed somewhere, to be copied as a whole."""
    return Markup(el("h3", title) + el("pre", el("code", "\n".join(lines)), tabindex="0"))
