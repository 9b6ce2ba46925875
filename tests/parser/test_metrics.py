"""Attachment scores against the official scorer and against counting word by word."""

import io
import random
from collections import Counter
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from udtools.udeval import evaluate, load_conllu

from lightning_nlp.parser.metrics import Accuracy, TreeScores

RELATIONS = ["root", "nsubj", "obj", "nmod", "punct", "det"]
TAGS = ["NOUN", "VERB", "PUNCT"]
ARC_BINS = {"root": 0, "1": 1, "2": 2, "3-4": 4, "5-8": 8, "9-16": 16, "17+": 999}
SENTENCE_BINS = {"1-5": 5, "6-10": 10, "11-20": 20, "21-30": 30, "31-40": 40, "41-60": 60, "61+": 999}


class Sentence(NamedTuple):
    """One sentence, parsed; ids of relations and tags, -1 for a gold relation without id."""

    heads: list[int]
    relations: list[int]
    gold_heads: list[int]
    gold_relations: list[int]
    tags: list[int]


def random_tree(length: int, rng: random.Random) -> list[int]:
    """Hangs every word but the first of a random order on one before it in this order."""
    order = rng.sample(range(1, length + 1), length)
    heads = [0] * length
    for place, word in enumerate(order[1:], start=1):
        heads[word - 1] = rng.choice(order[max(0, place - 3) : place])
    return heads


def random_sentences(count: int, longest: int = 80, seed: int = 0, unknown: bool = True) -> list[Sentence]:
    """Sentences with all manner of errors, and without."""
    rng = random.Random(seed)

    def relations(heads: list[int]) -> list[int]:
        return [0 if head == 0 else rng.randint(1, len(RELATIONS) - 1) for head in heads]

    def sentence(length: int) -> Sentence:
        gold = random_tree(length, rng)
        gold_relations = relations(gold)
        heads = gold if rng.random() < 0.5 else random_tree(length, rng)
        found = relations(heads)
        if rng.random() < 0.6:
            found = [mine if rng.random() < 0.1 else true for mine, true in zip(found, gold_relations)]
        if unknown and rng.random() < 0.3:
            gold_relations[rng.randrange(length)] = -1
        only_punctuation = length < 3 and rng.random() < 0.3
        return Sentence(
            heads, found, gold, gold_relations, [2 if only_punctuation else rng.randint(0, 2) for _ in gold]
        )

    return [sentence(max(1, int(longest * rng.random() ** 2))) for _ in range(count)]


def batch_of(sentences: list[Sentence], extra: int = 0, junk: int = 0) -> list[Tensor]:
    """Heads, relations, gold heads, gold relations, mask and punctuation; padding of any content."""
    longest = max(len(sentence.heads) for sentence in sentences) + extra
    columns = [torch.tensor([[*row, *[junk] * (longest - len(row))] for row in column]) for column in zip(*sentences)]
    mask = torch.tensor([[place < len(sentence.heads) for place in range(longest)] for sentence in sentences])
    return [*columns[:4], mask, columns[4] == TAGS.index("PUNCT")]


def scores_of(*batches: list[Sentence], **padding: int) -> TreeScores:
    scores = TreeScores(RELATIONS)
    for batch in batches:
        scores.update(*batch_of(batch, **padding))
    return scores


def tables(scores: TreeScores) -> list:
    rows = scores.by_relation(), scores.by_arc_length(), scores.by_sentence_length()
    return [scores.compute(), *rows, scores.confusions(99), scores.head_errors(99)]


def conllu(sentences: list[Sentence], heads: str, relations: str, subtype: str) -> io.StringIO:
    blocks = [
        "".join(
            f"{number}\tw\t_\t{TAGS[tag]}\t_\t_\t{head}\t{RELATIONS[relation]}{subtype * (relation > 0)}\t_\t_\n"
            for number, (head, relation, tag) in enumerate(
                zip(getattr(sentence, heads), getattr(sentence, relations), sentence.tags), start=1
            )
        )
        for sentence in sentences
    ]
    return io.StringIO("".join(block + "\n" for block in blocks))


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_official_score(seed):
    """That of the shared task of 2018, which ignores subtypes of relations."""
    sentences = random_sentences(60, seed=seed, unknown=False)
    gold = load_conllu(conllu(sentences, "gold_heads", "gold_relations", ":sub"), "gold", {})
    system = load_conllu(conllu(sentences, "heads", "relations", ""), "system", {})
    official = evaluate(gold, system)
    found = scores_of(sentences).compute()
    assert 20 < found["las"] < found["uas"] < 90
    assert found["uas"] == pytest.approx(100 * official["UAS"].f1)
    assert found["las"] == pytest.approx(100 * official["LAS"].f1)


