"""The artefact: its files and answers against gensim's, and in a process without training code."""

import json
import math
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lightning_nlp.word_vectors.config import SkipGramConfig
from lightning_nlp.word_vectors.model import SkipGramModel
from lightning_nlp.word_vectors.vectors import WordVectors
from lightning_nlp.word_vectors.vocabulary import Vocabulary

WORDS = ["the", "cat", "dog", "Paris", "été", "漢字", "no\u00a0break", "mouse", *(f"w{place}" for place in range(52))]
TABLE = np.random.default_rng(0).normal(size=(60, 9)).astype(np.float32)
QUERIES = [("cat", ()), (["cat", "dog"], ["the"]), (["w1", "w1", "w2"], "w3"), ((), ["Paris", "été"])]

# A user's process: nothing that trains is imported, nor transformers.
LOADS = """
import sys
from lightning_nlp.word_vectors.vectors import WordVectors
for path in sys.argv[1:3]:
    vectors = WordVectors.load(path)
    print(vectors.most_similar(["cat", "dog"], ["the"], 1)[0][0], vectors.doesnt_match(["cat", "dog", "w1"]))
print(vectors.evaluate_analogies(sys.argv[3]).overall.total)
heavy = {"pytorch_lightning", "transformers", "datasets", "torchmetrics", "gensim"} & set(sys.modules)
assert not heavy, heavy
"""


def ours() -> WordVectors:
    return WordVectors(WORDS, TABLE)


def theirs(words=WORDS, table=TABLE):
    """The same in gensim."""
    vectors = pytest.importorskip("gensim.models").KeyedVectors(table.shape[1])
    vectors.add_vectors(words, table)
    return vectors


def write_export(folder, words=WORDS, table=TABLE, name="centre.weight"):
    """An export folder by its definition."""
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "skip_gram"}')
    (folder / "vocabulary.json").write_text(json.dumps({"words": words, "counts": [1] * len(words)}))
    save_file({name: torch.from_numpy(table), "context.weight": torch.zeros(60, 9)}, folder / "model.safetensors")
    return folder


def assert_same(left: WordVectors, words, table) -> None:
    assert list(left.words) == list(words)
    assert left.vectors.dtype == torch.float32
    np.testing.assert_array_equal(left.vectors.numpy(), table)


def assert_rows_agree(found, expected) -> None:
    assert [word for word, _ in found] == [word for word, _ in expected]
    assert [cosine for _, cosine in found] == pytest.approx([cosine for _, cosine in expected], abs=1e-6)


def assert_answers_agree(left: WordVectors, right) -> None:
    """The same neighbours, similarities and odd words as gensim."""
    for positive, negative in QUERIES:
        expected = right.most_similar(positive=positive or None, negative=negative or None, topn=8)
        assert_rows_agree(left.most_similar(positive, negative, 8), expected)
    pairs = [("cat", "dog"), ("Paris", "été"), ("w3", "w3"), ("no\u00a0break", "漢字")]
    for pair in pairs:
        assert left.similarity(*pair) == pytest.approx(float(right.similarity(*pair)), abs=1e-6)
    for start in range(0, 50, 5):
        assert left.doesnt_match(WORDS[start : start + 5]) == right.doesnt_match(WORDS[start : start + 5])


# -- answers --------------------------------------------------------------------------------------------------------


def test_answers_are_those_of_gensim():
    assert_answers_agree(ours(), theirs())


def test_lengths_of_vectors_do_not_matter():
    lengths = np.random.default_rng(1).uniform(0.1, 10, (60, 1)).astype(np.float32)
    assert_answers_agree(WordVectors(WORDS, lengths * TABLE), theirs(table=lengths * TABLE))
    assert_answers_agree(WordVectors(WORDS, lengths * TABLE), theirs())


def test_questions_asked_together_answer_as_alone():
    vectors = ours()
    for (positive, negative), row in zip(QUERIES, vectors.most_similar_batch(QUERIES, 5)):
        assert_rows_agree(row, vectors.most_similar(positive, negative, 5))
    lefts, rights = ["cat", "w1", "cat"], ["dog", "w2", "cat"]
    together = vectors.similarity(lefts, rights)
    assert together == pytest.approx([vectors.similarity(*pair) for pair in zip(lefts, rights)], abs=1e-6)
    for word, row in zip(WORDS, vectors.neighbours(WORDS, 5)):
        assert_rows_agree(row, vectors.most_similar(word, count=5))
    assert vectors.neighbours(["unheard", "cat"], 2)[0] == []
    assert vectors.most_similar_batch([]) == vectors.neighbours([]) == vectors.similarity([], []) == []


def test_the_given_words_are_no_answer():
    found = ours().most_similar(["cat", "CAT", "dog"], ["the"], count=1000)
    assert {word for word, _ in found} == set(WORDS) - {"cat", "dog", "the"}
    assert len(found) == 57


