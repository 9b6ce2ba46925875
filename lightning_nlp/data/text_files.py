"""Local text files, checked while they are read: what is wrong is told by file, line and remedy.

A line ends in `\\n` or `\\r\\n`; nothing else divides it. (The `text` builder of `datasets` opens files with
universal newlines, so a lone `\\r` inside a sentence splits it there, and two aligned files fall out of step.)
Files are recognised as gzip by their content, and a byte order mark is dropped.
"""

import glob
import gzip
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO, cast

MAX_LINE = 10_000_000  # bytes; a longer line is a file without line ends rather than a sentence
BLOCK = 1 << 20
UTF8_BOM, UTF16_BOMS, GZIP_MAGIC = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff"), b"\x1f\x8b"


def read_lines(file: Path | str, where: str = "") -> Iterator[str]:
    """Yields the lines of a UTF-8 file, gzip or plain, without their line ends.

    Args:
        file: the file to read.
        where: the option that named it (`data_files.train`), to begin error messages with.

    Raises:
        ValueError: the file is missing, a directory, empty, blank, binary, not UTF-8, cut off, or has a line beyond
            `MAX_LINE` bytes.
    """
    yield from lines_in(read_text(file, where))


def read_text(file: Path | str, where: str = "") -> Iterator[str]:
    """Yields the text of a UTF-8 file, gzip or plain, in pieces of some megabyte, whole lines each.

    Args:
        file: the file to read.
        where: the option that named it, to begin error messages with.

    Raises:
        ValueError: as `read_lines`.
    """
    with open_bytes(file, where) as stream:
        yield from checked_text(stream, name_of(file, where))


def lines_in(pieces: Iterable[str]) -> Iterator[str]:
    """Yields the lines in pieces of text, without their line ends.

    Args:
        pieces: whole lines each.
    """
    for piece in pieces:
        yield from piece.removesuffix("\n").split("\n")


def check_text(file: Path | str, where: str = "") -> None:
    """Reads a file to its end for what `read_lines` would refuse.

    Args:
        file: the file to check.
        where: the option that named it, to begin error messages with.

    Raises:
        ValueError: as `read_lines`.
    """
    with open_bytes(file, where) as stream:
        for _ in checked_text(stream, name_of(file, where)):
            pass


def check_json(file: Path | str, where: str = "") -> None:
    """Checks a file of JSON lines as text; a file that is one JSON array may have no line ends and is let pass.

    Args:
        file: the file to check.
        where: the option that named it, to begin error messages with.

    Raises:
        ValueError: as `read_lines`.
    """
    with open_bytes(file, where) as stream:
        is_array = stream.read(BLOCK).lstrip().startswith(b"[")
    if not is_array:
        check_text(file, where)


def checked_text(stream: BinaryIO, name: str) -> Iterator[str]:
    """Yields the text of an open stream, standard input for instance, in pieces of whole lines.

    Memory is bounded by the longest line allowed.

    Args:
        stream: bytes of UTF-8 text.
        name: what messages call it.

    Raises:
        ValueError: as `read_lines`.
    """
    seen_lines, seen_text, rest = 0, False, b""
    blocks = iter(lambda: stream.read(BLOCK), b"")
    for block in blocks:
        rest = _without_bom(rest + block, name) if not seen_lines else rest + block
        _refuse_giant_line(rest, blocks, f"{name}, line {seen_lines + 1}")
        end = rest.rfind(b"\n") + 1
        if not end:
            continue
        chunk, rest = rest[:end], rest[end:]
        seen_text = seen_text or bool(chunk.strip())
        yield _decoded(chunk, name, seen_lines)
        seen_lines += chunk.count(b"\n")
    if rest:
        yield _decoded(rest, name, seen_lines)
    if not seen_lines and not rest:
        raise _empty(name)
    if not seen_text and not rest.strip():
        raise ValueError(f"{name} holds only blank lines. Expected text: check the path and run again.")


def read_bitext(source: Path | str, target: Path | str, where: str = "") -> Iterator[tuple[str, str]]:
    """Yields the line pairs of two files read in step.

    Args:
        source: one sentence a line.
        target: its translation on the same line.
        where: the option that named them, to begin error messages with.

    Raises:
        ValueError: the files have different numbers of lines, or as `read_lines`.
    """
    lines = zip_longest(read_lines(source, where), read_lines(target, where))
    for number, (source_line, target_line) in enumerate(lines):
        if source_line is None or target_line is None:
            longer = number + 1 + sum(1 for _ in lines)
            counts = (number, longer) if source_line is None else (longer, number)
            raise ValueError(
                f"{name_of(source, where)} has {counts[0]} lines but {target} has {counts[1]}. "
                "Expected one translation a line: align the files and run again; nothing was written."
            )
        yield source_line, target_line


def matching(pattern: str, where: str = "") -> list[str]:
    """Returns the files of a pattern (`*`, `**`, `?`, `[]`) by the rules of `datasets`; a file is its own.

    Args:
        pattern: a file, there or not, or a pattern.
        where: the option that gave it, to begin error messages with.

    Raises:
        ValueError: no file matches.
    """
    if Path(pattern).exists() or not glob.has_magic(pattern):
        return [pattern]
    from datasets.data_files import resolve_pattern

    try:
        return sorted(resolve_pattern(pattern, base_path=str(Path.cwd())))
    except FileNotFoundError:
        raise ValueError(
            f"{name_of(pattern, where)}: no file matches. Check the pattern (relative to {Path.cwd()}) and run again."
        ) from None