class Words(NamedTuple):
    """What happened to one word."""

    sentence: int
    length: int
    arc: int
    gold: str
    predicted: str
    head: bool
    both: bool
    punctuation: bool


def word_by_word(sentences: list[Sentence]) -> list[Words]:
    names = [*RELATIONS, "(unknown)"]
    return [
        Words(
            *(place, len(sentence.heads), abs(gold - number) if gold else 0, names[gold_relation], names[relation]),
            *(head == gold, head == gold and relation == gold_relation and gold_relation != -1, TAGS[tag] == "PUNCT"),
        )
        for place, sentence in enumerate(sentences)
        for number, (head, relation, gold, gold_relation, tag) in enumerate(zip(*sentence), start=1)
    ]


def share(flags: list[bool]) -> float:
    return 100 * sum(flags) / len(flags) if flags else 0.0


def attachment(words: list[Words]) -> list[float]:
    """uas, las, ucm, lcm."""
    sentences = {word.sentence: [w for w in words if w.sentence == word.sentence] for word in words}.values()
    return [
        share([word.head for word in words]),
        share([word.both for word in words]),
        share([all(word.head for word in sentence) for sentence in sentences]),
        share([all(word.both for word in sentence) for sentence in sentences]),
    ]


def between(bins: dict[str, int]) -> list[tuple[str, range]]:
    ends = list(bins.values())
    return [(name, range(start + 1, end + 1)) for name, start, end in zip(bins, [-1, *ends], ends)]


def assert_same(rows: list[list], expected: list[list]) -> None:
    """Rows in any order, their numbers rounded to two decimals."""
    rows, expected = ([cell for row in sorted(some) for cell in row] for some in (rows, expected))
    assert rows == pytest.approx(expected, abs=0.006)


@pytest.fixture(scope="module")
def sentences():
    return random_sentences(60)


@pytest.fixture(scope="module")
def words(sentences):
    return word_by_word(sentences)


def test_scores_are_those_of_counting(sentences, words):
    expected = [*attachment(words), *attachment([word for word in words if not word.punctuation])]
    names = ["uas", "las", "ucm", "lcm"]
    assert scores_of(sentences).compute() == pytest.approx(
        dict(zip([*names, *(f"{name}_no_punct" for name in names)], expected))
    )
    assert {word.sentence for word in words} > {word.sentence for word in words if not word.punctuation}


def test_relations_are_those_of_counting(sentences, words):
    expected = []
    for name in [*RELATIONS, "(unknown)"]:
        gold = [word for word in words if word.gold == name]
        given = [word for word in words if word.predicted == name]
        uas, las, *_ = attachment(gold)
        precision = share([word.both for word in given])
        f1 = 2 * precision * las / (precision + las) if precision + las else 0.0
        expected.append([name, len(gold), uas, las, precision, las, f1])
    rows = scores_of(sentences).by_relation()
    assert_same(rows, expected)
    assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)


def test_arc_lengths_are_those_of_counting(sentences, words):
    bins = {name: [word for word in words if word.arc in lengths] for name, lengths in between(ARC_BINS)}
    assert all(bins.values())
    expected = [[name, len(inside), *attachment(inside)[:2]] for name, inside in bins.items()]
    rows = scores_of(sentences).by_arc_length()
    assert_same(rows, expected)
    assert [row[0] for row in rows] == list(ARC_BINS)


def test_sentence_lengths_are_those_of_counting(sentences, words):
    bins = {name: [word for word in words if word.length in lengths] for name, lengths in between(SENTENCE_BINS)}
    assert all(bins.values())
    expected = [
        [name, len({word.sentence for word in inside}), len(inside), *attachment(inside)]
        for name, inside in bins.items()
    ]
    rows = scores_of(sentences).by_sentence_length()
    assert_same(rows, expected)
    assert [row[0] for row in rows] == list(SENTENCE_BINS)


