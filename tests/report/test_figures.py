from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot
from pytorch_lightning.loggers import CSVLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from lightning_nlp.report.figures import GAP, font_families, new_figure, overlaps, save_figure, scatter_labels, spread
from lightning_nlp.report.tables import save_table

PNG = b"\x89PNG"


class Tracker:
    """Stands for a logger that takes pictures, by keyword as WandbLogger does."""

    def __init__(self) -> None:
        self.pictures: list[tuple[str, list[str]]] = []

    def log_image(self, key, images):
        self.pictures.append((key, images))


def line_figure():
    figure, axes = new_figure(3, 2)
    axes.plot([0, 1], [0, 1])
    return figure


def test_one_call_writes_the_file_and_shows_it(tmp_path):
    tracker = Tracker()
    file = save_figure(line_figure(), "loss", tmp_path, [CSVLogger(tmp_path), tracker])
    assert file == tmp_path / "figures" / "loss.png"
    assert file.read_bytes().startswith(PNG)
    assert tracker.pictures == [("figures/loss", [str(file)])]


def test_a_figure_can_be_drawn_on_and_saved_again(tmp_path):
    figure = line_figure()
    first = save_figure(figure, "attention/a", tmp_path).read_bytes()
    figure.axes[0].plot([0, 1], [1, 0])
    assert save_figure(figure, "attention/b", tmp_path).read_bytes() != first


def test_same_figure_gives_the_same_file(tmp_path):
    files = [save_figure(scatter_labels([[0, 0], [1, 2]], ["a", "b"], "map"), name, tmp_path) for name in "xy"]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_other_ranks_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    tracker = Tracker()
    assert save_figure(line_figure(), "loss", tmp_path, [tracker]) is None
    assert not list(tmp_path.iterdir())
    assert not tracker.pictures


def test_nothing_global_changes(tmp_path):
    style = dict(matplotlib.rcParams)
    save_figure(scatter_labels([[0, 0]], ["a"], "map"), "map", tmp_path)
    assert dict(matplotlib.rcParams) == style
    assert not pyplot.get_fignums()


def test_tracker_keeps_the_media_in_its_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = WandbLogger(save_dir=tmp_path, project="report")
    save_figure(line_figure(), "loss", tmp_path, [logger])
    save_table(["word", "count"], [["a", 1], ["b", 2.5], [None, None]], "words", tmp_path, [logger])
    logger.experiment.finish()
    media = [file for file in tmp_path.glob("wandb/offline-run-*/files/media/**/*") if file.is_file()]
    assert sorted(file.suffix for file in media) == [".json", ".png"]
    assert all("loss" in file.name or "words" in file.name for file in media)


boxes = st.lists(
    st.tuples(st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=6
)


@given(boxes, boxes)
@settings(max_examples=50, deadline=None)
def test_overlap_of_boxes_is_a_common_cell(first, second):
    def cells(box: tuple[int, ...]) -> set[tuple[int, int]]:
        x, y, width, height = box
        return {(x + dx, y + dy) for dx in range(width) for dy in range(height)}

    corners = [np.array([(x, y, x + w, y + h) for x, y, w, h in each]) for each in (first, second)]
    assert overlaps(*corners).tolist() == [[bool(cells(a) & cells(b)) for b in second] for a in first]


def test_labels_of_a_crowd_cover_neither_each_other_nor_a_dot():
    generator = np.random.default_rng(0)
    dots = generator.normal([400, 300], 90, (60, 2))
    sizes = np.stack([generator.integers(20, 70, 60), np.full(60, 11)], axis=1).astype(float)
    room = np.array([0, 0, 800, 600.0])
    centres = spread(dots, sizes, room)
    placed = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)
    assert overlaps(placed, placed).sum() == len(placed)  # each with itself
    assert not overlaps(placed, np.concatenate([dots, dots], axis=1)).any()
    assert (placed[:, :2] >= room[:2]).all()
    assert (placed[:, 2:] <= room[2:]).all()


def test_a_lonely_label_stands_right_beside_its_dot():
    centres = spread(np.array([[100.0, 100]]), np.array([[30.0, 10]]), np.array([0, 0, 200, 200.0]))
    np.testing.assert_allclose(centres, [[100 + GAP + 15, 100]])


def test_labels_are_drawn_as_they_are(tmp_path):
    figure = scatter_labels([[0, 0], [0, 0], [1, 1]], ["$5", r"$\broken$", "a\nb"], "in $ and %")
    assert save_figure(figure, "map", tmp_path).exists()
    assert [text.get_text() for text in figure.axes[0].texts] == [r"\$5", r"\$\broken\$", "a b"]


def test_a_map_needs_two_coordinates_a_label():
    with pytest.raises(ValueError, match=r"found shape \(2, 3\), expected \(1, 2\)"):
        scatter_labels(np.zeros((2, 3)), ["a"], "map")


def test_scripts_that_the_font_lacks_are_drawn_with_those_of_the_machine(monkeypatch):
    from matplotlib.font_manager import fontManager

    fonts = [SimpleNamespace(name=name) for name in ("Noto Sans Cherokee", "Some Script", "DejaVu Sans")]
    monkeypatch.setattr(fontManager, "ttflist", fonts)
    font_families.cache_clear()
    found = font_families()
    font_families.cache_clear()
    assert found == ["DejaVu Sans", "Noto Sans Cherokee"]
