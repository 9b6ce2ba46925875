"""Documents as token ids in a file, read where they lie: memory does not grow with the text."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerFast

from lightning_nlp.transformer.objectives import Ids, salient_spans

TOKENS, BOUNDS = "tokens.bin", "bounds.npz"
ENCODED_TOGETHER = 1000  # texts


class Documents:
    """What `write_documents` wrote.

    Args:
        folder: where it lies.
    """

    def __init__(self, folder: Path) -> None:
        with np.load(folder / BOUNDS) as arrays:
            self.bounds, self.spans, self.span_bounds = (arrays[name] for name in ("bounds", "spans", "span_bounds"))
        empty = not self.bounds[-1]
        self.tokens = np.zeros(0, np.int32) if empty else np.memmap(folder / TOKENS, np.int32, mode="r")

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, number: int) -> tuple[Ids, Ids]:
        """Returns the tokens of a document, and where its salient spans begin and end."""
        tokens = self.tokens[self.bounds[number] : self.bounds[number + 1]]
        return np.asarray(tokens), self.spans[self.span_bounds[number] : self.span_bounds[number + 1]]


def write_documents(texts: Iterable[str], tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Encodes texts, a space before each; empty ones are passed over.

    Args:
        texts: of the documents, read once.
        tokenizer: what encodes them.
        folder: where to; it must exist.
    """
    bounds, spans, span_bounds = [0], [np.zeros((0, 2), np.int32)], [0]
    coming = (f" {text}" for text in texts if text.strip())
    with (folder / TOKENS).open("wb") as stream:
        while some := list(islice(coming, ENCODED_TOGETHER)):
            for text, encoded in zip(some, tokenizer.backend_tokenizer.encode_batch(some, add_special_tokens=False)):
                stream.write(np.array(encoded.ids, np.int32).data)
                bounds.append(bounds[-1] + len(encoded.ids))
                spans.append(salient_spans(text, encoded.offsets))
                span_bounds.append(span_bounds[-1] + len(spans[-1]))
    np.savez(folder / BOUNDS, bounds=np.array(bounds), spans=np.concatenate(spans), span_bounds=np.array(span_bounds))
