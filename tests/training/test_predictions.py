"""Predictions come out in input order, whatever the batches and ranks."""

import json
import random
from pathlib import Path

import pytest

from lightning_nlp.training.predictions import InOrder, PredictionWriter, input_stem, join_parts


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("size", [0, 1, 7])
def test_parts_of_any_number_of_ranks_join_in_order(tmp_path, world, size):
    texts = [(f"line {place}\nand one more", f"side {place}") for place in range(size)]
    parts = []
    for rank in range(world):
        mine = [(place, *some) for place, some in enumerate(texts) if place % world == rank]
        random.Random(rank).shuffle(mine)  # a length-sorted decoder answers out of order
        ordered = InOrder(rank, world)
        written = [some for result in mine for some in ordered.push([result])]
        parts.append(tmp_path / f"part{rank}")
        parts[-1].write_text("".join(json.dumps(some) + "\n" for some in written))
    join_parts(parts, [tmp_path / "all.txt", tmp_path / "extra" / "sides.txt"])
    assert (tmp_path / "all.txt").read_text() == "".join(text + "\n" for text, _ in texts)
    assert (tmp_path / "extra" / "sides.txt").read_text() == "".join(side + "\n" for _, side in texts)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.txt", "extra"]


def test_texts_leave_as_soon_as_it_is_their_turn():
    ordered = InOrder(0, 1)
    assert list(ordered.push([(1, "b")])) == []
    assert list(ordered.push([(0, "a"), (3, "d")])) == [("a",), ("b",)]
    assert ordered.early == [(3, "d")]


@pytest.mark.parametrize(
    ("source", "stem"), [("a.txt", "a"), ("x/a.b.conllu", "a.b"), ("a.txt.gz", "a"), ("plain", "plain")]
)
def test_stem_drops_gz_and_one_suffix(source, stem):
    assert input_stem(source) == stem
    assert input_stem(str(Path("/somewhere") / source)) == stem


def test_position_left_out_is_an_error(tmp_path, monkeypatch):
    """Texts after a gap are never written in silence."""
    writer = PredictionWriter()
    writer.ordered = InOrder(0, 1)
    assert list(writer.ordered.push([(1, "b")])) == []
    with pytest.raises(RuntimeError, match="no text for input 0"):
        writer.on_predict_end(None, None)
