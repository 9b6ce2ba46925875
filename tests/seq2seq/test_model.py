import math
from functools import partial

import pytest
import torch
from torch.nn.functional import cross_entropy, dropout
from transformers import AutoModel, AutoTokenizer

from lightning_nlp.data.sample_world import sample_rows
from lightning_nlp.data.tokenizers import train_tokenizer
from lightning_nlp.seq2seq import Seq2SeqConfig, Seq2SeqModel
from lightning_nlp.seq2seq.attention import Attention
from lightning_nlp.seq2seq.batch import BOS, EOS, PAD, UNK, Batch, Side, pair_up
from lightning_nlp.seq2seq.decoder import Decoder
from lightning_nlp.seq2seq.kernel import load_loop
from lightning_nlp.seq2seq.search import Search

ROWS = sample_rows("translations", "train")[:60]
SOURCES, TARGETS = [row["source"] for row in ROWS], [row["target"] for row in ROWS]
SMALL = {"dim": 12, "encoder_dim": 16, "decoder_dim": 32, "dropout": 0.0}
KINDS = {
    "fed": {},
    "fed_deep": {"encoder_layers": 2, "decoder_layers": 2, "tied": False},
    "not_fed": {"input_feeding": False},
    "not_fed_deep": {"input_feeding": False, "encoder_layers": 2, "decoder_layers": 2},
    "additive": {"attention": "additive"},
    "dot": {"attention": "dot"},
    "blind": {"attention": "none"},
    "one_way": {"bidirectional": False},
}


def tokenizers(joint=True, kind="words"):
    if joint:
        tokenizer = train_tokenizer(kind, [*SOURCES, *TARGETS])
        return tokenizer, tokenizer
    return train_tokenizer(kind, SOURCES), train_tokenizer(kind, TARGETS)


def build(kind="fed", joint=True, pieces="words", **numbers) -> Seq2SeqModel:
    torch.manual_seed(3)
    pair = tokenizers(joint, pieces)
    sizes = {"source_vocab": len(pair[0]), "target_vocab": len(pair[1]), "joint": joint}
    model = Seq2SeqModel(Seq2SeqConfig(**{**SMALL, **sizes, **KINDS[kind], **numbers}))
    model.tokenizers = pair
    return model.eval()


def batch_of(model, rows=range(8)) -> Batch:
    sides = (
        Side.of([one.ids for one in tokenizer.backend_tokenizer.encode_batch([texts[row] for row in rows])])
        for tokenizer, texts in zip(model.tokenizers, (SOURCES, TARGETS))
    )
    return pair_up(*(part for side in sides for part in side.padded(range(len(rows)))))


@pytest.mark.parametrize("kind", KINDS)
def test_training_and_search_compute_the_same(kind):
    """Step by step with the search's function, and all at once as in training."""
    model = build(kind)
    batch = batch_of(model)
    at_once = model.logits(model(batch).last_hidden_state).log_softmax(2)
    state = model.start(batch)
    for place in range(batch.read.shape[1]):
        log_probs, state = model.step(batch.read[:, place : place + 1], state)
        torch.testing.assert_close(log_probs[:, 0], at_once[:, place], rtol=0, atol=1e-5)


def drop(factors, states, *_):
    return states * next(factors).view_as(states)


