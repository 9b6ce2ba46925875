import json

import pytest
import torch
from transformers import AutoModel

from lightning_nlp.data.sample_world import sample_rows
from lightning_nlp.parser import ParserConfig, ParserModel
from lightning_nlp.parser.batch import encode_trees
from lightning_nlp.parser.data import sentence_and_tree
from lightning_nlp.parser.encoder import CharacterEncoder, WindowEncoder, load_window
from lightning_nlp.parser.spanning_tree import maximum_spanning_tree
from lightning_nlp.parser.transition_scorer import Features
from lightning_nlp.parser.vocabulary import UNKNOWN, Sentence, Vocabulary

READ = [sentence_and_tree(row["conllu"]) for row in sample_rows("trees", "train")[:120]]
SENTENCES, TREES = (list(part) for part in zip(*READ))
NAMES = Vocabulary.of(READ)
SIZES = {
    "form_count": len(NAMES.forms) + 2,
    "character_count": len(NAMES.characters) + 4,
    "upos_count": len(NAMES.upos) + 2,
    "xpos_count": len(NAMES.xpos) + 2,
    "label_count": len(NAMES.labels),
    "vector_count": 0,
    "vector_dim": 0,
}
SMALL = {"form_dim": 12, "upos_dim": 8, "label_dim": 6, "hidden_dim": 10, "layers": 1, "scorer_dim": 16}
BIAFFINE = {
    **{"architecture": "biaffine", "character_dim": 6, "upos_dim": 0, "predict_upos": True},
    "predict_xpos": True,
}
KINDS = {
    "ffn": {"architecture": "ffn", "layers": 0},
    "ffn_window": {"architecture": "ffn", "layers": 2, "system": "swap", "character_dim": 6},
    "course": {"architecture": "ffn", "layers": 0, "labelled": False},
    "bilstm": {"architecture": "bilstm", "features": "stack", "system": "swap", "character_dim": 6},
    "bilstm_full": {"architecture": "bilstm", "layers": 2},
    "ffn_children": {"architecture": "ffn", "layers": 0, "features": "children", "system": "swap"},
    "bilstm_untagged": {"architecture": "bilstm", "upos_dim": 0, "predict_upos": True},
    "biaffine": BIAFFINE,
    "biaffine_members": {**BIAFFINE, "members": 3},
}


def build(kind: str, **numbers) -> ParserModel:
    torch.manual_seed(3)
    model = ParserModel(ParserConfig(**{**SIZES, **SMALL, **KINDS[kind], **numbers}))
    for name, weight in model.named_parameters():
        if "scorer" in name:  # biaffine products begin as zeros, and all scores would be equal
            torch.nn.init.normal_(weight, std=0.3)
    model.vocabulary = NAMES
    return model.eval()


def parses_close(one, other):
    assert [(parse.heads, parse.labels, parse.upos) for parse in one] == [
        (parse.heads, parse.labels, parse.upos) for parse in other
    ]
    scores = [torch.tensor([score for parse in some for score in parse.scores]) for some in (one, other)]
    torch.testing.assert_close(*scores, rtol=0, atol=1e-5)


def is_tree(heads: list[int]) -> bool:
    for word in range(1, len(heads) + 1):
        for _ in heads:
            word = heads[word - 1] if word else 0
        if word:
            return False
    return heads.count(0) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_gives_the_trees_of_batches_of_one(kind):
    model, sentences = build(kind), SENTENCES[:40]
    together = model.parse(sentences, batch_tokens=300)
    alone = [parse for sentence in sentences for parse in model.parse([sentence])]
    parses_close(together, alone)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_parses_nearly_the_same(kind, compiled, tmp_path, monkeypatch):
    """In bfloat16 a score has about three digits, and few decisions are closer than that."""
    model = build(kind)
    model.save_pretrained(tmp_path)
    half = AutoModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    if not compiled:
        monkeypatch.setattr("lightning_nlp.parser.transition_scorer.load_kernel", lambda *_: None)
    parses = [parser.parse(SENTENCES[:40]) for parser in (model, half)]
    whole, rounded = ([head for parse in some for head in parse.heads] for some in parses)
    assert sum(one == other for one, other in zip(whole, rounded)) > 0.9 * len(whole)
    assert all(is_tree(parse.heads) for parse in parses[1])


