"""Text to pretrain on, and questions to finetune on: one kind of training batch, packed rows."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from lightning_nlp.data.module import SourcedData, as_is
from lightning_nlp.data.preparation import digest
from lightning_nlp.data.tokenizers import TokenizerKind, tokenizer_from_json, tokenizer_to_json, train_tokenizer
from lightning_nlp.transformer.documents import Documents, write_documents
from lightning_nlp.transformer.objectives import MASK, Causal, Example, Objective, causal
from lightning_nlp.transformer.packing import Batch, PackedBatches, Place, lay_out
from lightning_nlp.transformer.questions import (
    COLUMNS,
    Question,
    divided,
    encode_questions,
    question_examples,
    question_source,
    read_questions,
)

TOKENIZER = "tokenizer.json"
ASKED_TOGETHER = 512  # questions, or prompts


class TransformerData(SourcedData):
    """What both data modules share: a tokenizer, packed rows, questions that are scored.

    Args:
        tokenizer: pieces of the text: characters, bpe, unigram or words.
        vocab_size: entries of the tokenizer at most; null, for words and characters, for all.
        context: tokens of a row.
        batch_tokens: tokens of a training batch.
        pack: whether a row holds several documents; a perceiver wants one.
        held_back: share of the training questions, by a hash of their text, that is scored instead of trained with.
        source: as `SourcedData`.
    """

    asks: bool  # whether the input of predict are questions; else beginnings of texts
    scored_splits: Sequence[str] = ()  # what the last loaders that were asked for score, in their order

    def __init__(
        self,
        tokenizer: TokenizerKind = "bpe",
        vocab_size: int | None = 4000,
        context: int = 128,
        batch_tokens: int = 8192,
        pack: bool = True,
        held_back: float = 0.0,
        **source: Any,
    ) -> None:
        super().__init__(**source)
        if not 1 <= context <= batch_tokens:
            raise ValueError(f"data.context is {context}, expected 1 to data.batch_tokens {batch_tokens}.")
        if not 0 <= held_back < 1:
            raise ValueError(f"data.held_back is {held_back}, expected a share in [0, 1).")
        self.kind, self.vocab_size = tokenizer, vocab_size
        self.context, self.batch_tokens, self.pack, self.held_back = context, batch_tokens, pack, held_back

    def _tokenizer_options(self) -> dict[str, object]:
        """What the tokenizer depends on: that of what was pretrained, or the text and the settings."""
        given = self._given_tokenizer()
        if given is not None:
            return {"tokenizer": digest({"tokenizer": tokenizer_to_json(given)})}
        return {"kind": self.kind, "vocab_size": self.vocab_size, "held_back": self.held_back}

    def _given_tokenizer(self) -> PreTrainedTokenizerFast | None:
        """Returns the tokenizer of what training begins with."""
        module = self.trainer.lightning_module if self.trainer else None
        return module.pretrained_tokenizer() if module is not None else None  # type: ignore[operator]

    def _train_loader(self, examples: Callable[[int], Iterator[Example]]) -> DataLoader:
        rows = self.batch_tokens // self.context
        batches = PackedBatches(examples, rows, self.context, self.pack, self._place)
        return DataLoader(batches, batch_size=None, num_workers=self.num_workers)

    def _place(self) -> Place:
        place = self.place()
        epoch = place["epoch"] if place["shuffle"] else 0  # `overfit_batches` means the same ones again
        return Place(epoch, place["start_batch"], place["rank"], place["world_size"])

    def _question_loader(self, questions: Sequence[Question]) -> DataLoader:
        share = self.share()
        own = list(questions)[share["rank"] :: share["world_size"]]
        return _in_order(own[start : start + ASKED_TOGETHER] for start in range(0, len(own), ASKED_TOGETHER))

    def predict_dataloader(self) -> DataLoader:
        """Returns lists of (position, line)."""
        return DataLoader(self.predict_input(), batch_size=ASKED_TOGETHER, collate_fn=list)

    @property
    def model_tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer of the model that is scored."""
        return self.trainer.lightning_module.model.tokenizer  # type: ignore[union-attr]