@pytest.mark.parametrize("attention", ["general", "dot"])
@pytest.mark.parametrize(("tied", "rounded"), [(True, False), (False, False), (True, True)])
def test_compiled_loop_equals_step_by_step(attention, tied, rounded, monkeypatch):
    """Attentional states, weights of attention and the gradients of all parameters, with dropout that is the same.

    In bfloat16, two digits of it.
    """
    if load_loop() is None:
        pytest.skip("no C++ compiler")
    model = build("fed", attention=attention, tied=tied, dim=16, dropout=0.4).train()
    model.encoder.dropout = 0.0
    batch = batch_of(model, range(13))
    found = []
    for compiled in (True, False):
        if not compiled:
            monkeypatch.setattr(Decoder, "_compiled_type", lambda *_: None)
        ones = torch.ones(batch.read.shape[1], len(batch.read), model.config.output_dim)
        torch.manual_seed(1)
        kept = dropout(ones, 0.4)  # the factors that either draws, by step
        steps = [kept] if compiled else kept[:, :, None].unbind(0)
        factors = iter([torch.ones_like(model.target_vectors(batch.read)), *steps])
        monkeypatch.setattr("lightning_nlp.seq2seq.decoder.dropout", partial(drop, factors))
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=compiled and rounded):
            output = model(batch)
            loss = model.logits(output.last_hidden_state).float().square().mean()
        loss.backward()
        gradients = {name: weight.grad.clone() for name, weight in model.named_parameters()}
        found.append({"states": output.last_hidden_state, "weights": output.attentions[0], **gradients})
    for name, expected in found[1].items():
        if rounded:
            assert (found[0][name] - expected).norm() < 0.03 * expected.norm(), name
        else:
            torch.testing.assert_close(found[0][name], expected, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beam", [1, 3])
def test_a_batch_gives_the_translations_of_batches_of_one(kind, beam):
    model, search = build(kind), Search(beam=beam)
    together = model.translations([*SOURCES[:12], ""], search, n_best=beam, batch_tokens=60)
    for text, of_text in zip(SOURCES[:12], together):
        alone = model.translations([text], search, n_best=beam)[0]
        assert [one.tokens for one in alone] == [one.tokens for one in of_text]
        assert [one.normalised for one in alone] == pytest.approx([one.normalised for one in of_text], abs=1e-5)
    assert [one.text for one in together[-1]] == [""]


def test_more_translations_than_the_beam_holds_are_refused():
    with pytest.raises(ValueError, match=r"n_best is 2, but search\.beam is 1: set it to 2 or more"):
        build().translations(["", SOURCES[0]], Search(beam=1), n_best=2)


def test_no_translation_is_longer_than_the_limit():
    found = build().translations([" ".join(SOURCES[0].split() * 30)], Search(beam=2, min_length=7, max_length=7))
    assert len(found[0][0].tokens) == 7


def test_a_new_model_begins_with_the_frequencies_of_tokens_in_half_precision_too():
    model = build("fed").half()
    counts = torch.full((len(model.tokenizers[1]),), 40_000)
    model.use_counts(counts)
    assert model.output_bias.tolist() == pytest.approx([-math.log(len(counts))] * len(counts), abs=1e-2)


@pytest.mark.parametrize("kind", ["fed", "not_fed"])
def test_scores_are_log_probabilities_of_what_is_written(kind):
    model = build(kind)
    for best in model.translations(SOURCES[:5], Search(beam=3), n_best=2)[0]:
        source = Side.of([model.tokenizers[0].convert_tokens_to_ids(SOURCES[0].split())]).padded([0])
        target = Side.of([model.tokenizers[1].convert_tokens_to_ids(best.tokens)]).padded([0])
        assert -float(model.loss(pair_up(*source, *target))) == pytest.approx(best.score, abs=1e-4)


@pytest.mark.parametrize("kind", ["fed", "not_fed"])
@pytest.mark.parametrize("n_best", [1, 3])
def test_attention_comes_with_each_translation_that_is_asked_for_it(kind, n_best):
    """Step by step for one hypothesis alone, it is what the search saw."""
    model = build(kind)
    plain = model.translations(SOURCES[:5], Search(beam=3), n_best)
    assert all(one.attention is None for ones in plain for one in ones)
    found = model.translations([*SOURCES[:5], ""], Search(beam=3), n_best, attention=True)
    assert [one.tokens for ones in found[:5] for one in ones] == [one.tokens for ones in plain for one in ones]
    assert found[5][0].attention == []
    for text, ones in zip(SOURCES[:5], found):
        source = Side.of([model.tokenizers[0].convert_tokens_to_ids(text.split())]).padded([0])
        for one in ones:
            ids = model.tokenizers[1].convert_tokens_to_ids(one.tokens)
            state, seen = model.start(pair_up(*source, *Side.of([ids]).padded([0]))), []
            for token in [BOS, *ids[:-1]]:
                _, state = model.decoder.step(model.target_vectors(torch.tensor([[token]])), state)
                _, weights = model.decoder.attention(state.hidden[:, :, -1], *state.memory)
                seen.append(weights[0, 0])
            assert torch.tensor(one.attention).shape == (len(one.tokens), len(one.source_tokens))
            torch.testing.assert_close(torch.tensor(one.attention), torch.stack(seen), rtol=0, atol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_is_torchs_on_tokens_alone(smoothing):
    model = build()
    batch = batch_of(model)
    logits = model.logits(model(batch).last_hidden_state)
    expected = cross_entropy(
        logits.transpose(1, 2), batch.written, label_smoothing=smoothing, ignore_index=PAD, reduction="sum"
    )
    torch.testing.assert_close(model.loss(batch, smoothing), expected, rtol=1e-5, atol=1e-4)


def test_padding_changes_nothing():
    model = build()
    batch = batch_of(model)
    wide = Batch(
        torch.nn.functional.pad(batch.source, (0, 3)),
        batch.source_lengths,
        torch.nn.functional.pad(batch.read, (0, 2)),
        torch.nn.functional.pad(batch.written, (0, 2)),
    )
    torch.testing.assert_close(model.loss(wide), model.loss(batch), rtol=1e-5, atol=1e-4)


def test_batches_begin_and_end():
    batch = pair_up(
        torch.tensor([[7, 8], [9, 0]]), torch.tensor([2, 1]), torch.tensor([[4, 5, 6], [4, 0, 0]]), torch.tensor([3, 1])
    )
    assert batch.read.tolist() == [[2, 4, 5, 6], [2, 4, 0, 0]]
    assert batch.written.tolist() == [[4, 5, 6, EOS], [4, EOS, 0, 0]]
    assert batch.is_token().sum(1).tolist() == [4, 2]


@pytest.mark.parametrize("kind", ["general", "dot", "additive"])
def test_attention_is_a_mean_of_what_is_there(kind):
    torch.manual_seed(0)
    attention = Attention(kind, 6, 6)
    values, queries = torch.randn(3, 4, 6), torch.randn(3, 2, 6)
    mask = torch.tensor([[True] * 4, [True, True, False, False], [False] * 4])
    context, weights = attention(queries, attention.keys(values), values, mask)
    torch.testing.assert_close(weights.sum(2), torch.tensor([[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]))
    assert not weights[1, :, 2:].any()
    assert torch.isfinite(context).all()
    assert not context[2].any()
    for row in range(2):
        for step in range(2):
            keys, query = attention.keys(values)[row], queries[row, step]
            if kind == "additive":
                scores = attention.score((attention.query(query) + keys).tanh())[:, 0]
            else:
                scores = keys @ query
            expected = scores[mask[row]].softmax(0) @ values[row][mask[row]]
            torch.testing.assert_close(context[row, step], expected)


@pytest.mark.parametrize(("joint", "tied"), [(True, True), (False, True), (True, False)])
def test_ties_are_as_configured(joint, tied):
    model = build(joint=joint, tied=tied)
    vectors = [name for name, weight in model.named_parameters() if weight.shape[0] == len(model.tokenizers[1])]
    assert (model.source_vectors is model.target_vectors) == (joint and tied)
    assert any(name.startswith("output.weight") for name in vectors) == (not tied)


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("pieces", ["words", "characters", "bpe", "unigram"])
def test_folder_holds_all(tmp_path, joint, pieces):
    torch.manual_seed(0)
    size = 300 if pieces in ("bpe", "unigram") else None
    if joint:
        one = train_tokenizer(pieces, [*SOURCES, *TARGETS], size)
        pair = (one, one)
    else:
        pair = (train_tokenizer(pieces, SOURCES, size), train_tokenizer(pieces, TARGETS, size))
    sizes = {"source_vocab": len(pair[0]), "target_vocab": len(pair[1]), "joint": joint}
    model = Seq2SeqModel(Seq2SeqConfig(**SMALL, **sizes)).eval()
    model.tokenizers = pair
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path)
    assert again.translate(SOURCES[:3]) == model.translate(SOURCES[:3])
    assert AutoTokenizer.from_pretrained(tmp_path)(SOURCES[0]).input_ids == pair[0](SOURCES[0]).input_ids
    assert (tmp_path / "target_tokenizer").exists() != joint


def test_half_precision_translates_nearly_the_same(tmp_path):
    """As transformers loads any model; scores are those of bfloat16, about three digits."""
    build().save_pretrained(tmp_path)
    whole, half = (AutoModel.from_pretrained(tmp_path, dtype=kind).eval() for kind in (torch.float32, torch.bfloat16))
    search = Search(beam=3, min_length=5, max_ratio=0.0, max_extra=5)  # all translations have one length
    for one, other in zip(whole.translations(SOURCES[:8], search), half.translations(SOURCES[:8], search)):
        assert other[0].score == pytest.approx(one[0].score, rel=0.02)
    assert half.dtype == torch.bfloat16


@pytest.mark.parametrize("tied", [True, False])
def test_a_new_model_can_begin_with_how_frequent_tokens_are(tied):
    model = build(tied=tied)
    counts = torch.arange(len(model.tokenizers[1]))
    model.use_counts(counts)
    guess = model.logits(torch.zeros(1, model.config.output_dim)).softmax(1)[0]
    torch.testing.assert_close(guess[1:], counts[1:] / (counts.sum() + 1))
    assert 0 < guess[0] == guess[1]  # never seen counts as seen once


def test_an_unknown_token_is_copied_from_where_the_decoder_looks():
    """Trained by hand to write only unknown tokens, it must give back words of the source."""
    model = build(tied=False, joint=False)
    with torch.no_grad():
        model.output.weight.zero_()
        model.output.bias.fill_(-50.0)
        model.output.bias[UNK], model.output.bias[EOS] = 0.0, -5.0
    text = "Zanzibar 日本 qwerty"
    written = model.translate([text], Search(beam=2))[0].split()
    assert written
    assert set(written) <= set(text.split())


def test_unknown_characters_survive_bytes():
    model = build(pieces="words")
    found = model.translate(["日本 🙂 " * 3, "x" * 500, " \t", ""])
    assert found[2:] == ["", ""]


def test_an_impossible_config_is_refused():
    for numbers, message in (
        ({"attention": "dot", "decoder_dim": 30}, "equal size"),
        ({"attention": "global"}, "expected one of general"),
        ({"dim": 0}, "expected 1 or more"),
    ):
        with pytest.raises(ValueError, match=message):
            build(**numbers)


def test_word_dropout_leaves_out_whole_vectors_in_training_alone():
    model, read = build(word_dropout=0.4), []
    model.encoder.register_forward_pre_hook(lambda _, given: read.append(given[0].detach()))
    batch = batch_of(model, range(40))
    is_word = torch.arange(batch.source.shape[1]) < batch.source_lengths[:, None]
    for training, share in ((True, 0.4), (False, 0.0)):
        model.train(training)(batch)
        left_out = (read.pop() == 0).all(dim=2)[is_word]
        assert float(left_out.float().mean()) == pytest.approx(share, abs=0.08)
