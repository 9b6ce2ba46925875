"""CoNLL-U without loss (universaldependencies.org/format): sentence blocks kept as text, columns read from them.

A block is a sentence as it stands in the file: comments, multiword tokens (`3-4`), empty nodes (`8.1`) and all.
A file is its blocks joined by `"\\n\\n"`, with `"\\n\\n"` after the last.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lightning_nlp.data.text_files import name_of, read_text

COLUMNS = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
UPOS, HEAD, DEPREL = 3, 6, 7
STRIDE = len(COLUMNS) - 1  # tabs of a row
BETWEEN = re.compile(r"\n\n(?=[^\n])")  # blocks
NEXT_IDS = [f"\n{number}" for number in range(2, 1001)]  # in all but the longest sentences
OTHER_ID = re.compile(r"(?P<first>[1-9]\d*)-(?P<last>[1-9]\d*)|(?P<before>\d+)\.[1-9]\d*")


def read_conllu(file: Path | str, where: str = "") -> Iterator[str]:
    """Yields the sentence blocks of a file, exactly as they stand and without the empty line after each.

    Args:
        file: CoNLL-U, gzip or plain. A missing last empty line is made up for; a second one stays with its block.
        where: the option that named the file, to begin error messages with.

    Raises:
        ValueError: the file is not readable as text, see `text_files.read_lines`. Trees are for `check`.
    """
    return blocks(read_text(file, where))


def read_trees(file: Path | str, where: str = "") -> Iterator[str]:
    """Yields the sentence blocks of a file, each of them checked.

    Args:
        file: CoNLL-U, gzip or plain.
        where: the option that named the file, to begin error messages with.

    Raises:
        ValueError: as `read_conllu` and `check`.
    """
    line = 1
    for block in read_conllu(file, where):
        check(block, name_of(file, where), line)
        yield block
        line += block.count("\n") + 2


def blocks(pieces: Iterable[str]) -> Iterator[str]:
    """Yields the sentence blocks in the text of CoNLL-U, standard input for instance.

    Args:
        pieces: of the text, whole lines each.
    """
    held = [""]
    for piece in pieces:
        held.append(piece)
        if "\n\n" not in held[-2][-2:] + piece:
            continue  # no block ends here: one of many megabytes is put together once
        text = "".join(held)
        body = text.lstrip("\n")
        parts = BETWEEN.split(body)
        parts[0] = text[: len(text) - len(body)] + parts[0]  # empty lines before the first block are its own
        *whole, rest = parts
        yield from whole
        held = [rest]
    last = "".join(held).removesuffix("\n").removesuffix("\n")
    if last.strip("\n"):
        yield last


class Block:
    """A sentence block taken apart; no tuple, as Lightning would look for tensors among all its strings.

    Args:
        fields: its text, cut at the tabs of its rows: first the comments and the ID of the first row, then FORM to
            DEPS, then MISC and the ID of the row below, and so on.
        rows: which rows are syntactic words, leaving out multiword tokens and empty nodes.
    """

    def __init__(self, fields: list[str], rows: Sequence[int]) -> None:
        self.fields, self.rows = fields, rows

    def __str__(self) -> str:
        return "\t".join(self.fields)

    def column(self, number: int) -> list[str]:
        """Returns a column of all words, from FORM to DEPS."""
        if isinstance(self.rows, range):
            return self.fields[number::STRIDE]
        return [self.fields[row * STRIDE + number] for row in self.rows]

    def with_columns(self, heads: Sequence[int], deprels: Sequence[str], upos: Sequence[str] | None = None) -> str:
        """Returns the block with HEAD and DEPREL of its words replaced, and all else as it was, byte for byte.

        Args:
            heads: the head of each word, 0 for the root.
            deprels: the relation of each word to its head.
            upos: the part of speech of each word, or None to leave that column.

        Raises:
            ValueError: a list has another length than the sentence.
        """
        columns = {HEAD: list(map(str, heads)), DEPREL: deprels} | ({} if upos is None else {UPOS: upos})
        if any(len(column) != len(self.rows) for column in columns.values()):
            lengths = [len(column) for column in columns.values()]
            raise ValueError(f"The sentence has {len(self.rows)} words, but the columns to write have {lengths}.")
        fields = self.fields.copy()
        for number, column in columns.items():
            if isinstance(self.rows, range):
                fields[number::STRIDE] = column
            else:
                for row, value in zip(self.rows, column):
                    fields[row * STRIDE + number] = value
        return "\t".join(fields)


def taken_apart(block: str) -> Block:
    """Returns the parts of a sentence block.

    Args:
        block: a well-formed sentence as `read_conllu` yields it.
    """
    fields: list[str] = []
    rows: list[int] = []
    pieces: list[str] = []  # of the field that comments go on
    for line in block.split("\n"):
        identifier, *others = [line] if line.startswith("#") else line.split("\t")
        if identifier.isdecimal():
            rows.append(len(fields) // STRIDE)
        pieces.append(identifier)
        if others:
            fields += ["\n".join(pieces), *others[:-1]]
            pieces = [others[-1]]
    return Block([*fields, "\n".join(pieces)], rows)


def checked(block: str, where: str, first_line: int = 1) -> Block:
    """Returns the parts of a sentence that is to be parsed, its tree unseen.

    Args:
        block: a sentence as `blocks` yields it.
        where: the option and file it came from.
        first_line: the line of the file at which it begins.

    Raises:
        ValueError: as `check_format`.
    """
    fields = block.split("\t")
    *comments, first = fields[0].split("\n")
    count, others = divmod(len(fields) - 1, STRIDE)
    is_table = not others and block.count("\n") == len(comments) + count - 1
    if is_table and all(comment.startswith("#") for comment in comments):
        next_ids = fields[STRIDE:-1:STRIDE]
        if first == "1" and count <= len(NEXT_IDS) and all(map(str.endswith, next_ids, NEXT_IDS)):
            return Block(fields, range(count))
        if (rows := _rows_of_words([f"\n{first}", *next_ids])) is not None:
            return Block(fields, rows)
    check_format(block, where, first_line)
    return taken_apart(block)


def _rows_of_words(next_ids: Sequence[str]) -> list[int] | None:
    """Returns which rows are words, given what stands before each FORM; None where an ID is wrong or missing."""
    rows: list[int] = []
    for row, text in enumerate(next_ids):
        _, line_end, identifier = text.rpartition("\n")
        if not line_end or not _may_follow(identifier, len(rows)):
            return None
        if identifier.isdecimal():
            rows.append(row)
    return rows or None


def words(block: str) -> list[list[str]]:
    """Returns the ten columns of every syntactic word of a block, leaving out multiword tokens and empty nodes.

    Args:
        block: a well-formed sentence as `read_conllu` yields it.
    """
    rows = (line.split("\t") for line in block.split("\n") if not line.startswith("#"))
    return [row for row in rows if row[0].isdecimal()]


def sent_id(block: str) -> str | None:
    """Returns the name that a sentence block's comments give it."""
    found = re.search(r"^# *sent_id *= *(.*)$", block, re.MULTILINE)
    return found[1].strip() if found else None


