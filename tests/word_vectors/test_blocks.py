"""The fast path: its update against autograd of the reference objective, pair by pair, and compiled against not."""

import shutil
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_nlp import native
from lightning_nlp.word_vectors.blocks import TOKENS, Blocks, block_update, blocks_of, pair_mask
from lightning_nlp.word_vectors.kernel import kernel_update, load_kernel
from lightning_nlp.word_vectors.loss import negative_sampling_loss
from lightning_nlp.word_vectors.optimizer import BlockSGD, merge_tables
from lightning_nlp.word_vectors.sampling import draw_reach, window_pairs

NEGATIVES = 5
RATE = 0.01
needs_compiler = pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++"))), reason="needs a C++ compiler")


def random_tables(vocab: int, dim: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    centre, context = (torch.randn(vocab, dim, generator=generator) / dim**0.5 for _ in range(2))
    return centre, context


def random_text(tokens: int, vocab: int, window: int, noise: int = 16, seed: int = 0, longest: int = 9) -> Blocks:
    """Sentences of random lengths; with few words, noise is often the context itself."""
    torch.manual_seed(seed)
    lengths = torch.randint(1, longest + 1, (tokens,))
    sentence = torch.repeat_interleave(torch.arange(tokens, dtype=torch.int32), lengths)[:tokens]
    ids = torch.randint(vocab, (tokens,), dtype=torch.int32)
    shared = torch.randint(vocab, (blocks_of(tokens), noise), dtype=torch.int32)
    return Blocks(ids, sentence, draw_reach(tokens, window), shared)


def reference_losses(centre: torch.Tensor, context: torch.Tensor, text: Blocks) -> torch.Tensor:
    """The objective as autograd has it: each pair with the noise of its centre's block."""
    centres, contexts = window_pairs(text.sentence, text.reach)
    noise = text.noise[centres // TOKENS]
    is_context = noise == text.tokens[contexts][:, None]
    v, u = centre[text.tokens[centres]], context[text.tokens[contexts]]
    return negative_sampling_loss(v, u, context[noise], is_context, NEGATIVES / text.noise.shape[1])


def one_block_after_another(text: Blocks):
    """Texts of one block each, whose centres are that block's alone: those around it only lend their words."""
    for block in range(len(text.noise)):
        centres, _ = window_pairs(text.sentence, text.reach)
        yield block, centres // TOKENS == block


def reference_update(centre, context, text, rate):
    """Gradient descent on the summed loss of one block after another, in double precision by autograd."""
    total, pairs = 0.0, 0
    centre, context = centre.double(), context.double()
    for _, is_of_block in one_block_after_another(text):
        tables = [table.clone().requires_grad_() for table in (centre, context)]
        losses = reference_losses(*tables, text)[is_of_block]
        if len(losses):
            losses.sum().backward()
            centre, context = (table.detach() - rate * table.grad for table in tables)
        total, pairs = total + losses.sum().item(), pairs + len(losses)
    return centre.float(), context.float(), total, pairs


def compiled(dim: int, window: int, noise: int = 16):
    found = load_kernel(dim, window, noise)
    assert found is not None
    return found


@given(
    tokens=st.integers(0, 120),
    vocab=st.sampled_from([2, 5, 300]),
    window=st.sampled_from([1, 2, 5]),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_the_update_is_the_gradient_of_the_reference(tokens, vocab, window, seed):
    """On the same pairs and negatives, to 1e-5, and so is the loss it reports."""
    text = random_text(tokens, vocab, window, seed=seed)
    centre, context = random_tables(vocab, 7, seed)
    *expected, total, pairs = reference_update(centre, context, text, RATE)
    loss, counted = block_update(centre, context, text, window, NEGATIVES, RATE)
    torch.testing.assert_close((centre, context), tuple(expected), rtol=0, atol=1e-5)
    assert counted == pairs
    assert loss == pytest.approx(total, rel=1e-5, abs=1e-6)


@needs_compiler
@pytest.mark.parametrize("vocab", [2, 11, 400])
@pytest.mark.parametrize(
    ("dim", "window", "noise", "tokens"),
    [(100, 5, 32, 500), (7, 1, 16, 73), (16, 2, 16, 36), (33, 11, 48, 200), (24, 5, 16, 1), (8, 8, 16, 0)],
)
def test_the_kernel_is_the_gradient_of_the_reference(dim, window, noise, tokens, vocab):
    text = random_text(tokens, vocab, window, noise)
    centre, context = random_tables(vocab, dim)
    *expected, total, pairs = reference_update(centre, context, text, RATE)
    summed = kernel_update(compiled(dim, window, noise), centre, context, text, NEGATIVES, RATE, 1, True)
    assert summed is not None
    torch.testing.assert_close((centre, context), tuple(expected), rtol=0, atol=1e-5)
    assert summed[1] == pairs
    assert summed[0] == pytest.approx(total, rel=1e-5, abs=1e-6)


@needs_compiler
def test_large_scores_stay_finite_and_right():
    text = random_text(200, 50, 5)
    tables = [50 * table for table in random_tables(50, 20)]
    ours, theirs = [table.clone() for table in tables], [table.clone() for table in tables]
    loss, pairs = block_update(*theirs, text, 5, NEGATIVES, RATE)
    summed = kernel_update(compiled(20, 5), *ours, text, NEGATIVES, RATE, 1, True)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)
    assert summed is not None
    assert summed[1] == pairs
    assert summed[0] == pytest.approx(loss, rel=1e-4)


@needs_compiler
def test_the_loss_costs_nothing_but_time_and_one_thread_repeats_itself():
    text = random_text(3000, 100, 5)
    runs = []
    for with_loss in (True, False, False):
        centre, context = random_tables(100, 30)
        found = kernel_update(compiled(30, 5), centre, context, text, NEGATIVES, RATE, 1, with_loss)
        assert (found is not None) == with_loss
        runs.append((centre, context))
    for run in runs[1:]:
        torch.testing.assert_close(run, runs[0], rtol=0, atol=0)


@needs_compiler
def test_the_loss_does_not_depend_on_threads_or_batches():
    """At a rate so small that nothing moves, the mean loss is that of the text, however it is gone through."""
    text = random_text(7200, 500, 5)
    tables = random_tables(500, 20)
    half = 100 * TOKENS
    sentences_apart = text._replace(sentence=(torch.arange(7200) // TOKENS).int())  # no pair crosses a cut
    for part in (text, sentences_apart):
        expected = reference_losses(*tables, part).double().sum()
        for threads in (1, 2, 5):
            found = kernel_update(compiled(20, 5), *tables, part, NEGATIVES, 0.0, threads, True)
            assert found is not None
            assert found[0] == pytest.approx(expected.item(), rel=1e-6)
    parts = [
        Blocks(*(array[cut] for array in sentences_apart[:3]), sentences_apart.noise[blocks])
        for cut, blocks in ((slice(0, half), slice(0, 100)), (slice(half, None), slice(100, None)))
    ]
    sums = [kernel_update(compiled(20, 5), *tables, part, NEGATIVES, 0.0, 1, True) for part in parts]
    assert sum(found[0] for found in sums if found) == pytest.approx(expected.item(), rel=1e-6)


@needs_compiler
def test_hogwild_threads_do_all_the_work():
    """Blocks apart from each other: several threads move every row as one does."""
    tokens = 40 * TOKENS
    text = random_text(tokens, 9, 3)
    # Each block has words and noise of its own, so that no two threads meet.
    block = torch.arange(tokens) // TOKENS
    text = text._replace(
        tokens=(text.tokens + 9 * block).int(),
        sentence=block.int(),
        noise=(text.noise + 9 * torch.arange(40)[:, None]).int(),
    )
    results = []
    for threads in (1, 2, 3, 100):
        centre, context = random_tables(9 * 40, 12)
        kernel_update(compiled(12, 3), centre, context, text, NEGATIVES, RATE, threads, False)
        results.append((centre, context))
    for result in results[1:]:
        torch.testing.assert_close(result, results[0])


def test_pairs_are_those_of_the_windows():
    text = random_text(80, 5, 4)
    centres, contexts = window_pairs(text.sentence, text.reach)
    mask = pair_mask(text, slice(0, 80), slice(0, 80))
    expected = torch.zeros(80, 80)
    expected[centres, contexts] = 1
    torch.testing.assert_close(mask, expected)


# -- optimizer ------------------------------------------------------------------------------------------------------


def parameters(vocab: int = 20, dim: int = 6) -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(table) for table in random_tables(vocab, dim)]


@pytest.mark.parametrize("found", [True, False])
def test_the_optimizer_moves_its_tables_at_its_rate(found, monkeypatch):
    """Compiled, and in torch where there is no compiler."""
    if found and not any(map(shutil.which, ("g++", "clang++"))):
        pytest.skip("needs a C++ compiler")
    if not found:
        monkeypatch.setattr("lightning_nlp.word_vectors.optimizer.load_kernel", lambda *_: None)
    text = random_text(100, 20, 3)
    tables = parameters()
    expected = [table.detach().clone() for table in tables]
    block_update(*expected, text, 3, NEGATIVES, 0.125)
    optimizer = BlockSGD(tables, lr=0.25, noise=16)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5)
    called = []
    monkeypatch.setattr(
        "lightning_nlp.word_vectors.optimizer.kernel_update",
        lambda *given: called.append(given) or kernel_update(*given),
    )
    optimizer.step(text=text, window=3, negatives=NEGATIVES)
    schedule.step()
    assert bool(called) == found
    torch.testing.assert_close([table.detach() for table in tables], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0.0}, r"optimizer\.lr is 0\.0, expected a number above 0"),
        ({"noise": 10}, r"optimizer\.noise is 10, expected a multiple of 16"),
        ({"hogwild_threads": 0}, r"optimizer\.hogwild_threads is 0, expected at least 1"),
    ],
)
def test_numbers_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        BlockSGD(parameters(), **options)


