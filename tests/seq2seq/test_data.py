import logging

import numpy as np
import pytest

from lightning_nlp.seq2seq.batch import EOS, Bitext, Side
from lightning_nlp.seq2seq.data import Seq2SeqData, encode, load_bitext, save_bitext


def files(folder, sources, targets):
    (folder / "a.src").write_text("".join(line + "\n" for line in sources))
    (folder / "a.tgt").write_text("".join(line + "\n" for line in targets))
    return {"src": str(folder / "a.src"), "tgt": str(folder / "a.tgt")}


def bitext_data(folder, sources, targets, **options):
    given = {"path": "bitext", "data_files": {"train": files(folder, sources, targets)}, "cache_dir": str(folder)}
    data = Seq2SeqData(**{**given, "tokenizer": "words", "vocab_size": None, **options})
    data.setup("fit")
    return data


def test_pairs_come_back_in_batches_of_similar_length(tmp_path):
    sources = ["a b c", "a", "b b", "c a b c", "b"] * 20
    targets = ["x y", "y x z", "z", "x x x x", "y"] * 20
    data = bitext_data(tmp_path, sources, targets, batch_tokens=40)
    seen = []
    for batch, _ in data.train_dataloader():
        assert max(batch.source.shape[1], batch.written.shape[1]) * len(batch.source) <= 40
        words = [
            data.tokenizers[0].convert_ids_to_tokens(row[:n]) for row, n in zip(batch.source, batch.source_lengths)
        ]
        written = [data.tokenizers[1].convert_ids_to_tokens(row[row > 3]) for row in batch.written]
        seen += list(zip(map(" ".join, words), map(" ".join, written)))
    assert sorted(seen) == sorted(zip(sources, targets))


def test_target_counts_are_those_of_what_is_written(tmp_path):
    data = bitext_data(tmp_path, ["a b c", "a", "b b"], ["x y y", "y x z", "z"], joint=False)
    written = np.concatenate([batch.written[batch.is_token()] for batch, _ in data.train_dataloader()])
    counts = data.target_counts()
    assert counts.tolist() == np.bincount(written, minlength=len(data.tokenizers[1])).tolist()
    assert counts[EOS] == 3


def test_pairs_left_out_are_counted(tmp_path, caplog):
    sources = ["a b", "", "a " * 30, "a", "b a"]
    targets = ["x", "y", "x", "x y x y x y", "z"]
    with caplog.at_level(logging.INFO):
        data = bitext_data(tmp_path, sources, targets, max_tokens=20)
    assert len(load_bitext(data.prepared / "train.npz")) == 2
    said = " ".join(caplog.messages)
    assert "5 training pairs" in said
    assert "1 with an empty side, 1 longer than max_tokens 20, 1 with a side 4 times longer" in said


def test_nothing_left_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="No training pair is left"):
        bitext_data(tmp_path, ["a b c d"], ["x y z x"], max_tokens=2)


@pytest.mark.parametrize("joint", [True, False])
def test_tokenizers_are_joint_or_not(tmp_path, joint):
    data = bitext_data(tmp_path, ["a b", "b"], ["x b", "y"], joint=joint)
    assert (data.tokenizers[0] is data.tokenizers[1]) == joint
    assert set(data.tokenizers[1].get_vocab()) - {"<pad>", "<unk>", "<s>", "</s>"} == (
        {"a", "b", "x", "y"} if joint else {"x", "b", "y"}
    )


def test_unsegmented_text_goes_by_characters(tmp_path):
    options = {"tokenizer": "characters", "target_tokenizer": "words", "joint": False}
    data = bitext_data(tmp_path, ["我喜欢书", "书"], ["I like books", "books"], **options)
    batch, _ = data.train_dataloader().dataset.__getitems__([0, 1])
    assert batch.source_lengths.tolist() == [4, 1]


def test_a_bitext_is_kept_in_a_file(tmp_path):
    bitext = Bitext(Side.of([[4, 5], [6]]), Side.of([[7], [8, 9, 4]]))
    save_bitext(bitext, tmp_path / "pairs.npz")
    again = load_bitext(tmp_path / "pairs.npz")
    assert np.array_equal(again.target.tokens, bitext.target.tokens)
    assert again.source.padded([1, 0])[0].tolist() == [[6, 0], [4, 5]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_tokens": 0}, "data.batch_tokens is 0"),
        ({"n_best": 0}, "data.n_best is 0"),
        ({"max_length_ratio": 0.5}, "expected at least 1"),
        ({"columns": {"source": "de"}}, "expected {source: COLUMN, target: COLUMN}"),
        ({"joint": True, "target_tokenizer": "words"}, "one tokenizer for both"),
    ],
)
def test_options_without_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Seq2SeqData(**options)


def test_texts_become_ids(tmp_path):
    data = bitext_data(tmp_path, ["a b", "b"], ["x b", "y"])
    side = encode(data.tokenizers[0], ["b a", "", "unknown b"])
    assert side.lengths.tolist() == [2, 0, 2]
    assert side.tokens[2] == 1
