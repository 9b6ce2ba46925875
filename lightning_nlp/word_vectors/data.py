"""Text for word vectors: a vocabulary, and word ids in batches of whole sentences."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from lightning_nlp.data.module import SourcedData, as_is
from lightning_nlp.data.preparation import in_pieces
from lightning_nlp.data.samplers import ShuffledBatches
from lightning_nlp.word_vectors.analogies import Analogies, read_analogies
from lightning_nlp.word_vectors.sampling import keep_probability
from lightning_nlp.word_vectors.text import READ_TOGETHER, EncodedText, empty_text, write_text
from lightning_nlp.word_vectors.vocabulary import MAX_SENTENCE, Vocabulary, count_words
from lightning_nlp.word_vectors.word_pairs import WordPairs, read_word_pairs, sample_word_pairs

VOCABULARY = "vocabulary.json"
LINES_AT_ONCE = 10_000
LINES_OF_A_PIECE = 100_000  # 15 MB of text
SCORED_TOKENS = 4096  # words in a batch of held-out text, whose loss is taken pair by pair


class SkipGramData(SourcedData):
    """Sentences, one a row, words between white space.

    Args:
        min_count: rarer words are left out.
        max_size: words kept at most, the most frequent.
        lowercase: read all words in lower case.
        subsample: share of the text above which words are thinned out; 0 keeps all.
        batch_tokens: words in a batch, before subsampling; whole blocks of about 512.
        pairs: word pairs with scores given by people, name to file: word, word, score between tabs.
        analogies: file of analogies in the format of questions-words.txt.
        probes: words whose neighbours are shown; null takes some of middling frequency.
        source: as `SourcedData`; its column is `text`.
    """

    def __init__(
        self,
        min_count: int = 5,
        max_size: int | None = None,
        lowercase: bool = False,
        subsample: float = 1e-3,
        batch_tokens: int = 65_536,
        pairs: dict[str, str] | None = None,
        analogies: str | None = None,
        probes: list[str] | None = None,
        **source: Any,
    ) -> None:
        if source.get("path", "sample") == "sample":
            source["name"] = "sentences"
        source["columns"] = source.get("columns") or {"text": "text"}
        super().__init__(**source)
        at_least_one = {"min_count": min_count, "max_size": max_size, "batch_tokens": batch_tokens}
        for name, value in at_least_one.items():
            if value is not None and value < 1:
                raise ValueError(f"data.{name} is {value}, expected at least 1.")
        if subsample < 0:
            raise ValueError(f"data.subsample is {subsample}, expected a share of the text, or 0 to keep every word.")
        if set(self.source.columns) != {"text"}:
            raise ValueError(f"data.columns names {', '.join(self.source.columns)}, expected text: {{text: COLUMN}}.")
        self.min_count, self.max_size, self.lowercase = min_count, max_size, lowercase
        self.subsample, self.batch_tokens = subsample, batch_tokens
        self.pairs, self.analogies, self.probes = pairs or {}, analogies, probes

    # -- preparation ------------------------------------------------------------------------------------------------

    def options(self) -> Mapping[str, object]:
        """Returns what the vocabulary depends on."""
        return {
            **{"min_count": self.min_count, "max_size": self.max_size, "lowercase": self.lowercase},
            "layout": f"ids, negative at the end of a sentence, blocks of {READ_TOGETHER}, sentences of {MAX_SENTENCE}",
        }

    def prepare_data(self) -> None:
        """Prepares the text, and looks at the word pairs before hours of training rather than after."""
        super().prepare_data()
        if self.trainer is None or self.trainer.state.fn != "predict":
            self.word_pairs("val")
            self.word_analogies()

    def build(self, folder: Path) -> None:
        """Counts the words, then writes the text as ids."""
        counts = count_words(self._lines("train", "Counting words"))
        vocabulary = Vocabulary.from_counts(counts, self.min_count, self.max_size)
        (folder / VOCABULARY).write_text(json.dumps(vocabulary.plain(), ensure_ascii=False), encoding="utf-8")
        for split in ("train", "validation"):
            if split in self.source.splits():
                with (folder / f"{split}.tokens").open("wb") as stream:
                    np.save(folder / f"{split}.bounds.npy", self._encode(split, vocabulary, stream))

    def _lines(self, split: str, title: str) -> Iterator[pa.Array]:
        rows = self.source.load(split).with_format("arrow")
        total = len(rows) if hasattr(rows, "__len__") else None
        with tqdm(total=total, desc=title, unit=" lines", unit_scale=True) as bar:
            for piece in in_pieces(rows, LINES_OF_A_PIECE):
                for table in piece.iter(LINES_AT_ONCE):
                    text = table["text"].combine_chunks()
                    yield pc.utf8_lower(text) if self.lowercase else text
                    bar.update(len(table))

    def _encode(self, split: str, vocabulary: Vocabulary, stream: BinaryIO) -> NDArray[np.int64]:
        bounds = write_text(self._lines(split, f"Encoding {split}"), vocabulary, stream)
        if bounds[-1] == 0:
            raise ValueError(
                f"data: {split} has none of the {len(vocabulary.words)} words of the vocabulary. Expected text like "
                "that of train: check the file and its encoding; nothing was written."
            )
        return bounds

    # -- loading ----------------------------------------------------------------------------------------------------

    def setup(self, stage: str | None = None) -> None:
        """Opens the prepared data for a fit; the other commands encode what they score, by the model's words."""
        if stage in (None, "fit"):
            self.prepared = self.prepared_folder()
            self.vocabulary = Vocabulary(**json.loads((self.prepared / VOCABULARY).read_text(encoding="utf-8")))

    def train_dataloader(self) -> DataLoader:
        """Returns batches of `Text`, in a new order each epoch."""
        text = self._prepared("train")
        batches = ShuffledBatches(len(text), max(1, self.batch_tokens // READ_TOGETHER), **self.place())
        return DataLoader(text, batch_sampler=batches, collate_fn=as_is, num_workers=self.num_workers)

    def val_dataloader(self) -> DataLoader | list[DataLoader]:
        """Returns the held-out text; where there is none but word pairs to score, one empty batch."""
        if self.trainer is not None and self.trainer.state.fn == "validate":
            return self._scored("validation")
        if "validation" in self.source.splits():
            return self._in_order(self._prepared("validation"))
        return self._nothing() if self.word_pairs("val") or self.analogies else []

    def test_dataloader(self) -> list[DataLoader]:
        """Returns the test sets, in the order of `test_splits`, or one empty batch where there is none."""
        return [self._scored(split) for split in self.test_splits()] or [self._nothing()]

    def word_pairs(self, stage: str) -> dict[str, WordPairs]:
        """Reads the word pairs that validation (`val`) or test is scored by."""
        if self.path == "sample" and not self.pairs:
            return {"pairs": sample_word_pairs("validation" if stage == "val" else "test")}
        return {name: read_word_pairs(Path(file), f"data.pairs.{name}") for name, file in self.pairs.items()}

    def word_analogies(self) -> Analogies | None:
        """Reads the analogies that validation and test are scored by; None where there are none."""
        return read_analogies(Path(self.analogies), "data.analogies") if self.analogies else None

    def _prepared(self, split: str) -> EncodedText:
        stream = (self.prepared / f"{split}.tokens").open("rb")
        return self._text(stream, np.load(self.prepared / f"{split}.bounds.npy"), self.vocabulary)

    def _scored(self, split: str) -> DataLoader:
        """Encodes a split by the words of the checkpoint, for a command that prepared nothing."""
        if split not in self.source.splits():
            return self._nothing()
        vocabulary: Vocabulary = self.trainer.lightning_module.model.vocabulary  # type: ignore[union-attr, assignment]
        stream = tempfile.TemporaryFile()  # noqa: SIM115 - it is gone when its last reader is
        bounds = self._encode(split, vocabulary, stream)
        stream.flush()
        return self._in_order(self._text(stream, bounds, vocabulary))

    def _text(self, stream: BinaryIO, bounds: NDArray[np.int64], vocabulary: Vocabulary) -> EncodedText:
        return EncodedText(stream, bounds, keep_probability(torch.tensor(vocabulary.counts), self.subsample))

    def _in_order(self, text: EncodedText) -> DataLoader:
        size = max(1, min(self.batch_tokens, SCORED_TOKENS) // READ_TOGETHER)
        batches = ShuffledBatches(len(text), size, shuffle=False, **self.share())
        return DataLoader(text, batch_sampler=batches, collate_fn=as_is, num_workers=self.num_workers)

    def _nothing(self) -> DataLoader:
        return DataLoader([empty_text()], batch_size=None)  # type: ignore[arg-type]
