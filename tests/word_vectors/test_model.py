"""The model as transformers and gensim see it."""

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cosine_similarity

from lightning_nlp.word_vectors.config import SkipGramConfig
from lightning_nlp.word_vectors.model import SkipGramModel
from lightning_nlp.word_vectors.vocabulary import Vocabulary

WORDS = ["the", "cat", "dog", "Paris", "été", "漢字", "no\u00a0break", "mouse"]

# A user's process: the export loads after `import lightning_nlp`, which costs nothing before that.
LOADS = """
import sys
import lightning_nlp
heavy = {"torch", "transformers", "pytorch_lightning", "numpy", "datasets"} & set(sys.modules)
assert not heavy, heavy
from transformers import AutoConfig, AutoModel
model = AutoModel.from_pretrained(sys.argv[1])
assert "pytorch_lightning" not in sys.modules
assert AutoConfig.from_pretrained(sys.argv[1]).dim == 5
print(type(model).__name__, model.neighbours(["cat"], 2)[0][0][0])
"""


def random_model(words: list[str] = WORDS, dim: int = 5) -> SkipGramModel:
    torch.manual_seed(0)
    model = SkipGramModel(SkipGramConfig(vocab_size=len(words), dim=dim))
    torch.nn.init.normal_(model.centre.weight)
    torch.nn.init.normal_(model.context.weight)
    model.vocabulary = Vocabulary(words, [100 - place for place in range(len(words))])
    return model


def names(row: list[tuple[str, float]]) -> list[str]:
    return [word for word, _ in row]


# -- files ----------------------------------------------------------------------------------------------------------


def test_what_is_saved_comes_back(tmp_path):
    model = random_model()
    model.save_pretrained(tmp_path)
    again = SkipGramModel.from_pretrained(tmp_path)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=0, atol=0)
    assert again.vocabulary == model.vocabulary
    assert again.config.to_dict()["dim"] == 5
    assert again.neighbours(WORDS) == model.neighbours(WORDS)
    torch.testing.assert_close(again.noise, model.noise)
    assert load_file(tmp_path / "model.safetensors").keys() == {"centre.weight", "context.weight"}


def test_options_of_transformers_reach_the_vocabulary_too(tmp_path):
    random_model().save_pretrained(tmp_path / "inside")
    again, report = SkipGramModel.from_pretrained(tmp_path, subfolder="inside", output_loading_info=True)
    assert list(again.vocabulary.words) == WORDS
    assert not report["missing_keys"]


def test_it_loads_without_any_training_code(tmp_path, run_python):
    model = random_model()
    model.save_pretrained(tmp_path)
    nearest = model.neighbours(["cat"], 2)[0][0][0]
    assert run_python("-c", LOADS, str(tmp_path)).split() == ["SkipGramModel", nearest]


# -- training -------------------------------------------------------------------------------------------------------


def test_it_begins_as_the_c_implementation_does():
    """Centres uniform within 0.5 / dim, contexts zero: so every score is 0 and every term of the loss log 2."""
    torch.manual_seed(0)
    model = SkipGramModel(SkipGramConfig(vocab_size=400, dim=25, negatives=4))
    centre = model.centre.weight
    assert centre.abs().max() <= 0.5 / 25
    assert centre.std().item() == pytest.approx(1 / 25 / 12**0.5, rel=0.05)
    assert (model.context.weight == 0).all()
    model.vocabulary = Vocabulary([f"w{place}" for place in range(400)], [1] * 400)
    pairs = torch.arange(300)
    is_masked = torch.log(torch.tensor(2.0)) * 4  # noise that is the context, in one of four hundred draws
    torch.testing.assert_close(model.loss(pairs, pairs).max(), is_masked + torch.log(torch.tensor(2.0)))


def test_gradients_touch_the_rows_of_the_batch_alone():
    for sparse in (True, False):
        model = SkipGramModel(SkipGramConfig(vocab_size=8, dim=3, sparse=sparse))
        torch.nn.init.normal_(model.context.weight)
        model.vocabulary = Vocabulary(WORDS, [1] * 8)
        model.loss(torch.tensor([1, 5, 5]), torch.tensor([2, 3, 4])).sum().backward()
        gradient = model.centre.weight.grad
        assert gradient is not None
        assert gradient.is_sparse == sparse
        touched = (gradient.to_dense() if sparse else gradient).abs().sum(-1) > 0
        assert touched.nonzero().flatten().tolist() == [1, 5]


