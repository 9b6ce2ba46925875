"""The sample world keeps its promises: the same everywhere, well-formed, true to its facts, no trivial method wins."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import spearmanr

from lightning_nlp.data.sample_baselines import baseline
from lightning_nlp.data.sample_world import REGIONAL, VIEWS, people, sample_rows, sample_splits

DIGEST = """
import hashlib, json
from lightning_nlp.data.sample_world import VIEWS, sample_rows, sample_splits
rows = [sample_rows(view, split) for view in reversed(VIEWS) for split in sample_splits(view)]
print(hashlib.sha256(json.dumps(rows).encode()).hexdigest())
"""


def texts(view: str, split: str, column: str) -> list[str]:
    return [str(row[column]) for row in sample_rows(view, split)]


def trees(split: str) -> list[list[list[str]]]:
    blocks = texts("trees", split, "conllu")
    return [[line.split("\t") for line in block.split("\n") if not line.startswith("#")] for block in blocks]


def corpus() -> list[list[str]]:
    return [text.split() for text in texts("sentences", "train", "text")]


def test_another_process_with_another_hash_seed_tells_the_same() -> None:
    rows = [sample_rows(view, split) for view in reversed(VIEWS) for split in sample_splits(view)]
    here = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    run = subprocess.run([sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == here


def test_rows_are_the_callers_own() -> None:
    sample_rows("questions")[0]["answer"] = "nowhere"
    assert sample_rows("questions")[0]["answer"] != "nowhere"


@pytest.mark.parametrize(
    ("view", "sizes"),
    [
        ("sentences", (6000, 300, 300)),
        ("trees", (800, 100, 100)),
        ("translations", (2500, 150, 150)),
        ("biographies", (800, 200, 200)),
        ("questions", (120, 40, 40)),
        ("word_pairs", (120, 120)),
        ("analogies", (60, 60)),
    ],
)
def test_every_split_has_its_size(view: str, sizes: tuple[int, ...]) -> None:
    assert tuple(len(sample_rows(view, split)) for split in sample_splits(view)) == sizes


@pytest.mark.parametrize(("view", "split"), [("tree", "train"), ("trees", "dev"), ("word_pairs", "train")])
def test_an_unknown_view_or_split_is_refused_in_one_line_that_names_the_known_ones(view: str, split: str) -> None:
    with pytest.raises(ValueError, match="sample world") as error:
        sample_rows(view, split)
    assert "\n" not in str(error.value)
    assert "validation" in str(error.value) or all(known in str(error.value) for known in VIEWS)


def test_corpus_has_short_sentences_and_a_small_skewed_vocabulary() -> None:
    counts = Counter(word for sentence in corpus() for word in sentence)
    assert all(5 <= len(sentence) <= 14 for sentence in corpus())
    assert 250 <= len(counts) <= 350
    assert min(counts.values()) >= 5
    assert counts.most_common()[9][1] > 5 * np.median(list(counts.values()))


@pytest.mark.parametrize(("view", "column"), [("sentences", "text"), ("trees", "conllu"), ("translations", "source")])
def test_nothing_held_out_is_in_training(view: str, column: str) -> None:
    splits = [{text.split("# text")[-1] for text in texts(view, split, column)} for split in sample_splits(view)]
    assert all(one.isdisjoint(other) for one, other in combinations(splits, 2))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_trees_and_translations_are_of_the_sentences_of_the_corpus(split: str) -> None:
    told = texts("sentences", split, "text")
    spoken = [" ".join(word[1] for word in tree if word[3] != "PUNCT").lower() for tree in trees(split)]
    sources = [source.lower() for source in texts("translations", split, "source")]
    assert spoken == told[: len(spoken)]
    assert sources == told[: len(sources)]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_trees_are_single_rooted_and_acyclic(split: str) -> None:
    for tree in trees(split):
        assert all(len(word) == 10 for word in tree)
        assert [int(word[0]) for word in tree] == list(range(1, len(tree) + 1))
        assert [word[7] == "root" for word in tree] == [word[6] == "0" for word in tree]
        assert sum(word[6] == "0" for word in tree) == 1
        heads = {int(word[0]): int(word[6]) for word in tree}
        for node in heads:
            for _ in tree:
                node = heads.get(node, 0)
            assert node == 0


def test_comments_of_trees_name_the_sentence_and_repeat_its_words() -> None:
    for row, tree in zip(sample_rows("trees", "test"), trees("test")):
        name, text = str(row["conllu"]).split("\n")[:2]
        assert name.startswith("# sent_id = test-")
        assert text == "# text = " + " ".join(word[1] for word in tree)


def crosses(tree: list[list[str]]) -> bool:
    arcs = [sorted((int(word[0]), int(word[6]))) for word in tree]
    return any(a < c < b < d for a, b in arcs for c, d in arcs)


def test_a_few_trees_are_not_projective() -> None:
    assert 0.02 < np.mean([crosses(tree) for tree in trees("train")]) < 0.06


def attachments(preposition: str, key: Callable[[list[list[str]], list[str]], str]) -> dict[str, set[str]]:
    """How phrases with the preposition are attached, by a word that the key finds from tree and noun."""
    found: dict[str, set[str]] = defaultdict(set)
    for tree in trees("train"):
        for word in tree:
            if word[1] == preposition:
                noun = tree[int(word[6]) - 1]
                found[key(tree, noun)].add(noun[7])
    return found


def test_the_noun_decides_what_a_phrase_with_with_hangs_on() -> None:
    by_noun = attachments("with", lambda tree, noun: noun[2])
    assert all(len(relations) == 1 for relations in by_noun.values())
    assert set.union(*by_noun.values()) == {"obl", "nmod"}


def governing_verb(tree: list[list[str]], word: list[str]) -> str:
    path = [word]
    for _ in tree:
        path.append(tree[int(path[-1][6]) - 1])
    return next(word[2] for word in path if word[3] == "VERB")


def test_the_verb_decides_what_a_phrase_with_from_hangs_on() -> None:
    by_verb = attachments("from", governing_verb)
    assert all(len(relations) == 1 for relations in by_verb.values())
    assert set.union(*by_verb.values()) == {"obl", "nmod"}


def test_a_sentence_has_one_translation_and_keeps_its_length_in_bounds() -> None:
    pairs = {
        (row["source"], row["target"])
        for split in sample_splits("translations")
        for row in sample_rows("translations", split)
    }
    assert len({source for source, _ in pairs}) == len(pairs)
    assert all(4 <= len(str(source).split()) <= 12 for source, _ in pairs)


def test_the_first_word_of_a_translation_tells_the_tense() -> None:
    particles: dict[bool, set[str]] = defaultdict(set)
    for row in sample_rows("translations"):
        particles["will" in str(row["source"]).split()].add(str(row["target"]).split()[0])
    assert len(particles[True]) == len(particles[False]) == 1
    assert particles[True] != particles[False]


def test_names_are_kept_and_other_words_are_not() -> None:
    for row in sample_rows("translations"):
        source, target = str(row["source"]).split(), str(row["target"])
        names = [word for word in source[1:] if word[0].isupper() and not word.endswith("ian")]
        assert all(name in target for name in names)
        assert not {word for word in source if word.islower()} & set(target.split())


def test_the_verb_of_a_translation_is_last_and_agrees_with_its_subject_in_vowel() -> None:
    endings = set()
    for row in sample_rows("translations"):
        source, target = str(row["source"]).split(), str(row["target"]).split()
        if (
            source[1] in sum(REGIONAL["trade"], ())
            and source[2].endswith("ed")
            and not {"and", "when", "because"} & {*source}
        ):
            subject = target[1] if source[0] == "The" else target[2]
            assert target[-1][-1] == subject[-1]
            endings.add(subject[-1])
    assert endings == set("aeio")


def test_what_is_done_with_tools_has_another_verb() -> None:
    roots: dict[bool, set[str]] = defaultdict(set)
    things = set(sum(REGIONAL["tool"] + REGIONAL["product"], ()))
    for row in sample_rows("translations"):
        source, target = str(row["source"]).split(), str(row["target"]).split()
        if source.count("offered") == 1 and source[-1] in things and not {"and", "when", "because", "who"} & {*source}:
            roots[source[-1] in sum(REGIONAL["tool"], ())].add(target[-1][:3])
    assert len(roots[True]) == len(roots[False]) == 1
    assert roots[True] != roots[False]


def test_questions_are_about_different_people_whose_birthplace_biographies_tell() -> None:
    asked = [set(texts("questions", split, "question")) for split in sample_splits("questions")]
    assert all(one.isdisjoint(other) for one, other in combinations(asked, 2))
    born = {f"Where was {person.first} {person.last} born?": person for person in people()}
    lives = texts("biographies", "train", "text")
    for split in sample_splits("questions"):
        for row in sample_rows("questions", split):
            person = born[str(row["question"])]
            about = [life for life in lives if f"{person.first} {person.last}" in life]
            assert row["answer"] == person.place
            assert len(about) == 4
            assert all(person.place in life for life in about)


def test_people_have_different_names_and_a_trade_of_their_region() -> None:
    assert len({(person.first, person.last) for person in people()}) == 200
    assert all(person.trade in REGIONAL["trade"][person.region] for person in people())
    assert all(person.place in REGIONAL["place"][person.region] for person in people())


def test_graded_words_are_in_the_corpus_and_no_pair_is_in_both_splits() -> None:
    known = {word for sentence in corpus() for word in sentence}
    pairs = [
        [(row["word1"], row["word2"]) for row in sample_rows("word_pairs", split)] for split in ("validation", "test")
    ]
    quads = [
        [(row["a"], row["b"], row["c"], row["d"]) for row in sample_rows("analogies", split)]
        for split in ("validation", "test")
    ]
    for validation, test in (pairs, quads):
        assert known.issuperset(word for row in validation + test for word in row)
        assert len({*validation, *test}) == len(validation) + len(test)


def vectors(sentences: list[list[str]], dim: int = 24) -> dict[str, np.ndarray]:
    """Positive pointwise mutual information in a window of three words, and its singular vectors."""
    vocabulary = sorted({word for sentence in sentences for word in sentence})
    index = {word: number for number, word in enumerate(vocabulary)}
    counts = np.full((len(vocabulary),) * 2, 1e-9)
    for sentence in sentences:
        for (i, word), (j, context) in combinations(enumerate(index[word] for word in sentence), 2):
            counts[word, context] += abs(i - j) <= 3
    counts += counts.T
    expected = np.outer(counts.sum(0), counts.sum(1)) / counts.sum()
    left, values, _ = np.linalg.svd(np.maximum(np.log(counts / expected), 0))
    points = left[:, :dim] * np.sqrt(values[:dim])
    return dict(zip(vocabulary, points / np.linalg.norm(points, axis=1, keepdims=True)))


def agreement(points: dict[str, np.ndarray], split: str) -> float:
    rows = sample_rows("word_pairs", split)
    cosines = [points[str(row["word1"])] @ points[str(row["word2"])] for row in rows]
    return spearmanr(cosines, [row["score"] for row in rows]).statistic


def test_contexts_tell_the_groups_and_shuffled_contexts_do_not() -> None:
    points = vectors(corpus())
    words = np.random.default_rng(0).permutation([word for sentence in corpus() for word in sentence])
    ends = np.cumsum([len(sentence) for sentence in corpus()])[:-1]
    shuffled = vectors([list(sentence) for sentence in np.split(words, ends)])
    for split in ("validation", "test"):
        assert agreement(points, split) > 0.6
        assert abs(agreement(shuffled, split)) < 0.25


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize(
    ("view", "bound"), [("trees", 45), ("translations", 15), ("questions", 30), ("word_pairs", 0.4)]
)
def test_simple_methods_score_well_below_half(view: str, bound: float, split: str) -> None:
    method, score = baseline(view, split)
    assert method
    assert -0.2 < score < bound


def test_the_most_frequent_answer_is_counted_in_training() -> None:
    guess = Counter(texts("questions", "train", "answer")).most_common(1)[0][0]
    hits = sum(answer == guess for answer in texts("questions", "test", "answer"))
    assert baseline("questions")[1] == pytest.approx(100 * hits / 40)


def test_a_view_without_a_baseline_is_refused() -> None:
    with pytest.raises(ValueError, match="trees, translations, questions, word_pairs"):
        baseline("biographies")
