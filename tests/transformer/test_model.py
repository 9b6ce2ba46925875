"""The model against transformers' own GPT-2, torch's own attention, and itself told otherwise."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from lightning_nlp.data.sample_world import sample_rows
from lightning_nlp.transformer import TransformerConfig, TransformerModel
from lightning_nlp.transformer.attention import attend, look_back, rotations
from lightning_nlp.transformer.data import chain_texts, new_tokenizer
from lightning_nlp.transformer.gpt2 import from_gpt2, gpt2_config, to_gpt2
from lightning_nlp.transformer.model import places_in_documents
from lightning_nlp.transformer.objectives import IGNORED

SMALL = {"dim": 16, "layers": 3, "heads": 2, "context": 24, "vocab_size": 40, "zero_init": False}
KINDS = {
    "rope": {},
    "learned": {"positions": "learned", "norm": "layer", "activation": "gelu", "bias": True, "qk_norm": False},
    "swiglu": {"activation": "swiglu", "tied": False},
    "synthesizer": {"attention": "synthesizer"},
    "perceiver": {"attention": "perceiver", "latents": 6, "layers": 4},
}
CACHED = [kind for kind in KINDS if kind != "perceiver"]


def build(kind="rope", **numbers) -> TransformerModel:
    torch.manual_seed(1)
    return wide(TransformerModel(TransformerConfig(**{**SMALL, **KINDS[kind], **numbers})).eval())


def wide(model):
    """Weights larger than those of the beginning, so that what a token sees changes what it says."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(8)
    return model


def ids(*shape, seed=0) -> torch.Tensor:
    return torch.randint(5, 40, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_no_token_sees_a_later_one(kind):
    model, tokens = build(kind), ids(2, 12)
    changed = tokens.clone()
    changed[:, 7] = (changed[:, 7] + 1) % 40
    before, after = model(tokens).logits, model(changed).logits
    torch.testing.assert_close(before[:, :7], after[:, :7])
    assert not torch.allclose(before[:, 7], after[:, 7])


@pytest.mark.parametrize("kind", CACHED)
def test_no_document_sees_another(kind):
    model, tokens = build(kind), ids(1, 15)
    documents = torch.tensor([[1] * 4 + [2] * 6 + [3] * 3 + [0] * 2])
    together = model(tokens, documents).logits
    for start, end in ((0, 4), (4, 10), (10, 13)):
        torch.testing.assert_close(together[:, start:end], model(tokens[:, start:end]).logits)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_on_either_side_changes_nothing(kind):
    model, tokens = build(kind), ids(1, 9)
    alone = model(tokens).logits
    pad = torch.zeros(1, 4, dtype=torch.long)
    left = model(torch.cat((pad, tokens), 1), torch.tensor([[0] * 4 + [1] * 9])).logits[:, 4:]
    right = model(torch.cat((tokens, pad), 1), torch.tensor([[1] * 9 + [0] * 4])).logits[:, :9]
    torch.testing.assert_close(left, alone)
    torch.testing.assert_close(right, alone)


@pytest.mark.parametrize("kind", CACHED)
def test_cached_keys_give_the_same_text(kind):
    model = build(kind)
    prompts = torch.stack((ids(7), torch.cat((torch.zeros(3, dtype=torch.long), ids(4, seed=2)))))
    mask = (prompts > 0).long()
    options = {"max_new_tokens": 8, "do_sample": False, "return_dict_in_generate": True, "output_logits": True}
    cached, not_cached = (
        model.generate(prompts, attention_mask=mask, use_cache=use, **options) for use in (True, False)
    )
    assert cached.sequences.tolist() == not_cached.sequences.tolist()
    torch.testing.assert_close(torch.stack(cached.logits), torch.stack(not_cached.logits))


@pytest.mark.parametrize("kind", CACHED)
def test_cached_keys_follow_the_beams(kind):
    model, prompts = build(kind), ids(2, 5)
    options = {"max_new_tokens": 6, "do_sample": False, "num_beams": 3, "attention_mask": torch.ones_like(prompts)}
    cached, not_cached = (model.generate(prompts, use_cache=use, **options).tolist() for use in (True, False))
    assert cached == not_cached


def test_weights_come_with_the_same_result():
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 7, 8)
    allowed = look_back(torch.tensor([[1, 1, 1, 2, 2, 2, 0], [1] * 7]), 7)
    found, none = attend(query, key, value, allowed)
    plain, weights = attend(query, key, value, allowed, with_weights=True)
    assert none is None
    torch.testing.assert_close(plain, found)
    torch.testing.assert_close(weights.sum(3), torch.ones(2, 4, 7))
    assert not weights[:, :, ~allowed[0, 0]][0].any()


