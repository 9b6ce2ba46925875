"""Analogies: against gensim, and by hand."""

import gzip

import numpy as np
import pytest
import torch

from lightning_nlp.word_vectors import similarity
from lightning_nlp.word_vectors.analogies import Analogies, AnalogyScore, analogy_scores, read_analogies
from lightning_nlp.word_vectors.vocabulary import Vocabulary


def world(relations: int = 3, pairs: int = 12, noise: float = 0.9, seed: int = 0):
    """Words whose relations are offsets, blurred so that some analogies fail; other words lie between."""
    rng = np.random.default_rng(seed)
    words, rows, sections = [], [], {}
    for relation in range(relations):
        bases, offset = rng.normal(size=(pairs, 20)), 2 * rng.normal(size=20)
        names = [(f"r{relation}x{pair}", f"r{relation}y{pair}") for pair in range(pairs)]
        words += [word for pair in names for word in pair]
        ends = bases + offset + noise * rng.normal(size=bases.shape)
        rows += [row for pair in zip(bases, ends) for row in pair]
        sections[f"relation {relation}"] = [(*left, *right) for left in names for right in names if left != right]
    words += [f"other{place}" for place in range(100)]
    order = rng.permutation(len(words))
    vectors = np.concatenate([rows, rng.normal(size=(100, 20))]).astype(np.float32)
    return [words[place] for place in order], vectors[order], sections


def write(file, sections) -> None:
    lines = [line for name, rows in sections.items() for line in (f": {name}", *(" ".join(row) for row in rows))]
    file.write_text("\n".join(lines) + "\n", encoding="utf8")


def scores_of(words, vectors, analogies, restrict=300_000):
    return analogy_scores(torch.from_numpy(vectors), Vocabulary(words, [1] * len(words)), analogies, restrict)


def gensim_scores(words, vectors, file, restrict=300_000):
    theirs = pytest.importorskip("gensim.models").KeyedVectors(vectors.shape[1])
    theirs.add_vectors(words, vectors)
    return theirs.evaluate_word_analogies(str(file), restrict_vocab=restrict)


def assert_they_agree(ours, theirs) -> None:
    """The same counts in each section, and the same total."""
    accuracy, sections = theirs
    counts = {part["section"]: (len(part["correct"]), len(part["incorrect"])) for part in sections}
    assert counts.pop("Total accuracy") == (ours.overall.correct, ours.overall.covered - ours.overall.correct)
    assert counts == {name: (part.correct, part.covered - part.correct) for name, part in ours.sections.items()}
    assert ours.overall.accuracy == pytest.approx(100 * accuracy)


# -- scores ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_figure_of_gensim(tmp_path, seed):
    words, vectors, sections = world(seed=seed)
    write(tmp_path / "questions.txt", sections)
    ours = scores_of(words, vectors, read_analogies(tmp_path / "questions.txt"))
    assert_they_agree(ours, gensim_scores(words, vectors, tmp_path / "questions.txt"))
    assert 10 < ours.overall.accuracy < 90  # or else agreement would be no news
    assert ours.overall.total == 3 * 12 * 11


def test_unknown_words_lower_the_coverage_and_not_the_accuracy(tmp_path):
    words, vectors, sections = world()
    sections["none"] = [("r0x1", "r0y1", "unheard", "r0y2"), ("un", "heard", "of", "r0x1")]
    sections["some"] = [*sections["relation 1"][:30], ("r1x1", "r1y1", "r1x2", "unheard")]
    write(tmp_path / "questions.txt", sections)
    for restrict in (300_000, 120):
        ours = scores_of(words, vectors, Analogies(sections), restrict)
        assert_they_agree(ours, gensim_scores(words, vectors, tmp_path / "questions.txt", restrict))
    whole = scores_of(words, vectors, Analogies(sections))
    assert whole.sections["none"] == AnalogyScore(correct=0, covered=0, total=2)
    assert (whole.sections["some"].covered, whole.sections["some"].total) == (30, 31)
    assert ours.overall.covered < whole.overall.covered  # few words were left to ask for
    assert whole.overall.coverage == pytest.approx(100 * (1 - 3 / whole.overall.total))
    assert whole.overall.accuracy_of_all == pytest.approx(whole.overall.accuracy * whole.overall.coverage / 100)


def test_case_is_that_of_gensim(tmp_path):
    """Questions in another case, and words in two spellings of which the first counts and neither is an answer."""
    words, vectors, sections = world()
    rng = np.random.default_rng(1)
    picked = [place for place, word in enumerate(words) if word.startswith("r") and rng.random() < 0.5]
    words = [*words, *(words[place].upper() for place in picked)]
    blurred = vectors[picked] + 0.1 * rng.normal(size=(len(picked), 20)).astype(np.float32)
    vectors = np.concatenate([vectors, blurred.astype(np.float32)])
    titled = {name: [tuple(word.title() for word in row) for row in rows] for name, rows in sections.items()}
    write(tmp_path / "questions.txt", titled)
    ours = scores_of(words, vectors, Analogies(titled))
    assert_they_agree(ours, gensim_scores(words, vectors, tmp_path / "questions.txt"))
    assert ours.overall.coverage == 100
    assert 10 < ours.overall.accuracy < 90


