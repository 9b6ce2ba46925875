"""Tokenizers of four kinds: words, characters, byte-level BPE (Sennrich et al. 2016), unigram (Kudo 2018).

Training is done by the `tokenizers` library; what comes out is a plain `PreTrainedTokenizerFast`, which AutoTokenizer
loads without this package. The special tokens have the same ids in all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Literal

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TokenizerKind = Literal["words", "characters", "bpe", "unigram"]

PAD, UNK, BOS, EOS = SPECIAL_TOKENS = ("<pad>", "<unk>", "<s>", "</s>")
PAD_ID, UNK_ID, BOS_ID, EOS_ID = range(4)

NO_LIMIT = 2**31 - 1


def train_tokenizer(
    kind: TokenizerKind,
    texts: Iterable[str],
    vocab_size: int | None = None,
    *,
    min_count: int = 1,
    extra_tokens: Sequence[str] = (),
    lowercase: bool = False,
    add_bos: bool = False,
    add_eos: bool = False,
) -> PreTrainedTokenizerFast:
    """Trains a tokenizer; the same texts give the same one, byte for byte, on any machine.

    Not so for unigram: the library sums in the order of a hash table that is seeded anew in each process, so ties fall
    differently. Train it once and keep it, as preparation folders and checkpoints do.

    Args:
        kind: "words" splits on white space alone and "characters" on code points, with entries sorted by count; "bpe"
            merges bytes and can therefore spell anything; "unigram" keeps the pieces of the likeliest segmentation.
        texts: the corpus, read once.
        vocab_size: entries at most, special tokens included. None, for words and characters: all of them.
        min_count: rarer words, characters or merged pairs are left out. Not for unigram.
        extra_tokens: further special tokens, with ids from 4 on.
        lowercase: fold case before everything else.
        add_bos: begin every encoded text with `<s>`.
        add_eos: end every encoded text with `</s>`.

    Returns:
        A tokenizer with pad 0, unk 1, bos 2, eos 3. Characters and bpe read a special token that is spelt out in a text
        as text, letter by letter, so decoding gives every text back (characters: of known characters).

    Raises:
        ValueError: no text, nothing frequent enough, a vocabulary too small, or an option the kind does not know.
    """
    special_tokens = [*SPECIAL_TOKENS, *extra_tokens]
    check_options(kind, vocab_size, min_count, special_tokens)
    tokenizer = untrained(kind)
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    trainer = trainer_of(kind, vocab_size or NO_LIMIT, min_count, special_tokens)
    tokenizer.train_from_iterator(nonempty(texts, kind), trainer)
    if kind in ("words", "characters"):
        tokenizer.model = specials_first(tokenizer.get_vocab(), special_tokens)
    if tokenizer.get_vocab_size() == len(special_tokens):
        raise ValueError(f"no entry for a {kind} tokenizer occurs {min_count} times: lower min_count, or add text.")
    tokenizer.post_processor = surround(add_bos, add_eos)
    return wrap(tokenizer, extra_tokens)


def check_options(kind: TokenizerKind, vocab_size: int | None, min_count: int, special_tokens: Sequence[str]) -> None:
    """Refuses options that contradict each other, or that a kind would ignore.

    Raises:
        ValueError: naming the option and its remedy.
    """
    alphabet = 256 if kind == "bpe" else 1
    if vocab_size is None and kind in ("bpe", "unigram"):
        raise ValueError(f"vocab_size: a {kind} tokenizer needs one, for example 8000.")
    if vocab_size is not None and vocab_size < alphabet + len(special_tokens):
        raise ValueError(
            f"vocab_size: found {vocab_size}, expected at least {alphabet + len(special_tokens)} "
            f"for {len(special_tokens)} special tokens and {alphabet} more."
        )
    if kind == "unigram" and min_count != 1:
        raise ValueError(f"min_count: found {min_count}, but a unigram tokenizer counts no pieces: set vocab_size.")
    if len(set(special_tokens)) < len(special_tokens):
        raise ValueError(f"extra_tokens: a token occurs twice among {', '.join(special_tokens)}: name each once.")


def untrained(kind: TokenizerKind) -> Tokenizer:
    """Returns the empty model of a kind, with what cuts a text and what joins it again."""
    if kind == "bpe":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
    elif kind == "unigram":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
    elif kind == "characters":
        tokenizer = Tokenizer(models.WordLevel(unk_token=UNK))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"(?m:.)"), "isolated")  # m: a newline is a character too
        tokenizer.decoder = decoders.Fuse()
    else:
        tokenizer = Tokenizer(models.WordLevel(unk_token=UNK))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def trainer_of(
    kind: TokenizerKind, vocab_size: int, min_count: int, special_tokens: list[str]
) -> trainers.BpeTrainer | trainers.UnigramTrainer | trainers.WordLevelTrainer:
    """Returns the library's trainer for a kind; the options mean the same in each."""
    if kind == "bpe":
        return trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=min_count,
            special_tokens=special_tokens,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )
    if kind == "unigram":
        return trainers.UnigramTrainer(vocab_size=vocab_size, special_tokens=special_tokens, unk_token=UNK)
    return trainers.WordLevelTrainer(vocab_size=vocab_size, min_frequency=min_count, special_tokens=special_tokens)


