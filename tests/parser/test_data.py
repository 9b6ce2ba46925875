import json
from pathlib import Path

import pytest
import torch

from lightning_nlp.data.sample_world import sample_rows
from lightning_nlp.parser import ParserData
from lightning_nlp.parser.batch import encode, encode_trees
from lightning_nlp.parser.data import as_block, load_treebank, save_treebank, sentence_and_tree, sentence_blocks
from lightning_nlp.parser.vocabulary import UNKNOWN, Sentence, Tree, Vocabulary

BLOCK = "\n".join(
    [
        "# sent_id = 1",
        "1-2\tdu\t_\t_\t_\t_\t_\t_\t_\t_",
        "1\tde\tde\tADP\tIN\t_\t3\tcase\t_\t_",
        "2\tle\tle\tDET\tDT\t_\t3\tdet\t_\t_",
        "2.1\tnull\t_\t_\t_\t_\t_\t_\t_\t_",
        "3\tPain\tpain\tNOUN\tNN\t_\t0\troot\t_\t_",
    ]
)


def test_words_of_a_block_without_tokens_and_empty_nodes():
    sentence, tree = sentence_and_tree(BLOCK)
    assert sentence == Sentence(["de", "le", "Pain"], ["ADP", "DET", "NOUN"], ["IN", "DT", "NN"])
    assert tree == Tree([3, 3, 0], ["case", "det", "root"])


def test_vocabulary_counts_forms_in_lower_case_and_knows_which_labels_the_root_has():
    names = Vocabulary.of([sentence_and_tree(BLOCK), sentence_and_tree(BLOCK.replace("Pain", "pain"))])
    assert dict(zip(names.forms, names.counts)) == {"de": 2, "le": 2, "pain": 2}
    assert (names.root_labels, names.word_labels) == (["root"], ["case", "det"])
    upper, lower = names.spellings(["Pain", "pain"])
    assert ((upper != lower) == [False, True, False, False, False, False]).all()
    assert names.is_allowed().tolist() == [
        [label != "root" for label in names.labels],
        [label == "root" for label in names.labels],
    ]


def test_relations_are_labels_without_subtypes():
    tree = Tree([0, 1, 1], ["root", "nsubj:pass", "nsubj"])
    names = Vocabulary.of([(Sentence(["a", "b", "c"], ["X"] * 3, ["_"] * 3), tree)])
    assert names.relations == ["nsubj", "root"]
    unseen = Tree([0, 1, 1], ["root", "nsubj:outer", "strange"])
    treebank = encode_trees([Sentence(["a", "b", "c"], ["X"] * 3)], [unseen], names)
    assert treebank.labels.tolist()[1:] == [-1, -1]
    assert [names.relations[x] if x >= 0 else None for x in treebank.relations] == ["root", "nsubj", None]


def test_words_are_spelt_between_marks_and_long_ones_are_read_at_both_ends():
    names = Vocabulary.of([(Sentence(["abcxyz", "é"], ["X"] * 2, ["_"] * 2), Tree([0, 1], ["root", "dep"]))])
    forms = ["", "bé", "\U0001f600a\ud800", "abc" + "q" * 90 + "xyz"]
    written = ["<>", "<bé>", "<?a?>", "<abc" + "?" * 26 + "xyz>"]
    spelt = dict(enumerate(["", "?", "<", ">", *names.characters]))
    assert ["".join(spelt[place] for place in row) for row in names.spellings(forms).tolist()] == written


def test_batches_hold_each_word_once_and_spell_it_the_same_everywhere():
    read = [sentence_and_tree(row["conllu"]) for row in sample_rows("trees", "train")[:50]]
    names = Vocabulary.of(read)
    sentences = [sentence for sentence, _ in read]
    batch = encode(sentences, names).batch([7, 3, 30])
    assert batch.lengths.tolist() == [len(sentences[number].forms) for number in (7, 3, 30)]
    for row, number in enumerate((7, 3, 30)):
        forms = batch.forms[batch.types[row, : batch.lengths[row]]]
        assert forms.tolist() == [names.form_ids[form.lower()] for form in sentences[number].forms]
        assert batch.types[row, batch.lengths[row] :].eq(0).all()
    assert len(batch.forms) == 1 + len({form for number in (7, 3, 30) for form in sentences[number].forms})
    assert encode([Sentence(["qqq"])], names).batch([0]).upos.tolist() == [[UNKNOWN]]