def test_the_number_of_questions_at_once_does_not_matter(monkeypatch):
    words, vectors, sections = world()
    whole = scores_of(words, vectors, Analogies(sections))
    monkeypatch.setattr(similarity, "CELLS", 1)
    assert scores_of(words, vectors, Analogies(sections)) == whole


def test_the_words_of_the_question_are_no_answer_and_lengths_do_not_matter():
    """By hand: king is nearest to king - man + woman, but was given; then queen, however long the vectors are."""
    words = ["man", "woman", "king", "queen", "apple", "nil"]
    rows = np.array([[1, 0, 0], [1, 0.3, 0], [0, 0.1, 1], [0, 0.3, 1], [-1, 0, 0], [0, 0, 0]], np.float32)
    gold = Analogies({"royal": [("man", "woman", "king", "queen"), ("woman", "man", "queen", "king")]})
    for lengths in (np.ones((6, 1)), np.arange(1, 7)[:, None]):
        vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-9) * lengths).astype(np.float32)
        assert scores_of(words, vectors, gold).overall == AnalogyScore(correct=2, covered=2, total=2)


def test_without_another_word_no_answer_is_right():
    words, vectors = ["a", "b", "c"], np.eye(3, dtype=np.float32)
    gold = Analogies({"x": [("a", "b", "c", "a"), ("a", "b", "c", "b"), ("a", "b", "c", "c")]})
    assert scores_of(words, vectors, gold).overall == AnalogyScore(correct=0, covered=3, total=3)


def test_vectors_in_training_are_scored_without_gradients():
    words, vectors, sections = world()
    learnt = torch.nn.Parameter(torch.from_numpy(vectors))
    scores = analogy_scores(learnt, Vocabulary(words, [1] * len(words)), Analogies(sections))
    assert scores == scores_of(words, vectors, Analogies(sections))


def test_nothing_known_scores_nothing():
    words, vectors, _ = world()
    overall = scores_of(words, vectors, Analogies({"x": [("un", "heard", "of", "words")]})).overall
    assert (overall.accuracy, overall.coverage, overall.accuracy_of_all) == (0, 0, 0)


@pytest.mark.shared
def test_the_questions_of_google(tmp_path, shared):
    """All of the file is read; a twentieth of it is answered as by gensim."""
    gold = read_analogies(shared / "word_similarity" / "google_analogies.txt")
    assert len(gold.sections) == 14
    assert sum(map(len, gold.sections.values())) == 19_544
    words = sorted({word.lower() for rows in gold.sections.values() for row in rows for word in row})
    pairs = {(row[0].lower(), row[1].lower()) for rows in gold.sections.values() for row in rows}
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(len(words), 20)).astype(np.float32)
    ids = {word: place for place, word in enumerate(words)}
    for left, right in sorted(pairs):
        vectors[ids[right]] = vectors[ids[left]] + 1.5 + 0.4 * vectors[ids[right]]
    thinned = {name: rows[::20] for name, rows in gold.sections.items()}
    write(tmp_path / "questions.txt", thinned)
    ours = scores_of(words, vectors, Analogies(thinned))
    assert_they_agree(ours, gensim_scores(words, vectors, tmp_path / "questions.txt"))
    assert 10 < ours.overall.accuracy < 90
    assert ours.overall.coverage == 100


# -- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_files_are_read_as_they_are(tmp_path, pack):
    text = (
        ": of countries\nAthens Greece  Oslo\tNorway\n\n:empty\n: was\r\ngo went été mangé\n: of countries\na b c d\n"
    )
    (tmp_path / "questions").write_bytes(pack(text.encode()))
    assert read_analogies(tmp_path / "questions").sections == {
        "of countries": [("Athens", "Greece", "Oslo", "Norway"), ("a", "b", "c", "d")],
        "empty": [],
        "was": [("go", "went", "été", "mangé")],
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (": x\na b c d\na b c\n", "line 3: 3 words. Expected four"),
        (": x\na b c d e\n", "line 2: 5 words. Expected four"),
        ("\na b c d\n", "line 2: 'a b c d' stands before any section"),
        (": x\n: y\n", "holds no questions"),
        ("", "is empty"),
    ],
)
def test_what_is_no_analogy_is_refused(tmp_path, text, found):
    (tmp_path / "questions.txt").write_text(text)
    with pytest.raises(ValueError, match=f"^data.analogies: .*questions.txt.*{found}") as caught:
        read_analogies(tmp_path / "questions.txt", "data.analogies")
    assert "\n" not in str(caught.value)
