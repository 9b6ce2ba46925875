from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_nlp.data.conllu import (
    _word_on_cycle,
    blocks,
    check,
    check_format,
    checked,
    read_conllu,
    read_trees,
    taken_apart,
    words,
)

# French "du" is two words, "pense" has an elided twin (an empty node), and MISC holds what a rewrite might tidy up.
SENTENCE = (
    "# sent_id = s-1\n"
    "# text = Il pense du bien\n"
    "1\tIl\til\tPRON\t_\t_\t2\tnsubj\t_\t_\n"
    "2\tpense\tpenser\tVERB\t_\t_\t0\troot\t_\tA= b |C\n"
    "2.1\tpense\tpenser\tVERB\t_\t_\t_\t_\t0:root\t_\n"
    "3-4\tdu\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No\n"
    "3\tde\tde\tADP\t_\t_\t4\tcase\t_\t_\n"
    "4\tle bien\tbien\tNOUN\t_\t_\t2\tobl\t_\t_"
)


def sentence(heads) -> str:
    return "\n".join(f"{n}\tw\t_\t_\t_\t_\t{head}\tdep\t_\t_" for n, head in enumerate(heads, start=1))


def written(sentences) -> str:
    return "".join(f"{block}\n\n" for block in sentences)


def refusal(block: str, first_line: int = 1, check=check) -> str:
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as caught:  # one line
        check(block, "data_files.train: train.conllu", first_line)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        written([SENTENCE]),
        written([SENTENCE] * 3),
        written([SENTENCE, SENTENCE]).replace("\n\n", "\n\n\n"),
        "\n" + written([SENTENCE]),
        written(["# newpar\n" + SENTENCE, sentence([0, 1])]),
    ],
)
def test_reading_and_writing_reproduces_a_file(tmp_path: Path, text):
    file = tmp_path / "x.conllu"
    file.write_text(text, encoding="utf-8")
    assert written(read_conllu(file)) == text


def test_a_missing_last_empty_line_is_made_up_for():
    for end in ("", "\n", "\n\n"):
        assert list(blocks([SENTENCE + end])) == [SENTENCE]
        assert list(blocks([f"{SENTENCE}\n\n{SENTENCE}{end}"])) == [SENTENCE, SENTENCE]


@given(st.lists(st.sampled_from(["\n", "# c\n", "1\tw\n"])), st.sets(st.integers(0, 20)))
@settings(max_examples=300, deadline=None)
def test_blocks_are_the_same_wherever_the_text_is_cut(lines, cuts):
    """Blocks end before the first of some empty lines; the others, and those at the beginning, belong to a block."""
    places = sorted({0, len(lines), *(cut for cut in cuts if cut <= len(lines))})
    found = list(blocks("".join(lines[begin:end]) for begin, end in pairwise(places)))
    text = "".join(lines)
    if not text.strip("\n"):
        assert found == []
        return
    last = "\n" * (2 - min(2, len(text) - len(text.rstrip("\n"))))  # is made up for
    assert written(found) == text + last
    for block in found:
        assert "\n\n" not in block.strip("\n")
    assert all(not block.startswith("\n") for block in found[1:])


def test_words_are_the_syntactic_words_only():
    assert [columns[1] for columns in words(SENTENCE)] == ["Il", "pense", "de", "le bien"]
    assert all(len(columns) == 10 for columns in words(SENTENCE))


def test_writing_the_columns_that_were_read_changes_nothing():
    columns = words(SENTENCE)
    heads, deprels, upos = [int(c[6]) for c in columns], [c[7] for c in columns], [c[3] for c in columns]
    assert taken_apart(SENTENCE).with_columns(heads, deprels, upos) == SENTENCE


def test_only_head_deprel_and_upos_of_words_are_written():
    changed = taken_apart(SENTENCE).with_columns([4, 1, 2, 0], list("abcd"), list("WXYZ"))
    columns = words(changed)
    assert [(c[3], c[6], c[7]) for c in columns] == [("W", "4", "a"), ("X", "1", "b"), ("Y", "2", "c"), ("Z", "0", "d")]
    before, after = SENTENCE.split("\n"), changed.split("\n")
    assert [line for line in after if line[0] == "#" or "." in line[:3] or "-" in line[:3]] == [
        line for line in before if line[0] == "#" or "." in line[:3] or "-" in line[:3]
    ]
    assert [c[:3] + c[4:6] + c[8:] for c in columns] == [c[:3] + c[4:6] + c[8:] for c in words(SENTENCE)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("# text = Il", "# text =\tIl"),
        ("\n2.1", "\n# a comment in the midst\n2.1"),
        ("\t_\n3\tde", "\t_\n#\ta\tb\n3\tde"),
        ("# sent_id", "\n# sent_id"),
    ],
)
def test_a_sentence_to_be_parsed_is_read_as_one_with_a_tree(old, new):
    text = SENTENCE.replace(old, new)
    for block in (text, text + "\n"):
        one, other = checked(block, "x"), taken_apart(block)
        assert str(one) == str(other) == block
        assert list(one.rows) == list(other.rows) == [0, 1, 4, 5]
        assert one.column(1) == other.column(1) == ["Il", "pense", "de", "le bien"]
        assert one.with_columns([4, 1, 2, 0], "abcd") == other.with_columns([4, 1, 2, 0], "abcd")