@pytest.mark.parametrize("kind", KINDS)
def test_every_sentence_gets_one_tree_with_allowed_labels(kind):
    """Also those of an untrained parser, an empty sentence, one word, and words that were never seen."""
    model = build(kind)
    strange = Sentence(["zzz", "日本", "x" * 400], ["X", "NOUN", "QQ"], ["_", "_", "_"])
    given = [*SENTENCES[:30], Sentence([], [], []), Sentence(["one"], ["NUM"], ["_"]), strange]
    parses = model.parse(given)
    for sentence, parse in zip(given, parses):
        assert len(parse.heads) == len(parse.labels) == len(parse.scores) == len(sentence.forms)
        assert not parse.heads or is_tree(parse.heads)
        for head, label in zip(parse.heads, parse.labels):
            allowed = {"dep", "root"} if kind == "course" else {*NAMES.root_labels, *NAMES.word_labels}
            assert label in allowed
            assert (label == "root") == (head == 0)
        assert (parse.upos is not None) == model.config.predict_upos


@pytest.mark.parametrize("kind", ["ffn_window", "bilstm", "biaffine"])
def test_a_sentence_of_two_thousand_words_beside_an_empty_one(kind):
    words = [form for sentence in SENTENCES for form in sentence.forms][:1000]
    tags = [tag for sentence in SENTENCES for tag in sentence.upos][:1000]
    long = Sentence(words * 2, tags * 2, ["_"] * 2000)
    parses = build(kind, hidden_dim=4).parse([long, Sentence([], [], []), SENTENCES[0]])
    assert [len(parse.heads) for parse in parses] == [2000, 0, len(SENTENCES[0].forms)]
    assert parses[0].heads.count(0) == 1


@pytest.mark.parametrize("kind", ["ffn_window", "bilstm"])
@pytest.mark.parametrize("first", [0, 1, 2, 5])
def test_scores_that_are_no_numbers_choose_nothing_illegal_and_are_refused(kind, first):
    """As after a training that diverged."""
    model = build(kind)
    model.scorer.out.weight.data[first:] = torch.nan
    batch, _ = encode_trees(SENTENCES[:40], TREES[:40], NAMES).__getitems__([*range(40)])
    heads = model.decide(batch)[0].heads
    assert all(is_tree(own[:length]) for own, length in zip(heads.tolist(), batch.lengths.tolist()))
    with pytest.raises(ValueError, match="training diverged"):
        model.parse(SENTENCES[:40])


def test_members_vote_by_the_mean_of_their_probabilities():
    model, batch = build("biaffine_members"), encode_trees(SENTENCES[:9], TREES[:9], NAMES).__getitems__([*range(9)])[0]
    encoded = model.encode(batch)
    found, upos = model.decide(batch, encoded)
    chances = []
    for reader, member, mine in zip(model.readers, model.scorer.members, encoded):
        torch.testing.assert_close(reader(batch).states, mine.states)
        words, heads = member.sides(mine.states)
        chances.append(member.arcs(words[0], heads[0], batch.lengths).softmax(2))
    assert not chances[0].allclose(chances[1])  # members differ
    trees = maximum_spanning_tree(torch.stack(chances).mean(0).log(), batch.is_word())
    assert found.heads.equal(trees.where(batch.is_word(), 0))
    tags = torch.stack([mine.tags["upos"][:, :, 2:].softmax(2) for mine in encoded]).mean(0).argmax(2) + 2
    assert upos[batch.is_word()].equal(tags[batch.is_word()])


@pytest.mark.parametrize(
    ("kind", "members", "fault"),
    [("biaffine", 2, "no weights for"), ("biaffine_members", 1, "weights that do not belong:")],
)
def test_a_folder_with_other_weights_is_refused(tmp_path, kind, members, fault):
    build(kind).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"members": members}))
    with pytest.raises(ValueError, match=rf"{fault} readers.1\.\S+, .*another version"):
        AutoModel.from_pretrained(tmp_path)