def test_attentions_of_each_block_are_returned():
    found = build()(ids(2, 5), output_attentions=True).attentions
    assert [weights.shape for weights in found] == [(2, 2, 5, 5)] * 3
    assert not found[0].triu(1).any()


def test_rotated_positions_are_relative():
    """Where a text stands does not matter, only how far its tokens are from each other."""
    model, tokens = build(), ids(1, 8)
    moved = model(tokens, position_ids=torch.arange(100, 108)[None]).logits
    torch.testing.assert_close(moved, model(tokens).logits, atol=1e-4, rtol=1e-4)


def test_angles_are_exact_where_numbers_are_short():
    """Lightning makes bfloat16 the default type under bf16-true; at place 1,000 its steps are wider than a turn."""
    places = torch.tensor([[0, 120, 1000]])
    exact = rotations(places, 32, 10_000.0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        found = rotations(places, 32, 10_000.0)
    finally:
        torch.set_default_dtype(torch.float32)
    for one, other in zip(found, exact):
        torch.testing.assert_close(one.float(), other, rtol=0, atol=1e-6)


def test_places_begin_anew_with_each_document():
    documents = torch.tensor([[0, 0, 1, 1, 2, 2, 2, 0]])
    assert places_in_documents(documents).tolist() == [[0, 1, 0, 1, 0, 1, 2, 0]]


@pytest.mark.parametrize("kind", KINDS)
def test_losses_agree(kind):
    """The mean that transformers asks for, the sum that training uses, and torch's own."""
    model, tokens = build(kind), ids(2, 9)
    with torch.no_grad():
        logits = model(tokens).logits
        expected = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
        targets = torch.full_like(tokens, -100)
        targets[:, :-1] = tokens[:, 1:]
        torch.testing.assert_close(model(tokens, labels=tokens).loss, expected)
        torch.testing.assert_close(model.summed_loss(tokens, targets, torch.ones_like(tokens)) / 16, expected)


def test_blocks_begin_as_the_identity():
    model = TransformerModel(TransformerConfig(**{**SMALL, "zero_init": True})).eval()
    tokens = ids(2, 6)
    states, _ = model.states(tokens)
    torch.testing.assert_close(states, model.last_norm(model.vectors(tokens)))


@pytest.mark.parametrize("narrow", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4, "top_k": 0}])
def test_sampling_from_the_likeliest_alone_is_greedy(narrow):
    model, prompts = build(), ids(3, 4)
    options = {"max_new_tokens": 6, "attention_mask": torch.ones_like(prompts)}
    greedy = model.generate(prompts, do_sample=False, **options)
    assert torch.equal(model.generate(prompts, do_sample=True, **narrow, **options), greedy)
    torch.manual_seed(0)
    free = [model.generate(prompts, do_sample=True, top_k=0, temperature=3.0, **options) for _ in range(4)]
    assert any(not torch.equal(one, greedy) for one in free)


def test_generation_ends_at_a_stop_token():
    model, prompts = build(), ids(1, 4)
    options = {"max_new_tokens": 6, "do_sample": False, "attention_mask": torch.ones_like(prompts)}
    whole = model.generate(prompts, eos_token_id=None, **options)[0].tolist()
    stop = whole[6]
    found = model.generate(prompts, eos_token_id=stop, **options)[0].tolist()
    assert found == whole[: whole.index(stop, 4) + 1]


