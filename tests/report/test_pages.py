from base64 import b64decode
from html.parser import HTMLParser

import pytest

from lightning_nlp.report.figures import new_figure, save_figure
from lightning_nlp.report.pages import Picture, Section, Svg, Table, write_page

ATTACK = "\"><script>alert('&')</script>"
VOID = {"meta", "img"}


class Reader(HTMLParser):
    """Collects tags, attributes and text, and insists that tags nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: dict[str, list[str | None]] = {}
        self.texts: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.open += [tag] if tag not in VOID else []
        for name, value in attributes:
            self.attributes.setdefault(name, []).append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def read(file) -> Reader:
    reader = Reader()
    reader.feed(file.read_text(encoding="utf-8"))
    reader.close()
    assert not reader.open
    return reader


def attacked_page(folder):
    blocks = [ATTACK, Table([ATTACK], [[ATTACK], [0.5], [None]]), Picture(b"png", ATTACK)]
    return write_page(folder / "deep" / "page.html", ATTACK, [Section(ATTACK, blocks)])


def test_every_text_is_escaped_and_reads_as_it_was(tmp_path):
    reader = read(attacked_page(tmp_path))
    assert "script" not in reader.tags
    assert reader.texts.count(ATTACK) == 6  # title twice, heading, paragraph, column, cell
    assert reader.attributes["alt"] == [ATTACK]


def test_page_needs_nothing_else(tmp_path):
    page = attacked_page(tmp_path)
    reader = read(page)
    assert not {"link", "iframe", "object"} & set(reader.tags)
    assert all(source.startswith("data:image/png;base64,") for source in reader.attributes["src"])
    assert any("default-src 'none'" in (value or "") for value in reader.attributes["content"])
    assert "http://" not in page.read_text() and "https://" not in page.read_text()  # noqa: PT018


def test_picture_is_carried_inside(tmp_path):
    figure, _ = new_figure(2, 1)
    png = save_figure(figure, "empty", tmp_path).read_bytes()
    reader = read(write_page(tmp_path / "page.html", "t", [Section("s", [Picture(png, "an empty figure")])]))
    (source,) = reader.attributes["src"]
    assert b64decode(source.removeprefix("data:image/png;base64,")) == png


def test_drawing_goes_in_as_it_is_but_a_string_that_looks_like_one_does_not(tmp_path):
    markup = '<svg viewBox="0 0 1 1"><path d="M0 0"></path></svg>'
    reader = read(write_page(tmp_path / "page.html", "t", [Section("s", [Svg(markup), markup])]))
    assert reader.tags.count("svg") == 1
    assert markup in reader.texts


def test_table_cells_stand_in_order(tmp_path):
    table = Table(["word", "score"], [["שלום", 0.25], ["b", 7], ["", None]])
    reader = read(write_page(tmp_path / "page.html", "t", [Section("s", [table])]))
    assert [text for text in reader.texts if text.strip()][3:] == ["s", "word", "score", "שלום", "0.250", "b", "7"]
    assert reader.tags.count("td") == 6


def test_ragged_table_is_refused_and_nothing_written(tmp_path):
    with pytest.raises(ValueError, match="table row 1"):
        write_page(tmp_path / "page.html", "t", [Section("s", [Table(["a"], [[1, 2]])])])
    assert not list(tmp_path.iterdir())