def test_other_parameters_are_refused():
    with pytest.raises(ValueError, match="two tables of a SkipGramModel"):
        BlockSGD(parameters()[:1])


# -- compiling ------------------------------------------------------------------------------------------------------


@pytest.fixture
def fresh():
    load_kernel.cache_clear()
    yield
    load_kernel.cache_clear()


@pytest.mark.usefixtures("fresh")
def test_without_a_compiler_it_warns_once(monkeypatch):
    monkeypatch.setattr(native.shutil, "which", lambda name: None)
    with pytest.warns(UserWarning, match=r"no C\+\+ compiler .* running in torch"):
        assert load_kernel(4, 2, 16) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_kernel(4, 2, 16) is None


@needs_compiler
@pytest.mark.usefixtures("fresh")
def test_a_compiler_that_fails_is_told_and_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("LIGHTNING_NLP_CACHE", str(tmp_path))
    monkeypatch.setattr(native, "FLAGS", ["-no-such-flag"])
    with pytest.warns(UserWarning, match="no-such-flag"):
        assert load_kernel(4, 2, 16) is None
    assert not list(tmp_path.rglob("kernel.so"))


@needs_compiler
@pytest.mark.usefixtures("fresh")
def test_it_is_compiled_once_for_its_numbers_and_its_processor(monkeypatch, tmp_path):
    monkeypatch.setenv("LIGHTNING_NLP_CACHE", str(tmp_path))
    for _ in range(2):
        load_kernel.cache_clear()
        assert load_kernel(4, 2, 16) is not None
    assert len(list(tmp_path.rglob("kernel.so"))) == 1
    load_kernel(5, 2, 16)
    assert len(list(tmp_path.rglob("kernel.so"))) == 2
    load_kernel.cache_clear()
    monkeypatch.setattr(native, "_processor", lambda: "another")
    load_kernel(4, 2, 16)
    assert len(list(tmp_path.rglob("kernel.so"))) == 3


# -- several processes ----------------------------------------------------------------------------------------------


def test_a_row_moves_by_the_moves_over_the_root_of_their_number(monkeypatch):
    """Two processes, the other one played: it moved rows 0 and 2 by 4; this one rows 0 and 1 by 2."""
    before = torch.arange(8.0).view(4, 2)
    ours, theirs = before.clone(), before.clone()
    ours[[0, 1]] += 2
    theirs[[0, 2]] += 4
    sent = iter([theirs - before, torch.tensor([1.0, 0.0, 1.0, 0.0])])
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: tensor.add_(next(sent)))
    start = before.clone()
    merge_tables([ours], [start])
    expected = before + torch.tensor([6.0 / 2**0.5, 2.0, 4.0, 0.0])[:, None]
    np.testing.assert_allclose(ours.numpy(), expected.numpy(), rtol=1e-6)
    np.testing.assert_allclose(start.numpy(), expected.numpy(), rtol=1e-6)