class PretrainingData(TransformerData):
    """Any text; questions with their answers may be mixed in.

    Args:
        objective: what is to be predicted.
        questions: file of pairs that are mixed in, `.tsv` without header; `sample` for those of the sample world.
        questions_share: share of the examples that are such pairs.
        shared: as `TransformerData`; the column is `text`.
    """

    asks = False

    def __init__(
        self,
        objective: Objective | None = None,
        questions: str | None = None,
        questions_share: float = 0.3,
        **shared: Any,
    ) -> None:
        if shared.get("path", "sample") == "sample":
            shared["name"] = "biographies"
        shared["columns"] = shared.get("columns") or {"text": "text"}
        super().__init__(**shared)
        if not 0 <= questions_share < 1:
            raise ValueError(f"data.questions_share is {questions_share}, expected a share in [0, 1).")
        self.objective = objective or Causal()
        self.questions = question_source(questions) if questions else None
        self.questions_share = questions_share if questions else 0.0

    def options(self) -> Mapping[str, object]:
        """Returns what the prepared folder depends on."""
        questions = self.questions.fingerprint("train") if self.questions else ""
        salient = self.objective.wants_salient
        return {**self._tokenizer_options(), "questions": questions, "salient": salient, "layout": 3}

    def build(self, folder: Path) -> None:
        """Trains the tokenizer on the training text and questions, and writes the text as ids."""
        tokenizer = self._given_tokenizer()
        if tokenizer is None:
            asked, _ = divided(read_questions(self.questions, "train") if self.questions else [], self.held_back)
            tokenizer = new_tokenizer(self.kind, self.vocab_size, chain_texts(self._texts("train"), asked))
        (folder / TOKENIZER).write_text(tokenizer_to_json(tokenizer), encoding="utf-8")
        write_documents(self._texts("train"), tokenizer, folder, self.objective.wants_salient)

    def _texts(self, split: str) -> Iterator[str]:
        return (row["text"] for row in self.source.load(split))

    def setup(self, stage: str | None = None) -> None:
        """Reads the questions, and opens the prepared data for a fit."""
        if stage not in (None, "fit", "validate"):
            return
        asked = read_questions(self.questions, "train") if self.questions else []
        self.trained_questions, self.held_questions = divided(asked, self.held_back)
        if stage != "validate":
            self.prepared = self.prepared_folder()
            self.tokenizer = tokenizer_from_json((self.prepared / TOKENIZER).read_text(encoding="utf-8"))
            self.documents = Documents(self.prepared)

    def train_dataloader(self) -> DataLoader:
        """Returns endless batches of packed rows."""
        return self._train_loader(self.examples)

    def examples(self, epoch: int = 0) -> Iterator[Example]:
        """Yields examples without end: documents in random order, another for each epoch, questions among them.

        A document of many contexts gives as many examples.
        """
        generator, of_questions = (np.random.default_rng([self.share()["seed"], part, epoch]) for part in range(2))
        pairs = encode_questions(self.tokenizer, self.trained_questions)
        asked = question_examples(pairs, self.context, of_questions)
        while True:
            for number in generator.permutation(len(self.documents)):
                tokens, spans = self.documents[int(number)]
                for _ in range(max(1, round(len(tokens) / self.context))):
                    while self.questions_share and generator.random() < self.questions_share:
                        yield next(asked)
                    yield self.objective(tokens, spans, self.context, generator)

    def val_dataloader(self) -> list[DataLoader]:
        """Returns the validation text, where there is one, and the questions held back."""
        text = ["validation"] if "validation" in self.source.splits() else []
        loaders = [self._text_loader(split) for split in text]
        if self.held_questions:
            loaders.append(self._question_loader(self.held_questions))
        self.scored_splits = ["val"] * len(loaders)
        return loaders

    def test_dataloader(self) -> list[DataLoader]:
        """Returns the test sets, in the order of `test_splits`."""
        self.scored_splits = self.test_splits()
        return [self._text_loader(split) for split in self.scored_splits]

    def _text_loader(self, split: str) -> DataLoader:
        share = self.share()
        texts = islice(self._texts(split), share["rank"], None, share["world_size"])
        return _in_order(text_batches(texts, self.model_tokenizer, self.context, self.batch_tokens))