def test_words_are_found_as_written_or_in_lower_case():
    vectors = WordVectors(["paris", "Paris", "cat"], np.eye(3))
    assert [vectors.find(word) for word in ("Paris", "PARIS", "Cat", "dog")] == [1, 0, 2, None]
    assert "CAT" in vectors
    assert "dog" not in vectors
    assert vectors["PARIS"].tolist() == [1, 0, 0]
    assert len(vectors) == 3
    assert list(vectors) == ["paris", "Paris", "cat"]
    assert vectors.doesnt_match(["CAT", "Cat", "PARIS"]) == "PARIS"  # as it was asked
    with pytest.raises(KeyError, match="'dog' is not among the 3 words"):
        vectors["dog"]


@pytest.mark.parametrize(
    "ask",
    [
        lambda vectors: vectors.most_similar("unheard"),
        lambda vectors: vectors.most_similar(["cat"], ["unheard"]),
        lambda vectors: vectors.most_similar_batch([("cat", ()), (("cat", "unheard"), ())]),
        lambda vectors: vectors.similarity("cat", "unheard"),
        lambda vectors: vectors.similarity(["unheard"], ["cat"]),
        lambda vectors: vectors.doesnt_match(["cat", "unheard"]),
    ],
)
def test_unknown_words_are_named(ask):
    with pytest.raises(ValueError, match=r"'unheard' is not among the 60 words.* Check the spelling"):
        ask(ours())


@pytest.mark.parametrize(
    ("ask", "found"),
    [
        (lambda vectors: vectors.most_similar([], []), "no word to start from"),
        (lambda vectors: vectors.similarity(["cat"], ["dog", "the"]), "1 words on the left and 2 on the right"),
        (lambda vectors: vectors.doesnt_match([]), "No words to choose from"),
    ],
)
def test_questions_without_sense_are_refused(ask, found):
    with pytest.raises(ValueError, match=found):
        ask(ours())


def test_zeros_are_like_nothing():
    table = TABLE.copy()
    table[1] = 0
    vectors = WordVectors(WORDS, table)
    assert vectors.similarity(["cat", "cat"], ["dog", "cat"]) == [0, 0]
    assert [cosine for _, cosine in vectors.most_similar("cat")] == [0] * 10
    assert dict(vectors.most_similar("dog", count=100))["cat"] == 0
    assert not any(math.isnan(cosine) for _, cosine in vectors.most_similar(["dog", "cat"], "the", count=100))
    assert vectors.doesnt_match(["dog", "cat", "dog"]) == "cat"


def test_words_that_do_not_fit_the_rows_are_refused():
    with pytest.raises(ValueError, match=r"2 words, but the vectors have the shape \(60, 9\)"):
        WordVectors(["a", "b"], TABLE)
    with pytest.raises(ValueError, match="3 words, but only 2 different ones"):
        WordVectors(["a", "b", "a"], TABLE[:3])


# -- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vectors.bin", "vectors.txt", "vectors.vec"])
def test_gensim_opens_what_is_saved(tmp_path, name):
    gensim = pytest.importorskip("gensim.models")
    ours().save(tmp_path / name)
    opened = gensim.KeyedVectors.load_word2vec_format(str(tmp_path / name), binary=name == "vectors.bin")
    assert opened.index_to_key == WORDS
    assert_answers_agree(ours(), opened)


@pytest.mark.parametrize("binary", [True, False])
def test_what_gensim_saves_opens(tmp_path, binary):
    theirs().save_word2vec_format(str(tmp_path / "x"), binary=binary)
    vectors = WordVectors.load(tmp_path / "x")
    assert_same(vectors, WORDS, TABLE)
    assert_answers_agree(vectors, theirs())


@pytest.mark.parametrize("limit", [None, 3, 1000])
def test_every_kind_of_file_opens_and_can_be_limited(tmp_path, limit):
    header = b"60 9\n"
    google = b"".join(word.encode() + b" " + row.tobytes() for word, row in zip(WORDS, TABLE))
    glove = [" ".join([word, *map(repr, row.tolist())]) + "\n" for word, row in zip(WORDS, TABLE)]
    (tmp_path / "google.bin").write_bytes(header + google)
    (tmp_path / "glove.txt").write_text("".join(glove), encoding="utf8")
    ours().save(tmp_path / "ours.bin")
    ours().save(str(tmp_path / "ours.txt"))
    for path in [*tmp_path.iterdir(), write_export(tmp_path / "export")]:
        assert_same(WordVectors.load(str(path), limit), WORDS[:limit], TABLE[:limit])
    assert_answers_agree(WordVectors.load(tmp_path / "google.bin"), theirs())


def test_the_layout_can_be_chosen_against_the_name(tmp_path):
    for name, binary in (("x.txt", True), ("x.bin", False)):
        ours().save(tmp_path / name, binary)
        assert (tmp_path / name).read_bytes()[:40].isascii() != binary
        assert_same(WordVectors.load(tmp_path / name), WORDS, TABLE)