@pytest.mark.parametrize("kind", ["dropout", "attention_dropout"])
def test_dropout_is_for_training(kind):
    model, tokens = build(**{kind: 0.5}), ids(2, 9)
    assert torch.equal(model(tokens).logits, build()(tokens).logits)
    model.train()
    torch.manual_seed(0)
    assert not torch.allclose(model(tokens).logits, model(tokens).logits)


def test_it_opens_gpt2_and_becomes_one(tmp_path):
    torch.manual_seed(0)
    theirs = GPT2LMHeadModel(GPT2Config(n_embd=24, n_layer=3, n_head=4, n_positions=32, vocab_size=50)).eval()
    wide(theirs).save_pretrained(tmp_path / "gpt2")
    model, tokens = from_gpt2(tmp_path / "gpt2"), ids(2, 11)
    mask = torch.tensor([[1] * 11, [0] * 3 + [1] * 8])
    places = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        expected = theirs(tokens, attention_mask=mask, position_ids=places).logits[mask > 0]
        torch.testing.assert_close(model(tokens, mask).logits[mask > 0], expected, atol=1e-5, rtol=1e-5)
        to_gpt2(model).save_pretrained(tmp_path / "back")
        back = GPT2LMHeadModel.from_pretrained(tmp_path / "back").eval()
        torch.testing.assert_close(back(tokens).logits, theirs(tokens).logits)


def test_a_gpt2_of_other_numbers_is_refused():
    torch.manual_seed(0)
    theirs = GPT2LMHeadModel(GPT2Config(n_embd=24, n_layer=2, n_head=4, n_positions=32, vocab_size=50))
    from lightning_nlp.transformer.gpt2 import load_gpt2

    deeper = TransformerModel(gpt2_config(dim=24, layers=3, heads=4, context=32, vocab_size=50))
    with pytest.raises(ValueError, match=r"28 of them, expected 40; different are blocks\.2"):
        load_gpt2(deeper, theirs.state_dict())
    longer = TransformerModel(gpt2_config(dim=24, layers=2, heads=4, context=33, vocab_size=50))
    with pytest.raises(ValueError, match=r"position_vectors.weight is of shape \(32, 24\), expected \(33, 24\)"):
        load_gpt2(longer, theirs.state_dict())
    with pytest.raises(ValueError, match="Only a model of GPT-2's kind"):
        to_gpt2(build())


def test_gpt2_small_has_the_published_size():
    with torch.device("meta"):
        model = TransformerModel(gpt2_config())
    assert sum(weight.numel() for weight in model.parameters()) == 124_439_808


def test_the_folder_opens_by_the_auto_classes(tmp_path):
    texts = [row["text"] for row in sample_rows("biographies", "train")[:50]]
    tokenizer = new_tokenizer("bpe", 300, chain_texts(texts, []))
    model = build(vocab_size=len(tokenizer), mask_token_id=4)
    model.tokenizer = tokenizer
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert loaded.complete(texts[:3], 5) == model.complete(texts[:3], 5)
    questions = ["Where was Cleo Holt born?", "Where?", ""]
    assert loaded.answer(questions, 8) == [model.answer([question], 8)[0] for question in questions]


@pytest.mark.parametrize("wrong", [{"dim": 15}, {"norm": "batch"}, {"dropout": 1.0}, {"heads": 0}])
def test_impossible_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match=f"config.{next(iter(wrong))}"):
        TransformerConfig(**{**SMALL, **wrong})


@pytest.mark.parametrize("activation", ["relu2", "swiglu"])
def test_flops_are_those_that_torch_counts(activation):
    model = TransformerModel(
        TransformerConfig(dim=32, layers=2, heads=2, context=24, vocab_size=50, activation=activation)
    )
    tokens = torch.randint(5, 50, (3, 24))
    targets = tokens.clone()
    targets[:, :20] = IGNORED
    with FlopCounterMode(display=False) as counter:
        model.summed_loss(tokens, targets, torch.ones_like(tokens)).backward()
    assert model.flops(3 * 24, 3 * 4) == counter.get_total_flops()
