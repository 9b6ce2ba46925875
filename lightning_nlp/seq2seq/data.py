"""Bitext for the translator: two languages in, batches of pairs out."""

import json
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from lightning_nlp.data.dictionary import learn_dictionary
from lightning_nlp.data.module import SourcedData, as_is
from lightning_nlp.data.samplers import TokenBudgetBatches
from lightning_nlp.data.tokenizers import TokenizerKind, tokenizer_from_json, tokenizer_to_json, train_tokenizer
from lightning_nlp.seq2seq.batch import EOS, Bitext, Side

TRAIN, DICTIONARY, DROPPED = "train.npz", "dictionary.json", "dropped.json"
SOURCE_TOKENIZER, TARGET_TOKENIZER = "source_tokenizer.json", "target_tokenizer.json"
PREDICTED_TOGETHER = 1024  # sentences
ENCODED_TOGETHER = 10_000

Tokenizers = tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast]


class Seq2SeqData(SourcedData):
    """Sentences and their translations.

    Args:
        tokenizer: pieces of the source: words, characters, bpe or unigram.
        vocab_size: entries of its tokenizer at most; null, for words and characters, for all.
        target_tokenizer: pieces of the target; null for the same kind.
        target_vocab_size: entries of the target's tokenizer at most; null for as many as the source's.
        joint: one tokenizer for both languages.
        min_count: rarer words, characters or merged pairs are left out.
        lowercase: fold case before everything else; references keep theirs.
        max_tokens: training pairs with a longer side are left out.
        max_length_ratio: training pairs with one side so many times longer than the other are left out.
        batch_tokens: tokens of a training batch on its longer side, padding among them.
        scored_tokens: likewise of a batch that is scored.
        n_best: translations that predict lists for each sentence, beside the best.
        source: as `SourcedData`; its columns are `source` and `target`.
    """

    def __init__(
        self,
        tokenizer: TokenizerKind = "bpe",
        vocab_size: int | None = 8000,
        target_tokenizer: TokenizerKind | None = None,
        target_vocab_size: int | None = None,
        joint: bool = True,
        min_count: int = 1,
        lowercase: bool = False,
        max_tokens: int = 100,
        max_length_ratio: float = 4.0,
        batch_tokens: int = 4000,
        scored_tokens: int = 8000,
        n_best: int = 1,
        **source: Any,
    ) -> None:
        if source.get("path", "sample") == "sample":
            source["name"] = "translations"
        source["columns"] = source.get("columns") or {"source": "source", "target": "target"}
        super().__init__(**source)
        positive = {"max_tokens": max_tokens, "batch_tokens": batch_tokens, "scored_tokens": scored_tokens}
        for name, value in {**positive, "n_best": n_best}.items():
            if value < 1:
                raise ValueError(f"data.{name} is {value}, expected at least 1.")
        if max_length_ratio < 1:
            raise ValueError(f"data.max_length_ratio is {max_length_ratio}, expected at least 1.")
        if set(self.source.columns) != {"source", "target"}:
            raise ValueError(
                f"data.columns names {', '.join(self.source.columns)}, expected {{source: COLUMN, target: COLUMN}}."
            )
        if joint and (target_tokenizer not in (None, tokenizer) or target_vocab_size not in (None, vocab_size)):
            raise ValueError("data.joint is one tokenizer for both languages: set it to false, or leave target_… out.")
        self.kinds = (tokenizer, target_tokenizer or tokenizer)
        self.sizes = (vocab_size, target_vocab_size or vocab_size)
        self.joint, self.min_count, self.lowercase = joint, min_count, lowercase
        self.max_tokens, self.max_length_ratio = max_tokens, max_length_ratio
        self.batch_tokens, self.scored_tokens, self.n_best = batch_tokens, scored_tokens, n_best

    # -- preparation ------------------------------------------------------------------------------------------------

    def options(self) -> Mapping[str, object]:
        """Returns what the prepared folder depends on."""
        return {
            **{"kinds": self.kinds, "sizes": self.sizes, "joint": self.joint, "min_count": self.min_count},
            **{"lowercase": self.lowercase, "max_tokens": self.max_tokens, "max_length_ratio": self.max_length_ratio},
            "layout": 1,
        }

    def build(self, folder: Path) -> None:
        """Trains the tokenizers on the training pairs, and writes these as ids."""
        sources, targets = self.texts("train")
        source_tokenizer, target_tokenizer = self._trained(sources, targets)
        (folder / SOURCE_TOKENIZER).write_text(tokenizer_to_json(source_tokenizer), encoding="utf-8")
        (folder / TARGET_TOKENIZER).write_text(tokenizer_to_json(target_tokenizer), encoding="utf-8")
        source, target = encode(source_tokenizer, sources), encode(target_tokenizer, targets)
        kept, dropped = self._chosen(source.lengths, target.lengths)
        save_bitext(Bitext(source.chosen(kept), target.chosen(kept)), folder / TRAIN)
        (folder / DROPPED).write_text(json.dumps({"pairs": len(sources), **dropped}))
        dictionary = learn_dictionary(sources, targets)
        (folder / DICTIONARY).write_text(json.dumps(dictionary, ensure_ascii=False), encoding="utf-8")

    def texts(self, split: str) -> tuple[list[str], list[str]]:
        """Returns the two sides of a split."""
        rows = self.source.load(split)
        if self.source.streaming:
            rows = list(rows)
            return [row["source"] for row in rows], [row["target"] for row in rows]
        return list(rows["source"]), list(rows["target"])

    def _trained(self, sources: list[str], targets: list[str]) -> Tokenizers:
        options: dict[str, Any] = {"min_count": self.min_count, "lowercase": self.lowercase}
        if self.joint:
            both = (text for pair in zip(sources, targets) for text in pair)
            tokenizer = train_tokenizer(self.kinds[0], both, self.sizes[0], **options)
            return tokenizer, tokenizer
        source, target = (
            train_tokenizer(kind, texts, size, **options)
            for kind, texts, size in zip(self.kinds, (sources, targets), self.sizes)
        )
        return source, target

    def _chosen(self, source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
        """Returns which pairs to train with, and how many are left out for what reason."""
        shorter, longer = np.minimum(source, target), np.maximum(source, target)
        empty, long = shorter == 0, longer > self.max_tokens
        uneven = longer > self.max_length_ratio * np.maximum(shorter, 1)
        counts = {"empty": empty, "too_long": long & ~empty, "uneven": uneven & ~long & ~empty}
        kept = np.flatnonzero(~(empty | long | uneven))
        if not len(kept):
            raise ValueError(
                f"No training pair is left: {empty.sum()} of {len(source)} have an empty side, {long.sum()} are longer "
                f"than data.max_tokens {self.max_tokens}, {uneven.sum()} have a side more than data.max_length_ratio "
                f"{self.max_length_ratio:g} times as long as the other. Check data_files and columns, or raise a limit."
            )
        return kept, {name: int(which.sum()) for name, which in counts.items()}

    # -- loading ----------------------------------------------------------------------------------------------------

    def setup(self, stage: str | None = None) -> None:
        """Opens the prepared data for a fit; the other commands encode what they score, by the model's tokenizers."""
        if stage not in (None, "fit"):
            return
        self.prepared = self.prepared_folder()
        source, target = (
            tokenizer_from_json((self.prepared / name).read_text(encoding="utf-8"))
            for name in (SOURCE_TOKENIZER, TARGET_TOKENIZER)
        )
        self.tokenizers = (source, source if self.joint else target)
        self.dictionary: dict[str, str] = json.loads((self.prepared / DICTIONARY).read_text(encoding="utf-8"))
        dropped = json.loads((self.prepared / DROPPED).read_text())
        if any(dropped[name] for name in ("empty", "too_long", "uneven")):
            rank_zero_info(
                f"Of {dropped['pairs']:,} training pairs are left out: {dropped['empty']:,} with an empty side, "
                f"{dropped['too_long']:,} longer than max_tokens {self.max_tokens}, {dropped['uneven']:,} with a side "
                f"{self.max_length_ratio:g} times longer than the other."
            )

    def target_counts(self) -> Int[Tensor, "vocab"]:
        """Returns how often each target token is to be written in training, the end once a sentence."""
        target = load_bitext(self.prepared / TRAIN).target
        counts = np.bincount(target.tokens, minlength=len(self.tokenizers[1]))
        counts[EOS] += len(target.lengths)
        return torch.from_numpy(counts)

    def train_dataloader(self) -> DataLoader:
        """Returns batches of pairs of similar length, others each epoch."""
        return self._loader(load_bitext(self.prepared / TRAIN), self.batch_tokens, self.place())

    def val_dataloader(self) -> DataLoader | list[DataLoader]:
        """Returns the validation pairs; nothing where there are none."""
        return self.scored("validation") if "validation" in self.source.splits() else []

    def test_dataloader(self) -> list[DataLoader]:
        """Returns the test sets, in the order of `test_splits`."""
        return [self.scored(split) for split in self.test_splits()]

    def scored(self, split: str) -> DataLoader:
        """Returns the pairs of a split in the order of their lengths; its texts are kept in `references`."""
        tokenizers: Tokenizers = self.trainer.lightning_module.model.tokenizers  # type: ignore[union-attr, assignment]
        texts = self.texts(split)
        self.references = {**getattr(self, "references", {}), split: texts}
        bitext = Bitext(*(encode(tokenizer, side) for tokenizer, side in zip(tokenizers, texts)))
        return self._loader(bitext, self.scored_tokens, {**self.share(), "shuffle": False})

    def _loader(self, bitext: Bitext, max_tokens: int, place: dict[str, Any]) -> DataLoader:
        lengths = np.maximum(bitext.source.lengths, bitext.target.lengths + 1)
        batches = TokenBudgetBatches(lengths, max_tokens, **place)
        return DataLoader(bitext, batch_sampler=batches, collate_fn=as_is, num_workers=self.num_workers)  # type: ignore[arg-type]

    def predict_dataloader(self) -> DataLoader:
        """Returns lists of (position, line)."""
        return DataLoader(self.predict_input(), batch_size=PREDICTED_TOGETHER, collate_fn=list)


def encode(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> Side:
    """Replaces texts by ids, some at a time: what a tokenizer returns holds much beside them."""
    tokens, lengths = array("i"), array("q")
    for start in range(0, len(texts), ENCODED_TOGETHER):
        some = list(texts[start : start + ENCODED_TOGETHER])
        for one in tokenizer.backend_tokenizer.encode_batch_fast(some, add_special_tokens=False):
            tokens.extend(one.ids)
            lengths.append(len(one.ids))
    return Side(np.array(tokens, np.int32), np.cumsum([0, *lengths]))


def save_bitext(bitext: Bitext, file: Path) -> None:
    """Writes both sides."""
    sides = {"source": bitext.source, "target": bitext.target}
    np.savez(file, **{f"{name}_{part}": array for name, side in sides.items() for part, array in vars(side).items()})


def load_bitext(file: Path) -> Bitext:
    """Reads what `save_bitext` wrote."""
    arrays = np.load(file)
    return Bitext(*(Side(arrays[f"{name}_tokens"], arrays[f"{name}_bounds"]) for name in ("source", "target")))
