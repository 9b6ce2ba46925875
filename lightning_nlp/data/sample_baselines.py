"""What the simplest methods score on the sample world: the bar below which a trained model has learnt nothing."""

from collections import Counter

from lightning_nlp.data.dictionary import learn_dictionary, look_up
from lightning_nlp.data.sample_world import sample_rows


def baseline(view: str, split: str = "test") -> tuple[str, float]:
    """The name and the score of the view's simple method.

    Args:
        view: "trees", "translations", "questions" or "word_pairs".
        split: the split that is scored; what is counted beforehand comes from "train".

    Returns:
        The method, and its score: a percentage, or a correlation for word pairs.

    Raises:
        ValueError: the view has no baseline, or not this split.
    """
    if view not in _METHODS:
        raise ValueError(
            f"sample world: found no baseline for {view!r}, expected one of {', '.join(_METHODS)}: name one of these."
        )
    return max((method(split) for method in _METHODS[view]), key=lambda named: named[1])


def shared_sentences(split: str) -> tuple[str, float]:
    """Spearman correlation of the gold scores with the number of training sentences that hold both words."""
    from scipy.stats import spearmanr

    sentences = [set(str(row["text"]).split()) for row in sample_rows("sentences")]
    pairs = sample_rows("word_pairs", split)
    counts = [sum(row["word1"] in words and row["word2"] in words for words in sentences) for row in pairs]
    return "shared sentences", float(spearmanr([row["score"] for row in pairs], counts).statistic)


def attach_to_previous(split: str) -> tuple[str, float]:
    """Percentage of words whose head is the word before, or the root for the first."""
    return "attach to the previous word", _attachment(split, -1)


def attach_to_next(split: str) -> tuple[str, float]:
    """Percentage of words whose head is the word after."""
    return "attach to the next word", _attachment(split, 1)


def _attachment(split: str, distance: int) -> float:
    fields = [line.split("\t") for row in sample_rows("trees", split) for line in str(row["conllu"]).splitlines()]
    offsets = [int(field[6]) - int(field[0]) for field in fields if len(field) == 10]
    return 100 * offsets.count(distance) / len(offsets)


def copy(split: str) -> tuple[str, float]:
    """BLEU of the source itself."""
    return "copy", _bleu(split, {})


def dictionary(split: str) -> tuple[str, float]:
    """BLEU of translating word by word, each into the word it goes with most closely in training."""
    return "word by word dictionary", _bleu(split, learn_dictionary(*_sides("train")))


def _sides(split: str) -> tuple[list[str], list[str]]:
    rows = sample_rows("translations", split)
    return [str(row["source"]) for row in rows], [str(row["target"]) for row in rows]


def _bleu(split: str, dictionary: dict[str, str]) -> float:
    from sacrebleu import corpus_bleu

    sources, targets = _sides(split)
    return corpus_bleu(look_up(sources, dictionary), [targets]).score


def most_frequent_answer(split: str) -> tuple[str, float]:
    """Percentage of questions whose answer is the most frequent one in training."""
    guess, _ = Counter(row["answer"] for row in sample_rows("questions")).most_common(1)[0]
    answers = [row["answer"] for row in sample_rows("questions", split)]
    return "most frequent answer", 100 * answers.count(guess) / len(answers)


_METHODS = {
    "trees": (attach_to_previous, attach_to_next),
    "translations": (copy, dictionary),
    "questions": (most_frequent_answer,),
    "word_pairs": (shared_sentences,),
}