def test_confusions_are_those_of_counting(sentences, words):
    wrong = [word for word in words if word.gold != word.predicted]
    pairs = Counter((word.gold, word.predicted) for word in wrong)
    expected = [
        [*pair, number, 100 * number / len(wrong), sum(not w.head for w in wrong if (w.gold, w.predicted) == pair)]
        for pair, number in pairs.items()
    ]
    rows = scores_of(sentences).confusions(1000)
    assert_same(rows, expected)
    assert [row[2] for row in rows] == [number for _, number in pairs.most_common()]
    assert scores_of(sentences).confusions(3) == rows[:3]


def test_head_errors_are_those_of_counting(sentences, words):
    total = Counter(word.gold for word in words)
    wrong = Counter(word.gold for word in words if not word.head)
    expected = [[name, total[name], number, 100 * number / wrong.total()] for name, number in wrong.items()]
    rows = scores_of(sentences).head_errors(1000)
    assert_same(rows, expected)
    assert [row[2] for row in rows] == [number for _, number in wrong.most_common()]
    assert scores_of(sentences).head_errors(2) == rows[:2]


def test_batches_and_padding_change_nothing(sentences):
    whole = tables(scores_of(sentences))
    assert tables(scores_of(sentences[:1], sentences[1:40], sentences[40:])) == whole
    assert tables(scores_of(sentences, extra=5, junk=77)) == whole


def test_sentences_without_words_are_none(sentences):
    scores = scores_of(sentences)
    scores.update(*[torch.zeros(3, 4, dtype=torch.long)] * 4, *[torch.zeros(3, 4, dtype=torch.bool)] * 2)
    scores.update(*[torch.zeros(0, 0, dtype=torch.long)] * 4, *[torch.zeros(0, 0, dtype=torch.bool)] * 2)
    assert tables(scores) == tables(scores_of(sentences))


def test_processes_bring_their_counts_together(sentences):
    """Each sees its own sentences; all give the scores and tables of all, and go on with their own."""
    mine, other = scores_of(sentences[:25]), scores_of(sentences[25:])
    alone = tables(mine)
    theirs = {state.shape: state for state in other.metric_state.values()}
    mine.distributed_available_fn = lambda: True
    mine.dist_sync_fn = lambda state, group: [state, theirs[state.shape]]
    mine._computed = None
    assert tables(mine) == tables(scores_of(sentences))
    mine.distributed_available_fn = lambda: False
    mine._computed = None
    assert tables(mine) == alone


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_nothing_scores_nothing():
    numbers, *rows = tables(TreeScores(RELATIONS))
    assert set(numbers.values()) == {0.0}
    assert rows == [[]] * 5
    assert Accuracy().compute() == 0.0


def test_a_perfect_parser_has_no_errors():
    gold = random_sentences(20, unknown=False)
    scores = scores_of([s._replace(heads=s.gold_heads, relations=s.gold_relations) for s in gold])
    assert set(scores.compute().values()) == {100.0}
    assert not scores.confusions(9)
    assert not scores.head_errors(9)


def test_a_relation_without_id_is_never_right():
    """Not even where the parser has none to give either."""
    mask = torch.ones(1, 2, dtype=torch.bool)
    heads, relations = torch.tensor([[0, 1]]), torch.tensor([[0, -1]])
    scores = TreeScores(RELATIONS)
    scores.update(heads, relations, heads, relations, mask, ~mask)
    found = scores.compute()
    assert [found[name] for name in ("uas", "las", "ucm", "lcm")] == [100, 50, 100, 0]
    assert scores.by_relation()[1] == ["(unknown)", 1, 100, 0, 0, 0, 0]
    assert scores.confusions(9) == [["(unknown)", "(unknown)", 1, 100, 0]]


def test_an_id_without_a_name_is_an_error(sentences):
    heads, _, *rest = batch_of(sentences)
    with pytest.raises(IndexError):
        TreeScores(RELATIONS).update(heads, torch.full_like(heads, len(RELATIONS) + 1), *rest)


def test_accuracy_counts_words_with_a_known_label():
    labels, gold = torch.tensor([[0, 1, -1], [2, 2, 5]]), torch.tensor([[0, 2, -1], [2, 5, 5]])
    mask = torch.tensor([[True, True, True], [True, True, False]])
    accuracy = Accuracy()
    for row in range(2):
        accuracy.update(labels[row : row + 1], gold[row : row + 1], mask[row : row + 1])
    assert accuracy.compute() == pytest.approx(100 * 2 / 5)
