"""Text for skip-gram: a vocabulary, and word ids in batches of whole sentences."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from lightning_nlp.data.module import SourcedData
from lightning_nlp.data.samplers import ShuffledBatches
from lightning_nlp.word_vectors.sampling import keep_probability
from lightning_nlp.word_vectors.vocabulary import Vocabulary, count_words
from lightning_nlp.word_vectors.word_pairs import WordPairs, read_word_pairs, sample_word_pairs

VOCABULARY = "vocabulary.json"
LINES_AT_ONCE = 20_000


class Text(NamedTuple):
    """A batch of running text.

    Attributes:
        tokens: word ids.
        sentence: number of the sentence that each token belongs to, in order.
        keep: chance of each token to stay, below 1 for frequent words.
    """

    tokens: Int[Tensor, "tokens"]
    sentence: Int[Tensor, "tokens"]
    keep: Float[Tensor, "tokens"]


class Blocks(Dataset[Text]):
    """Encoded text in blocks of whole sentences, read from where it lies.

    Args:
        tokens: word ids of all sentences.
        lengths: words in each sentence.
        size: words in a block, give or take a sentence; the last may be shorter.
        keep: chance of each word to stay.
    """

    def __init__(
        self, tokens: NDArray[np.int32], lengths: NDArray[np.int64], size: int, keep: Float[Tensor, "vocab"]
    ) -> None:
        self.tokens, self.keep = tokens, keep
        self.ends = np.concatenate([[0], np.cumsum(lengths)])
        goals = np.arange(size, self.ends[-1] + size, size)
        self.bounds = np.unique(np.append(0, np.searchsorted(self.ends, goals).clip(max=len(lengths))))

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitems__(self, blocks: list[int]) -> Text:
        """Puts blocks together to a batch."""
        parts = [self._block(block) for block in blocks]
        tokens = torch.from_numpy(np.concatenate([tokens for tokens, _ in parts]).astype(np.int64))
        lengths = np.concatenate([lengths for _, lengths in parts])
        sentence = torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths))
        return Text(tokens, sentence, self.keep[tokens])

    def _block(self, block: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        ends = self.ends[self.bounds[block] : self.bounds[block + 1] + 1]
        return self.tokens[ends[0] : ends[-1]], np.diff(ends)


class SkipGramData(SourcedData):
    """Sentences, one a row, words between white space.

    Args:
        min_count: rarer words are left out.
        max_size: words kept at most, the most frequent.
        subsample: share of the text above which words are thinned out; 0 keeps all.
        batch_tokens: words in a batch, before subsampling.
        pairs: word pairs with scores given by people, name to file: word, word, score between tabs.
        probes: words whose neighbours are shown; null takes some of middling frequency.
        source: as `SourcedData`; its column is `text`.
    """

    BLOCK = 512  # words read in a row: whole sentences stay together, and shuffling stays fine

    def __init__(
        self,
        min_count: int = 5,
        max_size: int | None = None,
        subsample: float = 1e-3,
        batch_tokens: int = 4096,
        pairs: dict[str, str] | None = None,
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
        self.min_count, self.max_size = min_count, max_size
        self.subsample, self.batch_tokens = subsample, batch_tokens
        self.block = min(self.BLOCK, batch_tokens)
        self.pairs, self.probes = pairs or {}, probes

    # -- preparation ------------------------------------------------------------------------------------------------

    def options(self) -> Mapping[str, object]:
        """Returns what the vocabulary depends on."""
        return {"min_count": self.min_count, "max_size": self.max_size}

    def prepare_data(self) -> None:
        """Prepares the text, and looks at the word pairs before hours of training rather than after."""
        super().prepare_data()
        self.word_pairs("val")

    def build(self, folder: Path) -> None:
        """Counts the words, then writes word ids and sentence lengths."""
        counts = count_words(self._lines("train", "Counting words"))
        vocabulary = Vocabulary.from_counts(counts, self.min_count, self.max_size)
        (folder / VOCABULARY).write_text(json.dumps(vocabulary.plain(), ensure_ascii=False), encoding="utf-8")
        for split in ("train", "validation"):
            if split in self.source.splits():
                tokens, lengths = self._encode(split, vocabulary)
                np.save(folder / f"{split}.tokens.npy", tokens)
                np.save(folder / f"{split}.lengths.npy", lengths)

    def _lines(self, split: str, title: str) -> Iterator[pa.Array]:
        rows = self.source.load(split).with_format("arrow")
        total = len(rows) if hasattr(rows, "__len__") else None
        with tqdm(total=total, desc=title, unit=" lines", unit_scale=True) as bar:
            for table in rows.iter(LINES_AT_ONCE):
                yield table["text"].combine_chunks()
                bar.update(len(table))

    def _encode(self, split: str, vocabulary: Vocabulary) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        parts = [vocabulary.encode(lines) for lines in self._lines(split, f"Encoding {split}")]
        if not any(len(tokens) for tokens, _ in parts):
            raise ValueError(
                f"data: {split} has none of the {len(vocabulary.words)} words of the vocabulary. Expected text like "
                "that of train: check the file and its encoding; nothing was written."
            )
        tokens, lengths = zip(*parts)
        return np.concatenate(tokens), np.concatenate(lengths)

    # -- loading ----------------------------------------------------------------------------------------------------

    def setup(self, stage: str | None = None) -> None:
        """Opens the prepared data for a fit; the other commands encode what they score, by the model's words."""
        if stage in (None, "fit"):
            self.prepared = self.prepared_folder()
            self.vocabulary = Vocabulary(**json.loads((self.prepared / VOCABULARY).read_text(encoding="utf-8")))

    def train_dataloader(self) -> DataLoader:
        """Returns batches of `Text`, in a new order each epoch."""
        blocks = self._prepared("train")
        batches = ShuffledBatches(len(blocks), self.batch_tokens // self.block, **self.place())
        return DataLoader(blocks, batch_sampler=batches, collate_fn=as_is, num_workers=self.num_workers)

    def val_dataloader(self) -> DataLoader | list[DataLoader]:
        """Returns the held-out text; where there is none but word pairs to score, one empty batch."""
        if self.trainer is not None and self.trainer.state.fn == "validate":
            return self._scored("validation")
        if "validation" in self.source.splits():
            return self._in_order(self._prepared("validation"))
        return self._nothing() if self.word_pairs("val") else []

    def test_dataloader(self) -> list[DataLoader]:
        """Returns the test sets, in the order of `test_splits`, or one empty batch where there is none."""
        return [self._scored(split) for split in self.test_splits()] or [self._nothing()]

    def word_pairs(self, stage: str) -> dict[str, WordPairs]:
        """Reads the word pairs that validation (`val`) or test is scored by."""
        if self.path == "sample" and not self.pairs:
            return {"pairs": sample_word_pairs("validation" if stage == "val" else "test")}
        return {name: read_word_pairs(Path(file), f"data.pairs.{name}") for name, file in self.pairs.items()}

    def _prepared(self, split: str) -> Blocks:
        tokens = np.load(self.prepared / f"{split}.tokens.npy", mmap_mode="r")
        return self._blocks(tokens, np.load(self.prepared / f"{split}.lengths.npy"), self.vocabulary)

    def _scored(self, split: str) -> DataLoader:
        """Encodes a split by the words of the checkpoint, for a command that prepared nothing."""
        if split not in self.source.splits():
            return self._nothing()
        vocabulary: Vocabulary = self.trainer.lightning_module.model.vocabulary  # type: ignore[union-attr, assignment]
        return self._in_order(self._blocks(*self._encode(split, vocabulary), vocabulary))

    def _blocks(self, tokens: NDArray[np.int32], lengths: NDArray[np.int64], vocabulary: Vocabulary) -> Blocks:
        keep = keep_probability(torch.tensor(vocabulary.counts), self.subsample)
        return Blocks(tokens, lengths, self.block, keep)

    def _in_order(self, blocks: Blocks) -> DataLoader:
        size = self.batch_tokens // self.block
        batches = ShuffledBatches(len(blocks), size, shuffle=False, **self.share())
        return DataLoader(blocks, batch_sampler=batches, collate_fn=as_is, num_workers=self.num_workers)

    def _nothing(self) -> DataLoader:
        empty = torch.empty(0, dtype=torch.long)
        return DataLoader([Text(empty, empty, torch.empty(0))], batch_size=None)  # type: ignore[arg-type]


def as_is(batch: Any) -> Any:
    """Leaves a batch as the data set made it."""
    return batch
