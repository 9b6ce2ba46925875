import json
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from lightning_nlp.data.tokenizers import (
    BOS_ID,
    EOS_ID,
    PAD_ID,
    SPECIAL_TOKENS,
    UNK_ID,
    tokenizer_from_json,
    tokenizer_to_json,
    train_tokenizer,
)

KINDS = ["words", "characters", "bpe", "unigram"]
CORPUS = [
    "the miller of Arn sings to the baker 's daughter .",
    "the baker of Tolm bakes , and the miller mills .",
    "a daughter of the miller was born in Arn , a son in Tolm .",
    "nobody in Tolm sings , but the miller 's daughter sings in Arn .",
] * 3
NASTY = [
    "",
    " ",
    "\r\n\t",
    "a\x00b",
    "e\u0301 combining, \u00e9 composed",
    "שלום עולם, مرحبا",
    "👩‍👩‍👧‍👦 🏳️‍🌈",
    "zero\u200bwidth\u200d\ufeff",
    "\u202eright to left",
    "\U0010ffff",
    "<s> </s> <pad><unk>",
    "▁metaspace Ġbyte",
    "  two  spaces ",
    "a" * 20_000,
    "a b " * 5_000,
]


def trained(kind, texts=CORPUS, **options):
    sizes = {"bpe": 330, "unigram": 80}
    return train_tokenizer(kind, texts, sizes.get(kind), **options)


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_have_the_same_ids_in_every_kind(kind):
    tokenizer = trained(kind, extra_tokens=["<mask>", "<sep>"])
    ids = (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert ids == (PAD_ID, UNK_ID, BOS_ID, EOS_ID) == (0, 1, 2, 3)
    assert tokenizer.convert_tokens_to_ids(["<mask>", "<sep>"]) == [4, 5]
    assert set(tokenizer.all_special_tokens) == {*SPECIAL_TOKENS, "<mask>", "<sep>"}


def test_words_are_sorted_by_count_and_ties_by_alphabet():
    counts = Counter(" ".join(CORPUS).split())
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    tokenizer = trained("words")
    assert tokenizer.convert_ids_to_tokens(range(4, len(tokenizer))) == ranked
    frequent = train_tokenizer("words", CORPUS, 12, min_count=4)
    assert frequent.convert_ids_to_tokens(range(4, len(frequent))) == [w for w in ranked if counts[w] >= 4][:8]


def test_characters_are_sorted_by_count():
    counts = Counter("".join(CORPUS))
    tokenizer = trained("characters")
    ranked = sorted(counts, key=lambda character: (-counts[character], character))
    assert tokenizer.convert_ids_to_tokens(range(4, len(tokenizer))) == ranked


def test_words_split_on_white_space_alone():
    words = ["don't", "co-op", "3.5", "end.", "\u200b", "’s"]
    tokenizer = train_tokenizer("words", [" ".join(words)])
    assert tokenizer.tokenize("\t \u00a0\n".join(words)) == words
    assert tokenizer.decode(tokenizer("co-op end. 3.5").input_ids) == "co-op end. 3.5"
    assert tokenizer("co-op end .").input_ids[1:] == [UNK_ID, UNK_ID]


@pytest.mark.parametrize("kind", ["words", "characters"])
def test_special_tokens_in_the_corpus_keep_their_ids(kind):
    tokenizer = train_tokenizer(kind, ["a <unk> b <unk> ⁇ <s>"] * 3, extra_tokens=["⁇"])
    assert tokenizer.convert_tokens_to_ids([*SPECIAL_TOKENS, "⁇"]) == [0, 1, 2, 3, 4]
    assert sorted(tokenizer.get_vocab().values()) == list(range(len(tokenizer)))


def test_subwords_lie_between_words_and_characters():
    lengths = {name: len(trained(name)(CORPUS[0]).input_ids) for name in KINDS}
    assert lengths["words"] <= lengths["unigram"] < lengths["characters"]
    assert lengths["words"] <= lengths["bpe"] < lengths["characters"]


@pytest.mark.parametrize("kind", KINDS)
def test_nasty_strings_neither_crash_nor_leave_the_vocabulary(kind):
    tokenizer = trained(kind)
    for text in NASTY:
        assert all(0 <= index < len(tokenizer) for index in tokenizer(text).input_ids)


@pytest.mark.parametrize("kind", ["characters", "bpe"])
def test_nasty_strings_round_trip(kind):
    tokenizer = trained(kind, texts=CORPUS + NASTY, add_bos=True, add_eos=True)
    for text in NASTY:
        assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


@pytest.fixture(scope="module")
def bytes_tokenizer():
    return trained("bpe")


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
@settings(max_examples=100, deadline=None)
def test_bpe_spells_characters_it_never_saw(bytes_tokenizer, text):
    ids = bytes_tokenizer(text).input_ids
    assert UNK_ID not in ids
    assert bytes_tokenizer.decode(ids, skip_special_tokens=True) == text


def test_unigram_gives_plain_sentences_back():
    tokenizer = trained("unigram")
    for text in CORPUS:
        assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_lowercase_and_sentence_ends():
    tokenizer = trained("words", lowercase=True, add_bos=True, add_eos=True)
    ids = tokenizer("The MILLER").input_ids
    assert tokenizer.convert_ids_to_tokens(ids) == ["<s>", "the", "miller", "</s>"]
    assert trained("words", add_eos=True)("the", "a").input_ids.count(EOS_ID) == 2
    assert EOS_ID not in trained("words")("the").input_ids


@pytest.mark.parametrize("kind", KINDS)
def test_json_string_rebuilds_the_tokenizer(kind):
    tokenizer = trained(kind, extra_tokens=["<mask>"], add_eos=True)
    again = tokenizer_from_json(tokenizer_to_json(tokenizer))
    assert tokenizer_to_json(again) == tokenizer_to_json(tokenizer)
    assert again.special_tokens_map == tokenizer.special_tokens_map
    assert [again(text).input_ids for text in CORPUS + NASTY] == [tokenizer(text).input_ids for text in CORPUS + NASTY]


@pytest.mark.parametrize("kind", KINDS)
def test_saved_folder_loads_with_auto_tokenizer(tmp_path, kind):
    tokenizer = trained(kind, texts=CORPUS + NASTY, extra_tokens=["<mask>"], add_bos=True)
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again.special_tokens_map == tokenizer.special_tokens_map
    for text in CORPUS + NASTY:
        ids = tokenizer(text).input_ids
        assert again(text).input_ids == ids
        assert again.decode(ids) == tokenizer.decode(ids)


OTHER_PROCESS = """
import json, sys
from transformers import AutoTokenizer
folder, corpus = sys.argv[1], json.loads(sys.argv[2])
ids = [AutoTokenizer.from_pretrained(f"{folder}/{kind}")(corpus).input_ids for kind in sys.argv[3:]]
assert not any(name.startswith("lightning_nlp") for name in sys.modules)
from lightning_nlp.data.tokenizers import tokenizer_to_json, train_tokenizer
retrained = {
    "words": train_tokenizer("words", corpus),
    "characters": train_tokenizer("characters", corpus),
    "bpe": train_tokenizer("bpe", corpus, 330),
}
print(json.dumps([ids, {kind: tokenizer_to_json(tokenizer) for kind, tokenizer in retrained.items()}]))
"""


def test_another_process_loads_and_trains_the_same(tmp_path):
    tokenizers = {kind: trained(kind) for kind in KINDS}
    for kind, tokenizer in tokenizers.items():
        tokenizer.save_pretrained(tmp_path / kind)
    command = [sys.executable, "-c", OTHER_PROCESS, str(tmp_path), json.dumps(CORPUS), *KINDS]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    ids, retrained = json.loads(result.stdout.splitlines()[-1])
    assert ids == [tokenizer(CORPUS).input_ids for tokenizer in tokenizers.values()]
    # Not unigram: its trainer depends on the order of a hash table, which differs between processes.
    assert retrained == {kind: tokenizer_to_json(tokenizers[kind]) for kind in ("words", "characters", "bpe")}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: train_tokenizer("words", []), "no text to train a words tokenizer"),
        (lambda: train_tokenizer("bpe", ["", " \n"], 300), "no text to train a bpe tokenizer"),
        (lambda: train_tokenizer("words", ["a b"], min_count=2), "lower min_count"),
        (lambda: train_tokenizer("bpe", CORPUS), "vocab_size: a bpe tokenizer needs one"),
        (lambda: train_tokenizer("bpe", CORPUS, 259), "found 259, expected at least 260"),
        (lambda: train_tokenizer("unigram", CORPUS, 80, min_count=2), "min_count: found 2"),
        (lambda: train_tokenizer("words", CORPUS, extra_tokens=["<s>"]), "extra_tokens"),
        (lambda: tokenizer_from_json(tokenizer_to_json(trained("words")).replace("<pad>", "<nil>")), "trained here"),
    ],
)
def test_impossible_requests_are_refused(build, message):
    with pytest.raises(ValueError, match=message) as error:
        build()
    assert "\n" not in str(error.value)
