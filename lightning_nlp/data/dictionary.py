"""A dictionary learned from sentences and their translations, and translating by it word by word."""

from collections import Counter
from collections.abc import Mapping, Sequence

PAIRS = 50_000  # that a dictionary is learned from at most


def learn_dictionary(sources: Sequence[str], targets: Sequence[str]) -> dict[str, str]:
    """Finds for each source word the target word that keeps company with it, by the Dice coefficient.

    Dice = 2 c(s, t) / (c(s) + c(t)), with counts of sentences (Smadja et al. 1996, section 3). Words stand between
    white space.

    Args:
        sources: sentences.
        targets: their translations.
    """
    of_source: Counter[str] = Counter()
    of_target: Counter[str] = Counter()
    together: dict[str, Counter[str]] = {}
    for source, target in zip(sources[:PAIRS], targets[:PAIRS]):
        source_words, target_words = set(source.split()), sorted(set(target.split()))
        of_source.update(source_words)
        of_target.update(target_words)
        for word in source_words:
            together.setdefault(word, Counter()).update(target_words)
    return {
        word: max(company, key=lambda other: (2 * company[other] / (of_source[word] + of_target[other]), other))
        for word, company in sorted(together.items())
        if company
    }


def look_up(texts: Sequence[str], dictionary: Mapping[str, str]) -> list[str]:
    """Replaces each word by its entry; unknown words stay."""
    return [" ".join(dictionary.get(word, word) for word in text.split()) for text in texts]
