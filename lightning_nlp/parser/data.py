"""Treebanks for the parser: CoNLL-U in, batches of trees out."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_nlp.data.conllu import DEPREL, HEAD, UPOS, Block, blocks, check, checked, taken_apart
from lightning_nlp.data.module import SourcedData, as_is
from lightning_nlp.data.predict_input import STDIN
from lightning_nlp.data.preparation import file_digest
from lightning_nlp.data.samplers import TokenBudgetBatches
from lightning_nlp.data.text_files import check_file, lines_in, name_of
from lightning_nlp.data.vectors import read_vectors
from lightning_nlp.parser.batch import Encoded, Treebank, encode_trees
from lightning_nlp.parser.projectivity import is_projective
from lightning_nlp.parser.vocabulary import Sentence, Tree, Vocabulary

VOCABULARY, VECTORS, CROSSING = "vocabulary.json", "vectors.npy", "crossing.json"
FORM, XPOS = 1, 4
ROW = re.compile(r"^[^#\n].*", re.MULTILINE)  # a line that is no comment
PREDICTED_TOGETHER = 1024  # sentences, whose strings stay in the processor's cache


class ParserData(SourcedData):
    """Sentences with dependency trees, in CoNLL-U.

    Args:
        batch_tokens: words of a training batch, padding among them.
        scored_tokens: words that are parsed together when scored.
        vectors: file of pretrained word vectors, word2vec or GloVe; null for none.
        source: as `SourcedData`; its column is `conllu`, a sentence block each.
    """

    def __init__(
        self, batch_tokens: int = 5000, scored_tokens: int = 10_000, vectors: str | None = None, **source: Any
    ) -> None:
        if source.get("path", "sample") == "sample":
            source["name"] = "trees"
        source["columns"] = source.get("columns") or {"conllu": "conllu"}
        super().__init__(**source)
        for name, value in {"batch_tokens": batch_tokens, "scored_tokens": scored_tokens}.items():
            if value < 1:
                raise ValueError(f"data.{name} is {value}, expected at least 1.")
        if set(self.source.columns) != {"conllu"}:
            raise ValueError(
                f"data.columns names {', '.join(self.source.columns)}, expected conllu: {{conllu: COLUMN}}."
            )
        self.batch_tokens, self.scored_tokens, self.vectors = batch_tokens, scored_tokens, vectors

    # -- preparation ------------------------------------------------------------------------------------------------

    def options(self) -> Mapping[str, object]:
        """Returns what the prepared folder depends on."""
        if self.vectors:
            check_file(self.vectors, "data.vectors")
        return {"vectors": self.vectors and file_digest(self.vectors), "layout": 2}

    def build(self, folder: Path) -> None:
        """Collects the names of the training trees, and writes all trees as ids."""
        known: list[str] = []
        if self.vectors:
            known, table = read_vectors(Path(self.vectors))
            np.save(folder / VECTORS, table)
        train = self.trees("train")
        vocabulary = Vocabulary.of(zip(*train), known)
        (folder / VOCABULARY).write_text(json.dumps(vocabulary.plain(), ensure_ascii=False), encoding="utf-8")
        treebank = encode_trees(*train, vocabulary)
        save_treebank(treebank, folder / "train.npz")
        (folder / CROSSING).write_text(json.dumps([count_crossing(treebank), len(treebank)]))
        if "validation" in self.source.splits():
            save_treebank(encode_trees(*self.trees("validation"), vocabulary), folder / "validation.npz")

    def blocks(self, split: str) -> list[str]:
        """Returns the sentence blocks of a split; those of a Hub or JSON file are checked here.

        Raises:
            ValueError: a block that is no tree in CoNLL-U.
        """
        found = [row["conllu"] for row in self.source.load(split)]
        if self.source.path not in ("sample", "conllu"):
            for number, block in enumerate(found, start=1):
                check(block, f"{split}, row {number}")
        return found

    def trees(self, split: str) -> tuple[list[Sentence], list[Tree]]:
        """Returns the sentences of a split and their trees."""
        read = [sentence_and_tree(block) for block in self.blocks(split)]
        return [sentence for sentence, _ in read], [tree for _, tree in read]

    # -- loading ----------------------------------------------------------------------------------------------------

    def setup(self, stage: str | None = None) -> None:
        """Opens the prepared data for a fit; the other commands encode what they score, by the names of the model."""
        if stage in (None, "fit"):
            self.prepared = self.prepared_folder()
            self.vocabulary = Vocabulary(**json.loads((self.prepared / VOCABULARY).read_text(encoding="utf-8")))

    def crossing(self) -> tuple[int, int]:
        """Returns how many training trees have crossing arcs, and how many there are."""
        crossing, trees = json.loads((self.prepared / CROSSING).read_text())
        return crossing, trees

    def vector_table(self) -> Float[Tensor, "words dim"] | None:
        """Returns the pretrained vectors of `vocabulary.vectors`; None where there are none."""
        return torch.from_numpy(np.load(self.prepared / VECTORS)) if self.vectors else None

    def train_dataloader(self) -> DataLoader:
        """Returns batches of trees of similar length, others each epoch."""
        return self._loader(load_treebank(self.prepared / "train.npz"), self.batch_tokens, self.place())

    def val_dataloader(self) -> DataLoader | list[DataLoader]:
        """Returns the validation trees; nothing where there are none."""
        if "validation" not in self.source.splits():
            return []
        if self.trainer is not None and self.trainer.state.fn == "validate":
            return self._scored("validation")
        return self._in_order(load_treebank(self.prepared / "validation.npz"))

    def test_dataloader(self) -> list[DataLoader]:
        """Returns the test sets, in the order of `test_splits`."""
        return [self._scored(split) for split in self.test_splits()]

    def _scored(self, split: str) -> DataLoader:
        vocabulary: Vocabulary = self.trainer.lightning_module.model.vocabulary  # type: ignore[union-attr, assignment]
        return self._in_order(encode_trees(*self.trees(split), vocabulary))

    def _in_order(self, treebank: Treebank) -> DataLoader:
        return self._loader(treebank, self.scored_tokens, {**self.share(), "shuffle": False})

    def _loader(self, treebank: Treebank, max_tokens: int, place: dict[str, Any]) -> DataLoader:
        batches = TokenBudgetBatches(treebank.encoded.lengths, max_tokens, **place)
        return DataLoader(treebank, batch_sampler=batches, collate_fn=as_is, num_workers=self.num_workers)  # type: ignore[arg-type]

    # -- predict ----------------------------------------------------------------------------------------------------

    def predict_dataloader(self) -> DataLoader:
        """Returns lists of (position, sentence block): of CoNLL-U as it is, of plain text made of each line."""
        where = (
            "standard input" if self.predict_file == STDIN else name_of(self.predict_file or "", "data.predict_file")
        )
        rows = self.predict_input(items=lambda text: sentence_blocks(text, where))
        return DataLoader(rows, batch_size=PREDICTED_TOGETHER, collate_fn=list)


def sentence_and_tree(block: str) -> tuple[Sentence, Tree]:
    """Reads the words of a sentence block, their tags and their tree."""
    parts = taken_apart(block)
    return sentence_of(parts), Tree(list(map(int, parts.column(HEAD))), parts.column(DEPREL))


def sentence_of(block: Block) -> Sentence:
    """Reads the words and tags of a sentence block, whatever its tree."""
    return Sentence(block.column(FORM), block.column(UPOS), block.column(XPOS))


def sentence_blocks(text: Iterable[str], where: str) -> Iterator[Block]:
    """Yields sentence blocks of CoNLL-U, or of plain text: a sentence a line, words between white space.

    CoNLL-U is known by the tabs in its first line that is no comment.

    Args:
        text: in pieces of whole lines.
        where: its name, for errors.

    Raises:
        ValueError: a block that is no CoNLL-U.
    """
    pieces, seen, row = iter(text), [], None
    while row is None and (piece := next(pieces, None)) is not None:
        seen.append(piece)
        row = ROW.search(piece)
    pieces = chain(seen, pieces)
    if row is None or "\t" not in row[0]:
        yield from (taken_apart(as_block(line.split())) for line in lines_in(pieces) if line.split())
        return
    number = 1
    for block in blocks(pieces):
        yield checked(block, where, number)
        number += block.count("\n") + 2


def count_crossing(treebank: Treebank) -> int:
    """Counts the trees that are not projective."""
    batches = TokenBudgetBatches(treebank.encoded.lengths, 10_000, seed=0, shuffle=False)
    loaded = (treebank.__getitems__(sentences) for sentences in batches)
    return sum(int((~is_projective(gold.heads, batch.is_word())).sum()) for batch, gold in loaded)


def as_block(forms: list[str]) -> str:
    """Returns a sentence block of words alone."""
    rows = ("\t".join([str(number), form, *("_" * 8)]) for number, form in enumerate(forms, start=1))
    return "\n".join([f"# text = {' '.join(forms)}", *rows])


def save_treebank(treebank: Treebank, file: Path) -> None:
    """Writes the arrays of a treebank."""
    flat = {name: column for name, column in vars(treebank).items() if name != "encoded"}
    np.savez(file, **vars(treebank.encoded), **flat)


def load_treebank(file: Path) -> Treebank:
    """Reads what `save_treebank` wrote."""
    arrays: dict[str, NDArray[np.int64]] = dict(np.load(file))
    encoded = Encoded(**{name: arrays.pop(name) for name in Encoded.__dataclass_fields__})
    return Treebank(encoded, **arrays)