def nonempty(texts: Iterable[str], kind: TokenizerKind) -> Iterator[str]:
    """Returns the texts from the first that holds more than white space.

    Raises:
        ValueError: there is none.
    """
    rest = iter(texts)
    for text in rest:
        if text.strip():
            return chain([text], rest)
    raise ValueError(
        f"no text to train a {kind} tokenizer on: found nothing but empty lines; check data_files and columns."
    )


def specials_first(vocab: dict[str, int], special_tokens: Sequence[str]) -> models.WordLevel:
    """Gives special tokens their ids back: the trainer moves those that occur in the corpus, as `<unk>` may do."""
    words = sorted(vocab.keys() - set(special_tokens), key=vocab.__getitem__)
    return models.WordLevel({token: index for index, token in enumerate([*special_tokens, *words])}, unk_token=UNK)


def surround(add_bos: bool, add_eos: bool) -> processors.TemplateProcessing:
    """Returns the step that puts the tokens of beginning and end around ids."""
    bos, eos = [BOS] * add_bos, [EOS] * add_eos
    return processors.TemplateProcessing(
        single=[*bos, "$A", *eos],
        pair=[*bos, "$A", *eos, "$B", *eos],
        special_tokens=[(BOS, BOS_ID), (EOS, EOS_ID)],
    )


def wrap(tokenizer: Tokenizer, extra_tokens: Sequence[str]) -> PreTrainedTokenizerFast:
    """Tells transformers which tokens are special, and not to look for them in what a user types."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNK,
        bos_token=BOS,
        eos_token=EOS,
        extra_special_tokens=list(extra_tokens),
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,
    )


def tokenizer_to_json(tokenizer: PreTrainedTokenizerFast) -> str:
    """Returns the content of `tokenizer.json`: a plain string, for a checkpoint."""
    return tokenizer.backend_tokenizer.to_str()


def tokenizer_from_json(text: str) -> PreTrainedTokenizerFast:
    """Rebuilds a tokenizer of this module from `tokenizer_to_json`.

    Args:
        text: content of a `tokenizer.json`.

    Raises:
        ValueError: its first ids are not this project's special tokens.
    """
    tokenizer = Tokenizer.from_str(text)
    first = tuple(tokenizer.id_to_token(index) for index in range(len(SPECIAL_TOKENS)))
    if first != SPECIAL_TOKENS:
        raise ValueError(
            f"tokenizer.json: ids 0 to 3 are {first}, expected {SPECIAL_TOKENS}: use a tokenizer that was trained here."
        )
    added = sorted(tokenizer.get_added_tokens_decoder().items())
    return wrap(tokenizer, [token.content for index, token in added if index >= len(SPECIAL_TOKENS)])
