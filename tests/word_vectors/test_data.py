"""Text on its way into batches, without a trainer."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_nlp.data.sample_world import sample_rows
from lightning_nlp.word_vectors.data import SkipGramData, read_word_pairs
from lightning_nlp.word_vectors.sampling import keep_probability
from lightning_nlp.word_vectors.text import READ_TOGETHER, Text

# Lines as they come: several kinds of white space, an empty line, a carriage return, characters some count as spaces.
LINES = ["the cat\u00a0sat", "", "  a\tdog \x85 ran ", "zero\u200bwidth the \u3000 cat", "tail\r", "the end\u2028the"]


def prepared(**options) -> SkipGramData:
    """A data module after its preparation; by default the sample world."""
    data = SkipGramData(**{"min_count": 1, **options})
    data.prepare_data()
    data.setup("fit")
    return data


def sentences(batch: Text) -> list[tuple[int, ...]]:
    """The sentences of a batch as tuples of ids."""
    counts = torch.bincount(batch.sentence).tolist() if len(batch.sentence) else []
    return [tuple(part.tolist()) for part in batch.tokens.split(counts)]


def epoch(data: SkipGramData, number: int = 0) -> list[list[tuple[int, ...]]]:
    """The sentences of each batch of an epoch."""
    loader = data.train_dataloader()
    sampler: Any = loader.batch_sampler
    sampler.set_epoch(number)
    return [sentences(batch) for batch in loader]


def held_out_sentences(data: SkipGramData) -> list[tuple[int, ...]]:
    """The sentences of validation."""
    batches: Any = data.val_dataloader()
    return [sentence for batch in batches for sentence in sentences(batch)]


def corpus(data: SkipGramData, split: str) -> Counter[tuple[int, ...]]:
    """The sentences of the sample world as ids, by Python alone."""
    ids = data.vocabulary.ids
    lines = [
        tuple(ids[word] for word in str(row["text"]).split() if word in ids) for row in sample_rows("sentences", split)
    ]
    return Counter(line for line in lines if line)


def text_file(name: str, lines: list[str]) -> str:
    Path(name).write_bytes("\n".join([*lines, ""]).encode())
    return name


# -- batches --------------------------------------------------------------------------------------------------------


def test_an_epoch_reads_every_sentence_once():
    data = prepared()
    batches = epoch(data)
    assert Counter(sentence for batch in batches for sentence in batch) == corpus(data, "train")
    sizes = [sum(map(len, batch)) for batch in batches]
    assert max(sizes) < data.batch_tokens + 13 * data.batch_tokens // READ_TOGETHER  # each block by a sentence too long
    assert len(batches) == len(data.train_dataloader())


def test_order_is_that_of_seed_and_epoch(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")
    first, again, second = epoch(prepared()), epoch(prepared()), epoch(prepared(), 1)
    assert first == again != second
    monkeypatch.setenv("PL_GLOBAL_SEED", "8")
    assert epoch(prepared()) != first


def test_batches_follow_batch_tokens():
    small, large = (prepared(batch_tokens=size).train_dataloader() for size in (512, 4096))
    assert len(small) == pytest.approx(8 * len(large), abs=8)
    least = [sum(map(len, batch)) for batch in epoch(prepared(batch_tokens=1))]
    assert max(least) < READ_TOGETHER + 13


def test_each_token_carries_its_chance_to_stay():
    data = prepared(subsample=0.01)
    batch = next(iter(data.train_dataloader()))
    keep = keep_probability(torch.tensor(data.vocabulary.counts), 0.01)
    torch.testing.assert_close(batch.keep, keep[batch.tokens])
    assert 0 < batch.keep.min() < 1 == batch.keep.max()


def test_validation_reads_its_sentences_in_order():
    data = prepared()
    assert held_out_sentences(data) == [
        tuple(data.vocabulary.ids[word] for word in str(row["text"]).split())
        for row in sample_rows("sentences", "validation")
    ]


def test_workers_change_nothing():
    assert epoch(prepared(num_workers=1)) == epoch(prepared())


# -- preparation ----------------------------------------------------------------------------------------------------


def test_vocabulary_is_that_of_gensim(tmp_path):
    word2vec = pytest.importorskip("gensim.models.word2vec")
    file = text_file("nasty.txt", LINES * 3)
    data = prepared(path="text", data_files={"train": file}, min_count=3)
    theirs = Counter(word for sentence in word2vec.LineSentence(file) for word in sentence)
    ours = dict(zip(data.vocabulary.words, data.vocabulary.counts))
    assert ours == {word: count for word, count in theirs.items() if count >= 3}
    assert sum(len(batch) for batch in epoch(data)) == sum(1 for line in LINES * 3 if line.split())


def test_streaming_prepares_the_same(tmp_path, monkeypatch):
    text = [str(row["text"]) for row in sample_rows("sentences", "validation")]
    files = {"train": text_file("train.txt", text), "validation": text_file("validation.txt", text[:40])}
    folders = []
    for streaming, at_once in ((False, 20_000), (True, 64)):
        monkeypatch.setattr("lightning_nlp.word_vectors.data.LINES_AT_ONCE", at_once)
        data = prepared(path="text", data_files=files, streaming=streaming, cache_dir=str(tmp_path / str(streaming)))
        folders.append({file.name: file.read_bytes() for file in data.prepared.iterdir() if file.suffix != ".lock"})
    assert folders[0] == folders[1]
    assert {"vocabulary.json", "train.tokens", "validation.bounds.npy"} <= folders[0].keys()


def test_vocabulary_options_are_part_of_the_folder_and_training_options_are_not():
    folder = prepared().prepared
    assert prepared(subsample=0.5, batch_tokens=64, probes=["cat"]).prepared == folder
    assert prepared(min_count=2).prepared != folder
    assert prepared(max_size=50).prepared != folder
    words = json.loads((prepared(max_size=50).prepared / "vocabulary.json").read_text(encoding="utf-8"))["words"]
    assert words == list(prepared().vocabulary.words)[:50]


def test_rare_words_are_left_out_of_sentences():
    data = prepared(min_count=200)
    assert min(data.vocabulary.counts) >= 200
    assert Counter(sentence for batch in epoch(data) for sentence in batch) == corpus(data, "train")


def test_lower_case_is_a_setting():
    file = text_file("train.txt", ["The CAT saw the cat", "ÉTÉ été"])
    words = {lower: prepared(path="text", data_files={"train": file}, lowercase=lower) for lower in (False, True)}
    assert {"The", "CAT", "the", "ÉTÉ"} <= set(words[False].vocabulary.words)
    assert dict(zip(words[True].vocabulary.words, words[True].vocabulary.counts)) == {
        "the": 2, "cat": 2, "été": 2, "saw": 1,
    }  # fmt: skip


def test_compressed_text_and_a_share_for_validation():
    import gzip

    Path("train.txt.gz").write_bytes(gzip.compress(("the cat sat\n" * 90 + "a dog ran\n" * 10).encode()))
    data = prepared(path="text", data_files={"train": "train.txt.gz"}, validation_fraction=0.1)
    train = [sentence for batch in epoch(data) for sentence in batch]
    held_out = held_out_sentences(data)
    assert (len(train), len(held_out)) == (90, 10)


def test_text_without_a_known_word_is_refused(tmp_path):
    files = {"train": text_file("train.txt", ["the cat"]), "validation": text_file("v.txt", ["ein Hund", ""])}
    data = SkipGramData(min_count=1, path="text", data_files=files, cache_dir=str(tmp_path / "cache"))
    with pytest.raises(ValueError, match=r"data: validation has none of the 2 words .* nothing was written"):
        data.prepare_data()
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


@pytest.mark.parametrize(
    "option",
    [{"min_count": 0}, {"max_size": 0}, {"batch_tokens": 0}, {"subsample": -0.1}, {"columns": {"words": "text"}}],
)
def test_what_no_text_can_have_is_refused(option):
    with pytest.raises(ValueError, match=rf"data\.{next(iter(option))} .* expected"):
        SkipGramData(**option)


def test_a_misspelt_option_is_refused():
    with pytest.raises(TypeError, match="min_cuont"):
        SkipGramData(min_cuont=3)


# -- word pairs -----------------------------------------------------------------------------------------------------


def test_word_pairs_are_read_as_they_stand():
    gold = read_word_pairs(
        Path(text_file("pairs.tsv", ["tiger\tcat\t7.35", "", "New York\tcity\t-1e-1"])), "data.pairs.x"
    )
    assert list(gold.pairs) == [("tiger", "cat"), ("New York", "city")]
    assert list(gold.scores) == [7.35, -0.1]


@pytest.mark.parametrize(
    ("line", "found"), [("tiger\tcat\thigh", "line 2: score is 'high', expected a number"), ("tiger cat 7", "line 2")]
)
def test_what_is_no_word_pair_is_refused(line, found):
    file = text_file("pairs.tsv", ["sun\tmoon\t3", line])
    with pytest.raises(ValueError, match=f"data.pairs.simlex: pairs.tsv, {found}") as caught:
        read_word_pairs(Path(file), "data.pairs.simlex")
    assert "\n" not in str(caught.value)


def test_analogies_are_read_before_training():
    with pytest.raises(ValueError, match=r"data\.analogies: questions\.txt, line 2: 3 words"):
        prepared(analogies=text_file("questions.txt", [": capitals", "Athens Greece Oslo"]))
    data = prepared(analogies=text_file("questions.txt", [": capitals", "Athens Greece Oslo Norway"]))
    questions = data.word_analogies()
    assert questions is not None
    assert list(questions.sections) == ["capitals"]
    assert SkipGramData().word_analogies() is None


def test_the_sample_world_brings_word_pairs_and_files_take_their_place():
    data = SkipGramData()
    validation, test = (data.word_pairs(stage)["pairs"] for stage in ("val", "test"))
    assert len(validation.pairs) == len(validation.scores) > 50
    assert not set(validation.pairs) & set(test.pairs)
    file = text_file("pairs.tsv", ["a\tb\t1"])
    assert SkipGramData(pairs={"mine": file}).word_pairs("val")["mine"].pairs == [("a", "b")]
    assert SkipGramData(path="text", data_files={"train": file}).word_pairs("val") == {}


def test_without_held_out_text_there_is_one_empty_batch_if_pairs_are_to_be_scored():
    file, pairs = text_file("train.txt", ["the cat sat"]), text_file("pairs.tsv", ["the\tcat\t1"])
    assert prepared(path="text", data_files={"train": file}).val_dataloader() == []
    questions = text_file("questions.txt", [": capitals", "Athens Greece Oslo Norway"])
    for scored in ({"pairs": {"mine": pairs}}, {"analogies": questions}):
        (batch,) = prepared(path="text", data_files={"train": file}, **scored).val_dataloader()
        assert [len(part) for part in batch] == [0, 0, 0]