def test_an_exported_model_opens_and_answers_as_the_model(tmp_path):
    model = SkipGramModel(SkipGramConfig(vocab_size=60, dim=9))
    model.vocabulary = Vocabulary(WORDS, [1] * 60)
    torch.nn.init.normal_(model.centre.weight)
    model.save_pretrained(tmp_path)
    vectors = WordVectors.load(tmp_path)
    assert_same(vectors, WORDS, model.centre.weight.detach().numpy())
    for row, expected in zip(vectors.neighbours(WORDS), model.neighbours(WORDS)):
        assert_rows_agree(row, expected)


def test_it_needs_neither_lightning_nor_transformers(tmp_path, run_python):
    ours().save(tmp_path / "vectors.bin")
    (tmp_path / "questions.txt").write_text(": x\ncat dog w1 w2\n")
    paths = [write_export(tmp_path / "export"), tmp_path / "vectors.bin", tmp_path / "questions.txt"]
    answer = [ours().most_similar(["cat", "dog"], ["the"], 1)[0][0], ours().doesnt_match(["cat", "dog", "w1"])]
    assert run_python("-c", LOADS, *map(str, paths)).split() == [*answer, *answer, "1"]


def test_of_a_word_twice_in_a_file_the_first_is_taken(tmp_path):
    gensim = pytest.importorskip("gensim.models")
    (tmp_path / "x.txt").write_text("5 2\na 1 2\nb 3 4\na 5 6\nA 7 8\na 9 0\n")
    with pytest.warns(UserWarning, match=r"x\.txt: 2 of 5 rows repeat a word") as caught:
        vectors = WordVectors.load(tmp_path / "x.txt")
    assert len(caught) == 1
    assert_same(vectors, ["a", "b", "A"], [[1, 2], [3, 4], [7, 8]])
    opened = gensim.KeyedVectors.load_word2vec_format(str(tmp_path / "x.txt"))
    assert [opened[word].tolist() for word in vectors] == vectors.vectors.tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        WordVectors.load(tmp_path / "x.txt", limit=2)


def test_what_holds_no_vectors_is_refused(tmp_path):
    write_export(tmp_path / "short", words=WORDS[:-1])
    write_export(tmp_path / "other", name="encoder.weight")
    (write_export(tmp_path / "bare") / "vocabulary.json").unlink()
    for path, limit, found in [
        (tmp_path / "none.bin", None, r"none\.bin: there is no such file\. Check the path"),
        (tmp_path, None, r"folder without vocabulary\.json\. Expected .* export folder"),
        (tmp_path / "bare", None, r"bare is a folder without vocabulary\.json"),
        (tmp_path / "short", 3, "short: 59 words, but 60 vectors"),
        (tmp_path / "other", None, r"no tensor centre\.weight"),
        (tmp_path / "none.bin", 0, "limit is 0"),
    ]:
        with pytest.raises(ValueError, match=found):
            WordVectors.load(path, limit)


def test_a_name_that_promises_gzip_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"Leave out \.gz"):
        ours().save(tmp_path / "vectors.txt.gz")
    assert list(tmp_path.iterdir()) == []


# -- evaluation -----------------------------------------------------------------------------------------------------


def test_files_of_pairs_and_analogies_score_as_in_gensim(tmp_path):
    rng = np.random.default_rng(2)
    pairs = [(*rng.choice(WORDS, 2, replace=False), str(rng.integers(0, 10))) for _ in range(40)]
    (tmp_path / "pairs.tsv").write_text("".join("\t".join(pair) + "\n" for pair in [*pairs, ("un", "heard", "3")]))
    _, spearman, unknown = theirs().evaluate_word_pairs(str(tmp_path / "pairs.tsv"))
    assert ours().evaluate_pairs(tmp_path / "pairs.tsv") == pytest.approx((spearman.statistic, 100 - unknown), abs=1e-6)

    answers = []
    for three in rng.choice(WORDS[8:], (20, 3)).tolist():
        near = [word for word, _ in theirs().most_similar(three[1:], three[:1]) if word.startswith("w")]
        answers.append((*three, near[0]))
    lines = [" ".join(row) for row in [*answers, ("w1", "w2", "w3", "w4"), ("w1", "w2", "w3", "unheard")]]
    (tmp_path / "questions.txt").write_text(": x\n" + "\n".join(lines) + "\n", encoding="utf8")
    scores = ours().evaluate_analogies(str(tmp_path / "questions.txt"))
    accuracy, _ = theirs().evaluate_word_analogies(str(tmp_path / "questions.txt"))
    assert scores.overall.accuracy == pytest.approx(100 * accuracy)
    assert (scores.overall.covered, scores.overall.total) == (21, 22)
    assert 0 < scores.overall.correct < 21
    assert ours().evaluate_analogies(tmp_path / "questions.txt", restrict=8).overall.covered == 0


def test_faults_of_such_files_name_them(tmp_path):
    (tmp_path / "bad").write_text("a\tb\tc\n")
    with pytest.raises(ValueError, match=r"evaluate_pairs: .*bad, line 1: score is 'c'"):
        ours().evaluate_pairs(tmp_path / "bad")
    with pytest.raises(ValueError, match=r"evaluate_analogies: .*bad, line 1: .* before any section"):
        ours().evaluate_analogies(tmp_path / "bad")
