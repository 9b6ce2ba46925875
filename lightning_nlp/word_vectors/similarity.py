"""Likeness of word vectors by cosine: the words nearest to others, for many at once."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from lightning_nlp.word_vectors.vocabulary import Vocabulary

CELLS = 1 << 24  # cosines held at a time, 64 MB: half of it is a tenth slower, double no faster
FEWEST = 16  # queries at a time, however large the table: 200 MB for three million words


def unit_rows(vectors: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
    """Divides rows by their length, in float32; a row of zeros stays, so that its cosine with anything is 0."""
    return normalize(vectors.float(), dim=-1, eps=torch.finfo(torch.float32).tiny)


@torch.no_grad()
def nearest(
    table: Float[Tensor, "vocab dim"],
    queries: Float[Tensor, "batch dim"],
    count: int,
    exclude: Sequence[Sequence[int]],
    lengths: Float[Tensor, "vocab"] | None = None,
) -> tuple[Float[Tensor, "batch count"], Int[Tensor, "batch count"]]:
    """Finds for each query the rows with the highest cosine; memory does not grow with the number of queries.

    Args:
        table: rows of length 1 or 0, as from `unit_rows`, or of any `lengths`.
        queries: rows of length 1 or 0.
        count: how many to find; fewer are when the table is smaller.
        exclude: for each query the ids of rows that are no answer.
        lengths: of the rows of the table, none 0: for a table that is not worth a second one at length 1.

    Returns:
        Cosines, highest first, and ids. Where a query excludes so many rows that too few are left, excluded ones fill
        the end, with a cosine of -inf.
    """
    size = max(FEWEST, CELLS // max(1, len(table)))
    # Made once: pieces of some megabyte that come and go leave gaps in the heap, and it grows as if none were freed.
    room = table.new_empty(min(size, len(queries)), len(table))
    found = []
    for begin in range(0, max(1, len(queries)), size):
        part = queries[begin : begin + size]
        cosines = torch.mm(part, table.T, out=room[: len(part)])
        if lengths is not None:
            cosines /= lengths
        _leave_out(cosines, exclude[begin : begin + size])
        found.append(cosines.topk(min(count, len(table))))
    values, ids = zip(*found)
    return torch.cat(values), torch.cat(ids)


def _leave_out(cosines: Float[Tensor, "batch vocab"], exclude: Sequence[Sequence[int]]) -> None:
    rows = [row for row, ids in enumerate(exclude) for _ in ids]
    cosines[rows, [i for ids in exclude for i in ids]] = -torch.inf


def named(
    cosines: Float[Tensor, "batch count"], ids: Int[Tensor, "batch count"], words: Sequence[str]
) -> list[list[tuple[str, float]]]:
    """Puts what `nearest` returns as words with cosines, and leaves out what was excluded."""
    rows = zip(cosines.tolist(), ids.tolist())
    return [[(words[i], cosine) for cosine, i in zip(*row) if cosine > -torch.inf] for row in rows]


def neighbours(
    table: Float[Tensor, "vocab dim"], vocabulary: Vocabulary, words: Sequence[str], count: int = 10
) -> list[list[tuple[str, float]]]:
    """Finds the words nearest to given ones.

    Args:
        table: the vocabulary's vectors, of any length.
        vocabulary: finds words as written or in lower case.
        words: whose neighbours are sought.
        count: how many for each.

    Returns:
        For each word its neighbours and their cosines, nearest first, itself not among them; none for an unknown word.
    """
    ids = [vocabulary.find(word) for word in words]
    known = [i for i in ids if i is not None]
    queries = unit_rows(table[torch.tensor(known, dtype=torch.long, device=table.device)])
    lengths = table.norm(dim=1).clamp(min=torch.finfo(torch.float32).tiny)
    answers = iter(named(*nearest(table, queries, count, [[i] for i in known], lengths), vocabulary.words))
    return [[] if i is None else next(answers) for i in ids]