@pytest.mark.parametrize(("kind", "exploration"), [*((kind, 0.0) for kind in KINDS), ("ffn_window", 0.5)])
def test_a_parser_can_learn_trees_by_heart(kind, exploration):
    """What cannot fit twenty sentences has a fault in its loss, its oracle or its search."""
    model = build(kind, dropout=0.0, word_dropout=0.0, exploration=exploration).train()
    batch, gold = encode_trees(SENTENCES[:20], TREES[:20], NAMES).__getitems__(list(range(20)))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        loss = model.loss(batch, gold)
        loss.backward()
        optimizer.step()
    found, _ = model.eval().decide(batch)
    is_word = batch.is_word()
    assert (found.heads == gold.heads)[is_word].float().mean() > 0.97
    if model.config.labelled:
        assert (found.labels == gold.labels)[is_word].float().mean() > 0.97
    with torch.autocast("cpu", torch.bfloat16):  # as in validation: what the compiled loop is given must be float32
        rounded, _ = model.decide(batch)
    assert (rounded.heads == gold.heads)[is_word].float().mean() > 0.95


@pytest.mark.parametrize("kind", ["ffn", "ffn_window", "ffn_children", "course", "bilstm", "bilstm_full"])
def test_the_compiled_loop_decides_as_torch_does(kind):
    model = build(kind)
    batch, _ = encode_trees(SENTENCES[:60], TREES[:60], NAMES).__getitems__(list(range(60)))
    states = model.encode(batch)[0].states
    compiled = model.scorer.decide(states, batch.lengths)
    plain = model.scorer.decide_in_torch(model.scorer.table(states), batch.lengths, states.shape[1] + 1)
    is_word = batch.is_word()
    assert compiled.heads[is_word].equal(plain.heads[is_word])
    if model.config.labelled:
        assert compiled.labels[is_word].equal(plain.labels[is_word] - 1)
    torch.testing.assert_close(compiled.scores[is_word], plain.scores[is_word], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["ffn", "ffn_window", "ffn_children", "course", "bilstm"])
def test_the_compiled_oracle_leads_as_torchs_does(kind):
    """On trees of the sample world and on random ones, most of which have crossing arcs."""
    scorer = build(kind).scorer
    batch, gold = encode_trees(SENTENCES[:60], TREES[:60], NAMES).__getitems__(list(range(60)))
    noise = torch.Generator().manual_seed(5)
    for place, length in enumerate(batch.lengths.tolist()):
        if place % 2:  # every word after the first in a random order hangs on one before it
            order = torch.randperm(length, generator=noise)
            for number, word in enumerate(order.tolist()):
                on = int(torch.randint(max(1, number), (), generator=noise))
                gold.heads[place, word] = order[on] + 1 if number else 0
    given = (gold, batch.lengths, batch.types.shape[1] + 2)
    compiled, plain = scorer.examples(*given), scorer.examples_in_torch(*given)
    sentence = plain.words[:, 0] // (given[2] * scorer.places)
    order = sentence.sort(stable=True).indices
    for ours, torchs in zip(compiled, plain):
        assert ours.equal(torchs[order])


@pytest.mark.parametrize("kind", ["ffn_window", "biaffine"])
def test_labels_that_training_never_saw_do_not_count(kind):
    model = build(kind).eval()
    batch, gold = encode_trees(SENTENCES[:5], TREES[:5], NAMES).__getitems__(list(range(5)))
    gold.labels[0, 1] = -1
    assert model.loss(batch, gold).isfinite()
    if kind == "ffn_window":
        given = (gold, batch.lengths, batch.types.shape[1] + 2)
        for examples in (model.scorer.examples(*given), model.scorer.examples_in_torch(*given)):
            assert (examples.classes == -1).sum() == 1