def test_the_softmax_objective_is_a_setting_and_reaches_all_words():
    model = SkipGramModel(SkipGramConfig(vocab_size=8, dim=3, loss="softmax", sparse=False))
    torch.nn.init.normal_(model.context.weight)
    model.vocabulary = Vocabulary(WORDS, [1] * 8)
    centres, contexts = torch.tensor([1, 5]), torch.tensor([2, 3])
    losses = model.loss(centres, contexts)
    scores = model.centre.weight[centres] @ model.context.weight.T
    torch.testing.assert_close(losses, -scores.log_softmax(-1)[[0, 1], contexts])
    losses.sum().backward()
    assert model.context.weight.grad is not None
    assert (model.context.weight.grad != 0).all(1).all()
    with pytest.raises(ValueError, match=r"config\.loss is 'hinge', expected one of negative_sampling, softmax"):
        SkipGramConfig(loss="hinge")


def test_a_long_text_is_scored_piece_by_piece(monkeypatch):
    model = random_model()
    centres, contexts = torch.randint(8, (2, 1000))
    monkeypatch.setattr("lightning_nlp.word_vectors.model.draw_noise", lambda _, *size: torch.zeros(size).long())
    with torch.no_grad():
        whole = model.loss(centres, contexts)
        monkeypatch.setattr("lightning_nlp.word_vectors.model.PAIRS_AT_ONCE", 64)
        torch.testing.assert_close(model.loss(centres, contexts), whole)


def test_blocks_carry_what_was_drawn_for_their_tokens():
    model = random_model()
    tokens = torch.randint(8, (100,), dtype=torch.int32)
    sentence = torch.arange(100, dtype=torch.int32) // 7
    text = model.draw_blocks(tokens, sentence, 16)
    assert text.tokens is tokens
    assert text.sentence is sentence
    assert text.noise.shape == (3, 16)  # 36 centres a block
    assert set(text.reach.tolist()) == {1, 2, 3, 4, 5}


def test_noise_follows_the_counts_of_the_words():
    """A word that is all the noise, and is the context of every pair, leaves the true pair alone in the loss."""
    model = random_model(["a", "b"])
    model.vocabulary = Vocabulary(["a", "b"], [1, 0])
    centres, contexts = torch.tensor([0, 1]), torch.tensor([0, 0])
    scores = (model.centre(centres) * model.context(contexts)).sum(-1)
    torch.testing.assert_close(model.loss(centres, contexts), -torch.nn.functional.logsigmoid(scores))


def test_without_words_it_says_what_to_do():
    model = SkipGramModel(SkipGramConfig(vocab_size=3))
    with pytest.raises(ValueError, match=r"no words yet\. Fit it"):
        model.neighbours(["cat"])


@pytest.mark.parametrize("number", ["dim", "window", "negatives"])
def test_numbers_that_no_model_can_have_are_refused(number):
    with pytest.raises(ValueError, match=rf"config\.{number} is 0, expected at least 1"):
        SkipGramConfig(**{number: 0})


# -- use ------------------------------------------------------------------------------------------------------------


def test_ids_become_their_vectors():
    model = random_model()
    ids = torch.tensor([[1, 2, 1], [0, 7, 3]])
    torch.testing.assert_close(model(ids).last_hidden_state, model.centre.weight[ids])
    assert model(ids[0]).last_hidden_state.shape == (3, 5)


def test_neighbours_are_those_of_gensim():
    gensim = pytest.importorskip("gensim.models")
    words = [f"w{place}" for place in range(300)]
    model = random_model(words, dim=12)
    theirs = gensim.KeyedVectors(12)
    theirs.add_vectors(words, model.centre.weight.detach().numpy())
    for word, row in zip(words[:40], model.neighbours(words[:40], 10)):
        expected = theirs.most_similar(word, topn=10)
        assert names(row) == names(expected)
        assert [cosine for _, cosine in row] == pytest.approx([cosine for _, cosine in expected], abs=1e-5)


def test_words_asked_for_together_answer_as_alone():
    model = random_model()
    asked = ["cat", "unheard", "dog", "CAT", "cat", ""]
    together = model.neighbours(asked, 3)
    for word, row in zip(asked, together):
        alone = model.neighbours([word], 3)[0]
        assert names(row) == names(alone)
        assert [cosine for _, cosine in row] == pytest.approx([cosine for _, cosine in alone], abs=1e-6)
    assert [len(row) for row in together] == [3, 0, 3, 3, 3, 0]
    assert names(together[3]) == names(together[0])  # in another case, yet the same word


def test_no_word_is_its_own_neighbour():
    model = random_model()
    for word, row in zip(WORDS, model.neighbours(WORDS, 100)):
        assert sorted([word, *names(row)]) == sorted(WORDS)
    assert model.neighbours(["Cat"], 100)[0] == model.neighbours(["cat"], 100)[0]
    assert random_model(["alone"]).neighbours(["alone"], 3) == [[]]
    assert model.neighbours([], 3) == []


def test_cosines_are_those_of_torch():
    model = random_model()
    for near, cosine in model.neighbours(["mouse"], 3)[0]:
        left, right = model.centre.weight[[WORDS.index("mouse"), WORDS.index(near)]]
        torch.testing.assert_close(torch.tensor(cosine), cosine_similarity(left, right, dim=0).detach())
