"""Documents as token ids in a file, read where they lie: memory does not grow with the text."""

from array import array
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerFast

from lightning_nlp.transformer.objectives import NO_SPANS, Ids, salient_spans

TOKENS, SPANS, BOUNDS = "tokens.bin", "spans.bin", "bounds.npy"
ENCODED_TOGETHER = 1000  # texts


class Documents:
    """What `write_documents` wrote.

    Args:
        folder: where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self.bounds = np.load(folder / BOUNDS, mmap_mode="r")  # of tokens and of spans
        self.tokens, self.spans = _opened(folder / TOKENS), _opened(folder / SPANS).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, number: int) -> tuple[Ids, Ids]:
        """Returns the tokens of a document, and where its salient spans begin and end, if these were looked for."""
        (token, span), (token_end, span_end) = self.bounds[number : number + 2].tolist()
        return np.asarray(self.tokens[token:token_end]), np.asarray(self.spans[span:span_end])


def write_documents(
    texts: Iterable[str], tokenizer: PreTrainedTokenizerFast, folder: Path, salient: bool = True
) -> None:
    """Encodes texts, a space before each; empty ones are passed over.

    Args:
        texts: of the documents, read once.
        tokenizer: what encodes them.
        folder: where to; it must exist.
        salient: whether to look for salient spans.
    """
    bounds = array("q", [0, 0])
    coming = (f" {text}" for text in texts if text.strip())
    with (folder / TOKENS).open("wb") as tokens, (folder / SPANS).open("wb") as spans:
        while some := list(islice(coming, ENCODED_TOGETHER)):
            for text, encoded in zip(some, tokenizer.backend_tokenizer.encode_batch(some, add_special_tokens=False)):
                found = salient_spans(text, encoded.offsets) if salient else NO_SPANS
                tokens.write(np.array(encoded.ids, np.int32).data)
                spans.write(np.ascontiguousarray(found, np.int32).data)
                bounds.extend((bounds[-2] + len(encoded.ids), bounds[-1] + len(found)))
    np.save(folder / BOUNDS, np.frombuffer(bounds, np.int64).reshape(-1, 2))


def _opened(file: Path) -> Ids:
    return np.memmap(file, np.int32, mode="r") if file.stat().st_size else np.zeros(0, np.int32)