def check(block: str, where: str, first_line: int = 1) -> None:
    """Checks that a block is well-formed and its heads a tree with one root.

    Args:
        block: a sentence as `read_conllu` yields it.
        where: the option and file it came from.
        first_line: the line of the file at which it begins.

    Raises:
        ValueError: the first fault, with its line and `sent_id`.
    """
    check_format(block, where, first_line)
    rows = [(line, fields) for line, fields in _rows(block, first_line) if fields[0].isdecimal()]
    sentence = _sentence(block)
    for line, fields in rows:
        place = f"{where}, line {line}{sentence}"
        if not (fields[HEAD].isascii() and fields[HEAD].isdecimal()):
            raise _fault(place, f"HEAD is {fields[HEAD]!r}. Expected the number of a word, or 0 for the root")
        if int(fields[HEAD]) > len(rows):
            raise _fault(place, f"HEAD is {fields[HEAD]} but the sentence has {len(rows)} words")
    heads = [int(fields[HEAD]) for _, fields in rows]
    roots = [str(line) for (line, _), head in zip(rows, heads) if head == 0]
    if (looped := _word_on_cycle(heads)) is not None:
        raise _fault(f"{where}, line {rows[looped - 1][0]}{sentence}", f"word {looped} is its own ancestor by HEAD")
    if len(roots) > 1:
        raise _fault(f"{where}, lines {', '.join(roots)}{sentence}", f"{len(roots)} words have HEAD 0. Expected one")


def check_format(block: str, where: str, first_line: int = 1) -> None:
    """Checks the columns and numbers of a block, not its tree: enough for a sentence that is to be parsed.

    Args:
        block: a sentence as `read_conllu` yields it.
        where: the option and file it came from.
        first_line: the line of the file at which it begins.

    Raises:
        ValueError: the first fault, with its line and `sent_id`.
    """
    count = 0
    for line, fields in _rows(block, first_line):
        if len(fields) != len(COLUMNS):
            columns = f"{len(fields)} tab-separated columns. Expected 10 ({' '.join(COLUMNS)})"
            raise _fault(f"{where}, line {line}{_sentence(block)}", columns)
        if not _may_follow(fields[0], count):
            identifier = f"the ID is {fields[0]!r} after word {count}. Expected {count + 1}"
            raise _fault(f"{where}, line {line}{_sentence(block)}", identifier)
        count += fields[0].isdecimal()
    if not count:
        raise _fault(f"{where}, line {first_line}{_sentence(block)}", "the sentence has no words")


def _may_follow(identifier: str, word: int) -> bool:
    """Whether an ID may come next after `word` words: the next word, a token begun by it, or an empty node."""
    if identifier == str(word + 1):
        return True
    other = OTHER_ID.fullmatch(identifier)
    if other is None:
        return False
    if other["before"]:
        return int(other["before"]) == word
    return int(other["first"]) == word + 1 <= int(other["last"])


def _word_on_cycle(heads: Sequence[int]) -> int | None:
    """Returns a word from which no root is reached, walking each arc once; words count from 1."""
    safe = {0}
    for start in range(1, len(heads) + 1):
        path: dict[int, None] = {}
        word = start
        while word not in safe and word not in path:
            path[word] = None
            word = heads[word - 1]
        if word in path:
            return word
        safe.update(path)
    return None


def _rows(block: str, first_line: int) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(block.split("\n"), start=first_line):
        if line and not line.startswith("#"):
            yield number, line.split("\t")


def _sentence(block: str) -> str:
    name = sent_id(block)
    return f" (sent_id {name})" if name else ""


def _fault(place: str, what: str) -> ValueError:
    return ValueError(f"{place}: {what}. Fix the line, or remove the sentence; nothing was written.")