def test_a_treebank_is_read_as_written(tmp_path):
    read = [sentence_and_tree(row["conllu"]) for row in sample_rows("trees", "train")[:50]]
    names = Vocabulary.of(read)
    treebank = encode_trees(*map(list, zip(*read)), names)
    save_treebank(treebank, tmp_path / "treebank.npz")
    for one, other in zip(treebank.__getitems__([4, 9]), load_treebank(tmp_path / "treebank.npz").__getitems__([4, 9])):
        assert all(a.equal(b) for a, b in zip(one, other))


def test_plain_text_and_conllu_are_told_apart():
    found = [str(block) for block in sentence_blocks(["# a title\n\n", "The cat  sleeps ."], "f")]
    assert found == [as_block(["#", "a", "title"]), as_block(["The", "cat", "sleeps", "."])]
    pieces = BLOCK.splitlines(keepends=True)
    assert [block.column(1) for block in sentence_blocks(pieces, "f")] == [["de", "le", "Pain"]]
    assert list(sentence_blocks([], "f")) == []


def test_broken_conllu_names_its_line():
    with pytest.raises(ValueError, match=r"f, line 9 \(sent_id 1\): 2 tab-separated columns"):
        list(sentence_blocks([f"{BLOCK}\n\n# sent_id = 1\n1\tdu"], "f"))


def test_a_row_that_is_as_much_too_long_as_the_next_is_too_short_is_refused():
    long, short = "\t".join(["1", *"abcdefghi", "2"]), "\t".join("abcdefghi")
    with pytest.raises(ValueError, match="f, line 1: 11 tab-separated columns"):
        list(sentence_blocks([f"{long}\n{short}"], "f"))


def test_trees_of_other_files_are_checked_too(tmp_path):
    file = tmp_path / "trees.jsonl"
    rows = [{"conllu": BLOCK}, {"conllu": "1\ta\t_\t_\t_\t_\t2\tdep\t_\t_\n2\tb\t_\t_\t_\t_\t1\tdep\t_\t_"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = ParserData(path="json", data_files={"train": str(file)})
    with pytest.raises(ValueError, match="train, row 2, line 1: word 1 is its own ancestor"):
        data.prepare_data()


def test_vectors_enter_the_vocabulary_and_a_missing_file_says_so(tmp_path):
    file = tmp_path / "vectors.txt"
    file.write_text("2 3\nthe 1 2 3\nbaker 4 5 6\n")
    data = ParserData(path="sample", vectors=str(file))
    data.prepare_data()
    data.setup("fit")
    assert data.vocabulary.vectors == ["the", "baker"]
    assert data.vector_table().equal(torch.tensor([[1.0, 2, 3], [4, 5, 6]]))
    assert data.vocabulary.vector_numbers(["The"]) == [1]
    with pytest.raises(ValueError, match="data\\.vectors"):
        ParserData(path="sample", vectors=str(Path("no.txt"))).prepare_data()


def test_trees_with_crossing_arcs_are_counted_not_dropped(tmp_path):
    """A hearing is scheduled on the issue today."""
    forms, heads = ["A", "hearing", "is", "scheduled", "on", "the", "issue", "today"], [2, 4, 4, 0, 2, 7, 5, 4]
    rows = [
        "\t".join([str(number), form, "_", "X", "_", "_", str(head), "dep" if head else "root", "_", "_"])
        for number, (form, head) in enumerate(zip(forms, heads), start=1)
    ]
    block = "\n".join(rows) + "\n\n"
    (tmp_path / "train.conllu").write_text(block + BLOCK + "\n\n" + block)
    data = ParserData(path="conllu", data_files={"train": str(tmp_path / "train.conllu")})
    data.prepare_data()
    data.setup("fit")
    assert data.crossing() == (2, 3)
    assert sorted(batch.lengths.tolist() for batch, _ in data.train_dataloader()) == [[3, 8, 8]]