def test_the_table_ahead_is_the_hidden_layer_of_the_paper():
    """Chen & Manning 2014, section 3: one matrix over the vectors of 18 words and 12 labels, set side by side."""
    model = build("ffn")
    batch, gold = encode_trees(SENTENCES[:3], TREES[:3], NAMES).__getitems__([0, 1, 2])
    scorer, states = model.scorer, model.encode(batch)[0].states
    rows = scorer.examples(gold, batch.lengths, states.shape[1] + 1)
    found = scorer.scores(scorer.table(states), Features(rows.words, rows.labels))
    words = torch.cat([states, scorer.nothing.expand(3, 1, -1)], dim=1).flatten(0, 1)[rows.words // 18].flatten(1)
    labels = scorer.label.weight[rows.labels // 12].flatten(1)
    of_words = scorer.words.weight.view(18, 16, -1).transpose(0, 1).flatten(1)
    of_labels = scorer.arcs.weight.view(12, 16, -1).transpose(0, 1).flatten(1)
    hidden = words @ of_words.T + labels @ of_labels.T + scorer.bias
    torch.testing.assert_close(found, scorer.out(hidden.relu()))


def test_a_folder_holds_all_of_a_parser(tmp_path):
    model = build("biaffine")
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path)
    parses_close(model.parse(SENTENCES[:20]), again.parse([sentence.forms for sentence in SENTENCES[:20]]))
    assert json.loads((tmp_path / "config.json").read_text())["architecture"] == "biaffine"


def test_a_parser_that_reads_tags_wants_them():
    with pytest.raises(ValueError, match=r"sentence 1 .* has no UPOS"):
        build("ffn").parse([["The", "cat", "sleeps"]])


def test_scores_are_probabilities_of_the_arcs():
    """One word can only hang from the root: every parser is sure of it but for the label."""
    for kind in KINDS:
        [parse] = build(kind).parse([Sentence(["one"], ["NUM"], ["_"])])
        assert parse.heads == [0]
        assert parse.scores[0] == pytest.approx(0, abs=1e-6)  # the sample world has one label of the root


def test_config_refuses_what_no_parser_can_be():
    for numbers, message in [
        ({"architecture": "lstm"}, "expected one of"),
        ({"form_dim": 0, "upos_dim": 0}, "expected one input"),
        ({"predict_upos": True, "upos_dim": 0}, "needs a BiLSTM"),
        ({"architecture": "bilstm", "predict_upos": True}, "would predict what it reads"),
        ({"architecture": "bilstm", "predict_xpos": True, "xpos_dim": 5}, "would predict what it reads"),
        ({"architecture": "biaffine", "labelled": False}, "for transitions"),
    ]:
        with pytest.raises(ValueError, match=message):
            ParserConfig(**numbers)


def test_what_is_no_list_of_tagged_words_is_refused():
    parser = build("ffn")
    with pytest.raises(ValueError, match="sentence 1 is the text 'The cat sleeps'"):
        parser.parse(["The cat sleeps"])
    with pytest.raises(ValueError, match="2 words and 3 UPOS"):
        parser.parse([Sentence(["a", "b"], ["DET", "NOUN", "X"])])
    with pytest.raises(ValueError, match="has no UPOS"):
        parser.parse([Sentence(["a", "b"], ["_", "_"])])


def test_unknown_characters_and_tags_are_nothing():
    """Training never meets one, so that their vectors would stay as they were drawn."""
    word = build("ffn_window").readers[0].word
    assert not word.spelling.embed.weight[UNKNOWN].any()
    assert not word.upos.weight[UNKNOWN].any()
    assert word.form.weight[UNKNOWN].any()


def test_filters_over_characters_are_a_convolution():
    """And what is beyond a word's end counts for none of them."""
    torch.manual_seed(0)
    encoder = CharacterEncoder(count=20, dim=6)
    spelling = torch.tensor([[2, 7, 9, 3, 0, 0], [2, 5, 3, 0, 0, 0], [2, 8, 8, 11, 4, 3]])
    found = encoder(spelling)
    for row, length in enumerate([4, 3, 6]):
        seen = encoder.filters(encoder.embed(spelling[row : row + 1, :length]).mT)
        torch.testing.assert_close(found[row], seen[0].amax(1).relu())
    found.sum().backward()
    assert encoder.embed.weight.grad[0].count_nonzero() == 0


@pytest.mark.parametrize(("hidden", "inputs"), [(16, 12), (80, 13)])
def test_compiled_window_equals_torch(hidden, inputs):
    """For sentences of every length, with units that fill no block of the loop; what is padding does not matter."""
    if load_window() is None:
        pytest.skip("no C++ compiler")
    torch.manual_seed(0)
    window = WindowEncoder(ParserConfig(hidden_dim=hidden, layers=3), inputs).eval()
    torch.nn.init.normal_(window.root)
    for norm in window.norms:
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    lengths = torch.arange(20)
    words = torch.randn(20, 19, inputs)
    expected = window(words, lengths).states
    with torch.no_grad():
        found = window(words, lengths).states
        with torch.autocast("cpu", torch.bfloat16):
            near = window(words, lengths).states.float()
    for row, length in enumerate(lengths):
        torch.testing.assert_close(found[row, : length + 1], expected[row, : length + 1], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(near[row, : length + 1], expected[row, : length + 1], rtol=0.05, atol=0.05)