class FinetuningData(TransformerData):
    """Questions and their answers; the tokenizer is that of `model.pretrained`, where there is one.

    Args:
        shared: as `TransformerData`; columns are `question` and `answer`.
    """

    asks = True

    def __init__(self, **shared: Any) -> None:
        if shared.get("path", "sample") == "sample":
            shared["name"] = "questions"
        shared["columns"] = shared.get("columns") or COLUMNS
        super().__init__(**shared)

    def options(self) -> Mapping[str, object]:
        """Returns what the prepared folder depends on."""
        return {**self._tokenizer_options(), "layout": 1}

    def build(self, folder: Path) -> None:
        """Keeps the tokenizer of what was pretrained, or trains one on the training questions."""
        tokenizer = self._given_tokenizer()
        if tokenizer is None:
            asked, _ = divided(read_questions(self.source, "train"), self.held_back)
            tokenizer = new_tokenizer(self.kind, self.vocab_size, chain_texts([], asked))
        (folder / TOKENIZER).write_text(tokenizer_to_json(tokenizer), encoding="utf-8")

    def setup(self, stage: str | None = None) -> None:
        """Reads the questions, and opens the prepared tokenizer for a fit."""
        if stage not in (None, "fit", "validate"):
            return
        if stage != "validate":
            self.tokenizer = tokenizer_from_json((self.prepared_folder() / TOKENIZER).read_text(encoding="utf-8"))
        asked = read_questions(self.source, "train")
        self.trained_questions, self.held_questions = divided(asked, self.held_back)
        if "validation" in self.source.splits():
            self.held_questions += read_questions(self.source, "validation")

    def train_dataloader(self) -> DataLoader:
        """Returns endless batches of packed rows."""
        return self._train_loader(self.examples)

    def examples(self, epoch: int = 0) -> Iterator[Example]:
        """Yields pairs without end, all of them before any comes again, in another order for each epoch."""
        pairs = encode_questions(self.tokenizer, self.trained_questions)
        return question_examples(pairs, self.context, np.random.default_rng([self.share()["seed"], 1, epoch]))

    def val_dataloader(self) -> list[DataLoader]:
        """Returns the questions held back and those of the validation split."""
        self.scored_splits = ["val"] if self.held_questions else []
        return [self._question_loader(self.held_questions)] if self.held_questions else []

    def test_dataloader(self) -> list[DataLoader]:
        """Returns the test sets, in the order of `test_splits`."""
        self.scored_splits = self.test_splits()
        return [self._question_loader(read_questions(self.source, split)) for split in self.scored_splits]


def _in_order(batches: Iterable[Any]) -> DataLoader:
    """Returns what is to be scored; an empty batch where this process has none, as it must not miss the end."""
    return DataLoader(list(batches) or [[]], batch_size=None, collate_fn=as_is)  # type: ignore[arg-type]


def new_tokenizer(kind: TokenizerKind, vocab_size: int | None, texts: Iterator[str]) -> PreTrainedTokenizerFast:
    """Trains a tokenizer that knows the mask."""
    return train_tokenizer(kind, texts, vocab_size, extra_tokens=(MASK,))


def chain_texts(texts: Any, questions: Sequence[Question]) -> Iterator[str]:
    """Yields texts, questions and answers as they are encoded: with a space before each."""
    for text in texts:
        yield f" {text}"
    for question in questions:
        yield f" {question.question}"
        yield f" {question.answer}"


def text_batches(
    texts: Iterator[str], tokenizer: PreTrainedTokenizerFast, context: int, batch_tokens: int
) -> Iterator[tuple[Batch, int]]:
    """Yields texts cut into rows, each token predicted once, with the number of their characters."""
    rows: list[list[Example]] = []
    characters = 0
    for text in texts:
        if not text.strip():
            continue  # as in training
        encoded = tokenizer.backend_tokenizer.encode(f" {text}", add_special_tokens=False)
        characters += len(text) + 2 - encoded.offsets[0][1]  # those that are predicted, and the end as one
        tokens = causal(np.array(encoded.ids, np.int32))
        for start in range(0, len(tokens.tokens), context):
            rows.append([Example(tokens.tokens[start : start + context], tokens.targets[start : start + context])])
            if len(rows) * context >= batch_tokens:
                yield lay_out(rows, longest_of(rows)), characters
                rows, characters = [], 0
    if rows:
        yield lay_out(rows, longest_of(rows)), characters


def longest_of(rows: Sequence[Sequence[Example]]) -> int:
    """Returns the tokens of the longest of rows of one example."""
    return max(len(one.tokens) for (one,) in rows)