def check_file(file: Path | str, where: str = "") -> None:
    """Checks that there is a file to read, whatever its format.

    Args:
        file: the file to look at.
        where: the option that named it, to begin error messages with.

    Raises:
        ValueError: it is missing, a directory, or holds no byte.
    """
    name, path = name_of(file, where), Path(file)
    if path.is_dir():
        raise ValueError(f"{name} is a directory. Expected a file: name its files, or a pattern such as {file}/*.")
    if not path.exists():
        raise ValueError(f"{name}: there is no such file. Check the path (relative to {Path.cwd()}) and run again.")
    if path.is_file() and path.stat().st_size == 0:
        raise _empty(name)


def check_split(split: str, files: object, pair: bool) -> None:
    """Checks the name of a split and the form of its files, without looking for them.

    Args:
        split: a key of `data_files`.
        files: its value.
        pair: whether a source and a target file are wanted, rather than a file, files or a pattern.

    Raises:
        ValueError: another name or form.
    """
    if split not in ("train", "validation", "test") and not split.startswith("test_"):
        raise ValueError(
            f"data_files has a split {split!r}. Expected train, validation, test or test_<name>: rename it."
        )
    if pair and not (isinstance(files, dict) and set(files) == {"src", "tgt"}):
        raise ValueError(f"data_files.{split} is {files!r}. Expected {{src: FILE, tgt: FILE}} for path bitext.")
    if not pair and (isinstance(files, dict) or not files):
        raise ValueError(
            f"data_files.{split} is {files!r}. Expected a file, files or a pattern: for pairs set path bitext."
        )


@contextmanager
def builder_faults(where: str) -> Iterator[None]:
    """Turns what `datasets` raises into one line that says why.

    Args:
        where: the option, files or name being loaded, to begin error messages with.

    Raises:
        ValueError: instead of the error of `datasets`.
    """
    from datasets.exceptions import DatasetGenerationError, DatasetsError

    try:
        yield
    except (OSError, ValueError, DatasetsError) as error:
        vague = isinstance(error, DatasetGenerationError) and error.__cause__ is not None
        why = " ".join(str(error.__cause__ if vague else error).split())
        raise ValueError(
            f"{where}: cannot be loaded ({why}). Check path, name and files, or give local files: "
            "path text|csv|json|parquet|conllu|bitext and data_files.train; nothing was written."
        ) from error


@contextmanager
def open_bytes(file: Path | str, where: str = "") -> Iterator[BinaryIO]:
    """Opens a file for its bytes, unpacked where the content is gzip.

    Args:
        file: the file to open.
        where: the option that named it, to begin error messages with.

    Raises:
        ValueError: as `check_file`, and while it is read: the gzip file is cut off or damaged.
    """
    check_file(file, where)
    with Path(file).open("rb") as raw:
        if raw.peek(2)[:2] != GZIP_MAGIC:
            yield raw
        else:
            with _gzip_faults(name_of(file, where)), gzip.GzipFile(fileobj=raw) as unpacked:
                yield cast(BinaryIO, unpacked)


def name_of(file: Path | str, where: str = "") -> str:
    """Returns what error messages call a file: the option that named it, and its path."""
    return f"{where}: {file}" if where else str(file)


@contextmanager
def _gzip_faults(name: str) -> Iterator[None]:
    try:
        yield
    except EOFError:
        raise ValueError(f"{name}: the gzip file is cut off. Fetch it again; nothing was written.") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{name}: the gzip file is damaged ({error}). Fetch it again; nothing was written.") from error


def _without_bom(start: bytes, name: str) -> bytes:
    if start.startswith(UTF16_BOMS):
        raise ValueError(
            f"{name}, line 1: the file begins with the mark of UTF-16. Expected UTF-8 text: convert the file "
            "(iconv -f utf16 -t utf8) and run again; nothing was written."
        )
    return start.removeprefix(UTF8_BOM)


def _refuse_giant_line(start: bytes, more: Iterator[bytes], place: str) -> None:
    """Looks at the first line only: no later line of a block can be as long as that."""
    end = start.find(b"\n")
    length = len(start) if end < 0 else end
    if length <= MAX_LINE:
        return
    while end < 0 and (block := next(more, b"")):
        end = block.find(b"\n")
        length += len(block) if end < 0 else end
    raise ValueError(
        f"{place}: the line is {length:,} bytes long. Expected at most {MAX_LINE:,}: "
        "put one sentence or paragraph on a line and run again; nothing was written."
    )


def _decoded(chunk: bytes, name: str, lines_before: int) -> str:
    if b"\0" in chunk:
        line = lines_before + 1 + chunk.count(b"\n", 0, chunk.index(b"\0"))
        raise ValueError(
            f"{name}, line {line}: a NUL byte, so this is no text file. Expected UTF-8 text: "
            "check the path and the format; nothing was written."
        )
    if b"\r" in chunk:
        chunk = chunk.replace(b"\r\n", b"\n")
    try:
        return chunk.decode()
    except UnicodeDecodeError as error:
        line = lines_before + 1 + chunk.count(b"\n", 0, error.start)
        raise ValueError(
            f"{name}, line {line}: byte 0x{chunk[error.start]:02X} is not UTF-8. Expected UTF-8 text: "
            "convert the file (iconv -f latin1 -t utf8) and run again; nothing was written."
        ) from None


def _empty(name: str) -> ValueError:
    return ValueError(f"{name} is empty. Expected text: check the path, or fetch the file again.")
