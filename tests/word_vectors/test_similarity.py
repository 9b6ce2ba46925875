"""Nearest rows, against sorting all cosines."""

import numpy as np
import pytest
import torch

from lightning_nlp.word_vectors import similarity
from lightning_nlp.word_vectors.similarity import named, nearest, neighbours, unit_rows
from lightning_nlp.word_vectors.vocabulary import Vocabulary

VOCAB, DIM = 50, 8

# Prints the megabytes that a search takes at its peak: in a process of its own, as pytest's had its peak before.
PEAK = """
import resource, torch
from lightning_nlp.word_vectors import similarity
from lightning_nlp.word_vectors.similarity import nearest, unit_rows
torch.set_num_threads(1)
similarity.CELLS = 1 << 22  # small enough to come from the heap, which has to take it back
table = unit_rows(torch.randn(72_000, 100))
nearest(table, table[:8], 1, [[0]] * 8)
peak = lambda: int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])  # ru_maxrss is inherited
before = peak()
nearest(table, table[:2_000], 1, [[row] for row in range(2_000)])
print((peak() - before) // 1024)
"""


def random_rows(count: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32))


def by_sorting(table: torch.Tensor, query: torch.Tensor, count: int, excluded: list[int]) -> list[int]:
    """Ids by falling cosine, in double precision and by its definition."""
    rows, one = table.double().numpy(), query.double().numpy()
    cosines = rows @ one / np.linalg.norm(rows, axis=1) / np.linalg.norm(one)
    return [i for i in np.argsort(-cosines).tolist() if i not in excluded][:count]


@pytest.mark.parametrize("count", [1, 7, VOCAB - 3])
def test_nearest_is_what_sorting_finds(count):
    table, queries = random_rows(VOCAB), random_rows(20, seed=1)
    exclude = [[row, 2 * row, 49][: row % 4] for row in range(20)]  # none to three
    cosines, ids = nearest(unit_rows(table), unit_rows(queries), count, exclude)
    for row, query in enumerate(queries):
        assert ids[row].tolist() == by_sorting(table, query, count, exclude[row])
        expected = torch.cosine_similarity(table[ids[row]], query[None])
        torch.testing.assert_close(cosines[row], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("cells", [1, 4 * VOCAB, 10 * VOCAB, 31 * VOCAB])
def test_the_number_of_queries_at_once_does_not_matter(monkeypatch, cells):
    table, queries = unit_rows(random_rows(VOCAB)), unit_rows(random_rows(31, seed=1))
    exclude = [[row] for row in range(31)]
    whole = nearest(table, queries, 5, exclude)
    monkeypatch.setattr(similarity, "CELLS", cells)
    monkeypatch.setattr(similarity, "FEWEST", 3)
    parts = nearest(table, queries, 5, exclude)
    torch.testing.assert_close(parts[0], whole[0])
    assert parts[1].equal(whole[1])


def test_memory_does_not_grow_with_the_queries(run_python):
    """All cosines would take 576 MB."""
    assert int(run_python("-c", PEAK)) < 80


def test_zeros_have_the_cosine_0():
    table = random_rows(4)
    table[2] = 0
    cosines, ids = nearest(unit_rows(table), unit_rows(torch.stack([table[0], table[2]])), 4, [[], []])
    assert cosines[0][ids[0] == 2].tolist() == [0]
    assert cosines[1].tolist() == [0] * 4
    assert unit_rows(table).norm(dim=-1).tolist() == pytest.approx([1, 1, 0, 1])


def test_lengths_do_not_matter_however_small():
    table = random_rows(4)
    torch.testing.assert_close(unit_rows(1e-16 * table), unit_rows(table))
    assert unit_rows(table.half()).dtype == torch.float32


def test_what_is_excluded_is_never_named():
    table = unit_rows(random_rows(4))
    cosines, ids = nearest(table, table[:3], 10, [[0], [0, 1, 3], [0, 1, 2, 3]])
    assert cosines.shape == ids.shape == (3, 4)
    rows = named(cosines, ids, ["a", "b", "c", "d"])
    assert [sorted(word for word, _ in row) for row in rows] == [["b", "c", "d"], ["c"], []]


def test_vectors_in_training_are_compared_without_gradients():
    learnt = torch.nn.Parameter(random_rows(4))
    cosines, _ = nearest(unit_rows(learnt), unit_rows(learnt), 1, [[0], [1], [2], [3]])
    assert not cosines.requires_grad


def test_no_queries_have_no_answers():
    table = unit_rows(random_rows(4))
    cosines, ids = nearest(table, table[:0], 3, [])
    assert cosines.shape == ids.shape == (0, 3)


def test_neighbours_leave_out_the_word_itself_and_unknown_words():
    words = [f"w{place}" for place in range(VOCAB)]
    table = random_rows(VOCAB)
    found = neighbours(unit_rows(table), Vocabulary(words, [1] * VOCAB), ["w3", "unheard", "W7", "w3"], 4)
    expected = [[words[i] for i in by_sorting(table, table[own], 4, [own])] for own in (3, 7)]
    assert [[word for word, _ in row] for row in found] == [expected[0], [], expected[1], expected[0]]
