"""Text and questions as training sees them."""

import tracemalloc
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from lightning_nlp.data.sample_world import sample_rows
from lightning_nlp.transformer import FinetuningData, PretrainingData
from lightning_nlp.transformer.data import text_batches
from lightning_nlp.transformer.documents import Documents, write_documents
from lightning_nlp.transformer.objectives import MASK_ID, Causal, Mixture, SpanCorruption
from lightning_nlp.transformer.questions import divided, is_held_back, question_source, read_questions

SAMPLE = {"path": "sample", "vocab_size": 600, "context": 64, "batch_tokens": 2048}


def texts_of(data, examples):
    return [data.tokenizer.decode(example.tokens) for example in examples]


def test_every_document_comes_once_before_any_comes_again():
    data = PretrainingData(**SAMPLE)
    data.setup("fit")
    read = texts_of(data, islice(data.examples(), len(data.documents)))
    assert sorted(read) == sorted(f" {row['text']}" for row in sample_rows("biographies", "train"))


def test_a_stream_is_read_as_a_file_is(tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"the word {number} is here\n" for number in range(300)))
    given = {**SAMPLE, "path": "text", "data_files": {"train": str(tmp_path / "a.txt")}, "cache_dir": str(tmp_path)}
    both = [PretrainingData(**given, streaming=streaming) for streaming in (False, True)]
    for data in both:
        data.setup("fit")
    one, other = (texts_of(data, islice(data.examples(), 300)) for data in both)
    assert one == other
    assert len(set(one)) == 300


def test_memory_does_not_grow_with_the_text(tmp_path):
    """Eight times the text in the same memory, but for the bounds of documents: when written, and when read."""
    data = PretrainingData(**SAMPLE)
    data.setup("fit")
    peaks = []
    for size in (1000, 8000):
        (folder := tmp_path / str(size)).mkdir()
        tracemalloc.start()
        write_documents((f"Ada Berg was born in Oslo. {number}" for number in range(size)), data.tokenizer, folder)
        documents = Documents(folder)
        assert sum(len(spans) for _, spans in (documents[number] for number in range(size))) >= size
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] + 32 * 8000


def test_questions_are_mixed_in_at_their_share():
    data = PretrainingData(**SAMPLE, questions="sample", questions_share=0.4)
    data.setup("fit")
    read = texts_of(data, islice(data.examples(), 3000))
    questions = {row["question"] for row in sample_rows("questions", "train")}
    asked = [text for text in read if text.split("⁇")[0].strip() in questions]
    assert len(asked) / len(read) == pytest.approx(0.4, abs=0.03)
    assert {text.split("⁇")[0].strip() for text in asked} == questions


def test_what_is_held_back_is_never_trained_with():
    """The same questions in both data modules, whatever the file they come from."""
    pretraining = PretrainingData(**SAMPLE, questions="sample", held_back=0.25)
    finetuning = FinetuningData(**SAMPLE, held_back=0.25)
    for data in (pretraining, finetuning):
        data.setup("fit")
    held = {one.question for one in pretraining.held_questions}
    assert 10 < len(held) < 60
    assert held <= {one.question for one in finetuning.held_questions}
    for data in (pretraining, finetuning):
        read = texts_of(data, islice(data.examples(), 3000))
        assert not any(text.split("⁇")[0].strip() in held for text in read)


def test_questions_are_held_back_by_their_text_alone():
    asked = read_questions(question_source("sample"), "train")
    kept, held = divided(asked, 0.3)
    assert sorted(kept + held) == sorted(asked)
    assert divided(asked[::-1], 0.3)[1][::-1] == held
    assert np.mean([is_held_back(str(number), 0.3) for number in range(5000)]) == pytest.approx(0.3, abs=0.02)
    assert divided(asked, 0.0) == (asked, [])


def long_text(folder, **options):
    """One document of 3,000 words, a hundred contexts."""
    words = [f"w{number}" for number in range(3000)]
    Path(folder, "text.txt").write_text(" ".join(words) + "\n")
    files = {"train": str(folder / "text.txt")}
    data = PretrainingData(path="text", data_files=files, tokenizer="words", vocab_size=None, context=32, **options)
    data.setup("fit")
    return data


def test_questions_keep_their_share_in_long_texts(tmp_path):
    data = long_text(tmp_path, questions="sample", questions_share=0.4)
    read = islice(data.examples(), 3000)
    assert np.mean([MASK_ID in example.tokens for example in read]) == pytest.approx(0.4, abs=0.03)


@pytest.mark.parametrize("objective", [None, SpanCorruption()])
def test_long_texts_are_read_everywhere(objective, tmp_path):
    data = long_text(tmp_path, objective=objective)
    examples = list(islice(data.examples(), 1500))
    assert all(len(example.tokens) <= 32 for example in examples)
    seen = set(np.concatenate([example.tokens for example in examples]).tolist())
    assert len(seen) > 2950


def test_blank_lines_are_not_scored_and_rows_are_no_longer_than_their_texts(tmp_path):
    data = PretrainingData(**SAMPLE)
    data.setup("fit")
    texts = ["Ada Berg was born.", "", "  ", "Oslo is far."]
    found, expected = (
        list(text_batches(iter(some), data.tokenizer, 64, 2048)) for some in (texts, [texts[0], texts[-1]])
    )
    [(batch, characters)] = found
    assert batch.tokens.shape[0] == 2
    assert batch.tokens.shape[1] < 20
    assert characters == expected[0][1]


def test_a_corrupted_text_has_two_masks():
    data = PretrainingData(**SAMPLE, objective=SpanCorruption(salient=0.5))
    data.setup("fit")
    for example in islice(data.examples(), 100):
        assert example.tokens.tolist().count(MASK_ID) == 2


def test_salient_spans_are_looked_for_only_where_they_are_wanted():
    """A change of the objective prepares anew: spans would be missing, or the time for them lost."""
    wanted = (SpanCorruption(salient=0.5), Mixture([Causal(), SpanCorruption(salient=0.5)]))
    for objective in (*wanted, Causal(), SpanCorruption(), Mixture([Causal(), SpanCorruption()])):
        data = PretrainingData(**SAMPLE, objective=objective)
        data.setup("fit")
        found = sum(len(data.documents[number][1]) for number in range(len(data.documents)))
        assert bool(found) == (objective in wanted)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match=r"data\.context is 99, expected 1 to data\.batch_tokens 64"):
        PretrainingData(context=99, batch_tokens=64)
    with pytest.raises(ValueError, match=r"data\.held_back is 1"):
        FinetuningData(held_back=1.0)
    with pytest.raises(ValueError, match=r"data\.questions_share"):
        PretrainingData(questions="sample", questions_share=1.0)