def test_a_plain_sentence_is_written_as_one_with_tokens_of_several_words():
    text = "# a comment\n" + sentence([2, 0, 2]).replace("\t_\n", "\tA=b\n")
    plain, other = checked(text, "x"), taken_apart(text)
    assert isinstance(plain.rows, range)
    assert plain.with_columns([0, 1, 1], "abc").split("\n")[2] == "2\tw\t_\t_\t_\t_\t1\tb\t_\tA=b"
    assert not isinstance(other.rows, range)
    for upos in (None, ["A", "B", "C"]):
        assert plain.with_columns([0, 1, 1], "abc", upos) == other.with_columns([0, 1, 1], "abc", upos)
    long = sentence(range(1200))  # more words than there are numbers at hand
    assert len(checked(long, "x").rows) == 1200


def test_columns_of_another_length_are_refused():
    with pytest.raises(ValueError, match="4 words"):
        taken_apart(SENTENCE).with_columns([0, 1], ["root", "dep"])


def is_tree(heads) -> bool:
    """By definition: one root, and every word reaches it within as many steps as there are words."""

    def reaches_root(word: int) -> bool:
        for _ in heads:
            word = heads[word - 1] if word else 0
        return word == 0

    return heads.count(0) == 1 and all(reaches_root(word) for word in range(1, len(heads) + 1))


@given(st.integers(1, 6).flatmap(lambda n: st.lists(st.integers(0, n), min_size=n, max_size=n)))
@settings(max_examples=200, deadline=None)
def test_a_sentence_is_accepted_iff_its_heads_are_a_tree(heads):
    if is_tree(heads):
        check(sentence(heads), "x")
    else:
        assert "HEAD" in refusal(sentence(heads))


def test_each_arc_is_walked_once():
    class Counted(list):
        walked = 0

        def __getitem__(self, index):
            self.walked += 1
            return super().__getitem__(index)

    chain = Counted([*range(2, 1001), 0])
    assert _word_on_cycle(chain) is None
    assert chain.walked == len(chain)


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("\t2\tobl", "\t31\tobl", "line 107 (sent_id s-1): HEAD is 31 but the sentence has 4 words"),
        ("\t2\tobl", "\t_\tobl", "line 107 (sent_id s-1): HEAD is '_'"),
        ("\t2\tobl", "\t-1\tobl", "line 107 (sent_id s-1): HEAD is '-1'"),
        ("\t2\tobl", "\t3\tobl", "line 106 (sent_id s-1): word 3 is its own ancestor"),
        ("\t2\tobl", "\t0\tobl", "lines 103, 107 (sent_id s-1): 2 words have HEAD 0"),
        ("\tobl\t_", "\tobl", "line 107 (sent_id s-1): 9 tab-separated columns. Expected 10"),
        ("\n4\t", "\n5\t", "line 107 (sent_id s-1): the ID is '5' after word 3. Expected 4"),
        ("\n2.1\t", "\n1.1\t", "line 104 (sent_id s-1): the ID is '1.1' after word 2"),
        ("\n3-4\t", "\n4-5\t", "line 105 (sent_id s-1): the ID is '4-5' after word 2"),
        ("\n3-4\t", "\n3-2\t", "line 105 (sent_id s-1): the ID is '3-2' after word 2"),
    ],
)
def test_faults_are_told_by_line_and_sentence(old, new, found):
    assert old in SENTENCE
    message = refusal(SENTENCE.replace(old, new), first_line=100)
    assert message.startswith("data_files.train: train.conllu, line")
    assert found in message


def test_a_sentence_without_words_is_refused():
    assert "no words" in refusal("# sent_id = empty")


def test_a_sentence_to_be_parsed_needs_no_heads():
    unparsed = sentence(["_", "_", "_"])
    check_format(unparsed, "x")
    assert "HEAD is '_'" in refusal(unparsed)
    assert "10" in refusal(unparsed.replace("\t_\tdep", "\tdep"), check=check_format)


def test_lines_are_counted_over_the_whole_file(tmp_path: Path):
    file = tmp_path / "x.conllu"
    file.write_text("\n" + written([SENTENCE, SENTENCE + "\n", sentence([0, 7])]), encoding="utf-8")
    line = file.read_text(encoding="utf-8").split("\n").index("2\tw\t_\t_\t_\t_\t7\tdep\t_\t_") + 1
    with pytest.raises(ValueError, match=f"x.conllu, line {line}: HEAD is 7"):
        list(read_trees(file))
