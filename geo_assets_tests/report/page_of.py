"""A page as a browser sees it."""

import html.parser

VOID = {"meta", "img", "br", "link", "input"}


class Page(html.parser.HTMLParser):
    """Tags and text of a page; fails on tags that are not closed in order."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.text, self._open = [], "", []
        self.source = source
        self.feed(source)
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" not in self._open:
            self.text += data + " "

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]
