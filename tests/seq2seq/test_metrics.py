import pytest
import torch
from sacrebleu import corpus_bleu, corpus_chrf

from lightning_nlp.seq2seq.metrics import Scored, TranslationScores, by_length, signatures, text_scores

REFERENCES = ["the cat sat on the mat", "a dog barks at night", "birds fly"]
HYPOTHESES = ["the cat sat on a mat", "a dog barks by night", "birds fly"]


def test_scores_are_sacrebleus():
    found = text_scores(HYPOTHESES, REFERENCES)
    assert found["bleu"] == corpus_bleu(HYPOTHESES, [REFERENCES]).score
    assert found["chrf"] == corpus_chrf(HYPOTHESES, [REFERENCES]).score
    assert found["length_ratio"] == 1.0
    assert "tok:13a" in signatures()["bleu"]
    assert "case:mixed" in signatures()["bleu"]


def test_translations_without_spaces_have_words_by_another_rule():
    """By its own rule sacrebleu takes each of these for one word, so that no four of them follow each other."""
    texts, references = ["我喜欢读很多书", "他在家"], ["我喜欢读很多好书", "他在家"]
    assert text_scores(texts, references)["bleu"] == 0
    assert text_scores(texts, references, "zh")["bleu"] == corpus_bleu(texts, [references], tokenize="zh").score > 50
    assert "tok:zh" in signatures("zh")["bleu"]
    assert by_length(Scored(["a b", "a b"], references, texts), "zh")[0][2] > 50


def test_batches_add_up_in_the_order_of_the_texts():
    scores = TranslationScores(["s0", "s1", "s2"], REFERENCES)
    scores.add(torch.tensor([2, 0]), [HYPOTHESES[2], HYPOTHESES[0]], torch.tensor(6.0), 8, 0.5)
    scores.add(torch.tensor([1]), [HYPOTHESES[1]], torch.tensor(2.0), 8, 0.5)
    found, scored = scores.compute()
    assert scored.hypotheses == HYPOTHESES
    assert found["loss"] == 0.5
    assert found["perplexity"] == pytest.approx(2.718281828**0.5)
    assert found["perplexity_character"] == pytest.approx(2.718281828 ** (8 / (sum(map(len, REFERENCES)) + 3)))
    assert found["bleu"] == corpus_bleu(HYPOTHESES, [REFERENCES]).score
    assert found["sentences_per_second"] == pytest.approx(3.0)


def test_groups_by_length_hold_every_sentence_once():
    sources = [" ".join(["w"] * length) for length in (1, 5, 6, 10, 31, 80)]
    rows = by_length(Scored(sources, REFERENCES * 2, HYPOTHESES * 2))
    assert [(name, count) for name, count, *_ in rows] == [("1–5", 2), ("6–10", 2), ("31–50", 1), ("over 50", 1)]
    unspaced = Scored(["我喜欢书我喜欢书", "书", "我 们"], ["a", "b", "c"], ["a", "b", "c"])
    assert by_length(unspaced)[1][:2] == ("6–10", 1)
