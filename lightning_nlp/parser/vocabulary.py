"""What a parser knows by name: forms, characters, tags, arc labels, and words that have a pretrained vector."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

NOTHING, UNKNOWN = 0, 1  # ids of what is not there (padding, root) and of what was not seen in training
BEGIN, END = 2, 3  # ids of the ends of a word among its characters
CHARACTERS = 32  # of a word that are looked at: a longer one is read at its ends


class Sentence(NamedTuple):
    """The words of a sentence, and their tags where these are known."""

    forms: Sequence[str]
    upos: Sequence[str] | None = None
    xpos: Sequence[str] | None = None


class Tree(NamedTuple):
    """Heads, 0 for the root, and labels of a sentence's words."""

    heads: Sequence[int]
    labels: Sequence[str]


@dataclass(frozen=True)
class Vocabulary:
    """Names in the order of their ids; those of forms begin at 2, of characters at 4, of tags at 2, of labels at 0.

    Args:
        forms: words in lower case, the most frequent first.
        counts: how often each was seen in training.
        characters: the most frequent first.
        upos: universal parts of speech.
        xpos: the treebank's own.
        labels: of arcs, with their subtypes (`nsubj:pass`).
        root_labels: labels of arcs from the root.
        word_labels: labels of arcs from a word.
        vectors: words that have a pretrained vector, in lower case or not, as they stand in their file.
    """

    forms: Sequence[str]
    counts: Sequence[int]
    characters: Sequence[str]
    upos: Sequence[str]
    xpos: Sequence[str]
    labels: Sequence[str]
    root_labels: Sequence[str]
    word_labels: Sequence[str]
    vectors: Sequence[str] = ()

    @classmethod
    def of(cls, treebank: Iterable[tuple[Sentence, Tree]], vectors: Sequence[str] = ()) -> "Vocabulary":
        """Counts what a treebank holds.

        Args:
            treebank: sentences with tags, and their trees.
            vectors: words that have a pretrained vector.
        """
        forms: Counter[str] = Counter()
        upos: Counter[str] = Counter()
        xpos: Counter[str] = Counter()
        labels: Counter[str] = Counter()
        root_labels: Counter[str] = Counter()
        for sentence, tree in treebank:
            forms.update(sentence.forms)
            upos.update(sentence.upos or ())
            xpos.update(sentence.xpos or ())
            of_root = [label for head, label in zip(tree.heads, tree.labels) if head == 0]
            root_labels.update(of_root)
            labels.update(tree.labels)
        lower, characters = Counter[str](), Counter[str]()
        for form, count in forms.items():
            lower[normal(form)] += count
            for character in form:
                characters[character] += count
        known = ranked(lower)
        return cls(
            forms=known,
            counts=[lower[form] for form in known],
            characters=ranked(characters),
            upos=ranked(upos),
            xpos=ranked(xpos),
            labels=ranked(labels),
            root_labels=ranked(root_labels),
            word_labels=ranked(labels - root_labels),
            vectors=vectors,
        )

    def plain(self) -> dict[str, Any]:
        """Returns lists of names, for a checkpoint or JSON."""
        return {name: list(names) for name, names in asdict(self).items()}

    # -- ids --------------------------------------------------------------------------------------------------------

    @cached_property
    def form_ids(self) -> dict[str, int]:
        """Id of each form."""
        return {form: place for place, form in enumerate(self.forms, start=2)}

    @cached_property
    def upos_ids(self) -> dict[str, int]:
        """Id of each universal part of speech."""
        return {tag: place for place, tag in enumerate(self.upos, start=2)}

    @cached_property
    def xpos_ids(self) -> dict[str, int]:
        """Id of each tag of the treebank's own."""
        return {tag: place for place, tag in enumerate(self.xpos, start=2)}

    @cached_property
    def label_ids(self) -> dict[str, int]:
        """Id of each label."""
        return {label: place for place, label in enumerate(self.labels)}

    @cached_property
    def vector_ids(self) -> dict[str, int]:
        """Id of each word with a pretrained vector."""
        return {word: place for place, word in enumerate(self.vectors, start=1)}

    def vector_numbers(self, forms: Collection[str]) -> NDArray[np.int64]:
        """Returns the id of each word's pretrained vector, as written or else in lower case; 0 where it has none."""
        if not self.vectors:
            return np.zeros(len(forms), np.int64)
        ids = self.vector_ids
        return np.array([ids.get(form) or ids.get(normal(form), NOTHING) for form in forms], np.int64)

    @cached_property
    def character_table(self) -> NDArray[np.int64]:
        """Id of each character by its code point; the last stands for all beyond."""
        table = np.full(max(map(ord, self.characters), default=0) + 2, UNKNOWN)
        table[[ord(character) for character in self.characters]] = range(4, 4 + len(self.characters))
        return table

    def spellings(self, forms: Sequence[str]) -> Int[NDArray[np.int64], "forms characters"]:
        """Returns the ids of words' characters between marks of their ends; of long words both ends. 0 is padding."""
        half = CHARACTERS // 2
        forms = [form if len(form) <= CHARACTERS else form[:half] + form[-half:] for form in forms]
        points = np.frombuffer("".join(forms).encode("utf-32-le", "surrogatepass"), np.uint32)
        lengths = np.fromiter(map(len, forms), np.int64, len(forms))
        out = np.zeros((len(forms), lengths.max(initial=0) + 2), np.int64)
        out[:, 0] = BEGIN
        out[np.arange(len(forms)), lengths + 1] = END
        is_character = np.arange(out.shape[1] - 2) < lengths[:, None]
        out[:, 1:-1][is_character] = self.character_table[np.minimum(points, len(self.character_table) - 1)]
        return out

    # -- relations --------------------------------------------------------------------------------------------------

    @cached_property
    def relations(self) -> list[str]:
        """Universal relations: labels without their subtypes, which is what the official scorer compares."""
        return list(dict.fromkeys(map(relation, self.labels)))

    @cached_property
    def relation_ids(self) -> dict[str, int]:
        """Id of each relation."""
        return {name: place for place, name in enumerate(self.relations)}

    @cached_property
    def relation_of_label(self) -> Int[Tensor, "labels"]:
        """The relation of each label."""
        return torch.tensor([self.relation_ids[relation(label)] for label in self.labels])

    def is_allowed(self) -> Bool[Tensor, "two labels"]:
        """Tells which labels an arc may have: from a word, and from the root."""
        return torch.tensor([[label in of for label in self.labels] for of in (self.word_labels, self.root_labels)])


def normal(form: str) -> str:
    """Returns a form as the table of forms knows it: in lower case; characters tell the rest."""
    return form.lower()


def relation(label: str) -> str:
    """Returns a label without its subtype."""
    return label.partition(":")[0]


def ranked(counts: Counter[str]) -> list[str]:
    """Returns names by falling count, equal ones in alphabetical order."""
    return sorted(counts, key=lambda name: (-counts[name], name))
