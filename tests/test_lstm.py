"""The compiled loop is torch's LSTM: states, last states and all gradients."""

import pytest
import torch

from lightning_nlp import lstm
from lightning_nlp.lstm import LSTM


def run(layer, read, lengths, dim, autocast=False):
    """Returns all that comes out of a layer, forwards and backwards, on inputs that are always the same."""
    noise = torch.Generator().manual_seed(1)
    directions = 2 if layer.bidirectional else 1
    inputs = torch.randn(len(lengths), int(lengths.max()) + 1, dim, generator=noise).requires_grad_()
    shape = (directions, len(lengths), layer.hidden_size)
    state = tuple(torch.randn(shape, generator=noise).requires_grad_() for _ in range(2))
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        outputs, (hidden, cell) = read(inputs, lengths, state)
    weights = torch.randn(outputs.shape, generator=noise)
    ((outputs.float() * weights).sum() + hidden.float().square().sum() + cell.float().pow(3).sum()).backward()
    found = {"outputs": outputs, "hidden": hidden, "cell": cell, "d_inputs": inputs.grad}
    found |= {"d_first_hidden": state[0].grad, "d_first_cell": state[1].grad}
    found |= {f"d_{name}": weight.grad.clone() for name, weight in layer.named_parameters()}
    return {name: value.detach().float() for name, value in found.items()}


@pytest.mark.parametrize(("threads", "rows"), [(1, 11), (3, 11), (20, 11), (20, 55)])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("hidden", [16, 80])
def test_compiled_loop_equals_torch(hidden, bidirectional, threads, rows):
    """Also of empty sentences, beyond their ends, with rows that fill no group of the loop or leave a thread none."""
    torch.manual_seed(0)
    layer, lengths = LSTM(7, hidden, bidirectional), torch.tensor([4, 1, 9, 9, 2, 0, 5, 3, 8, 6, 1]).repeat(rows // 11)
    if lstm.load_lstm() is None:
        pytest.skip("no C++ compiler")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        ours = run(layer, layer, lengths, 7)
    finally:
        torch.set_num_threads(before)
    torchs = run(layer, layer._by_torch, lengths, 7)
    for name, expected in torchs.items():
        torch.testing.assert_close(ours[name], expected, rtol=1e-4, atol=1e-5, msg=name)


def test_bfloat16_is_near():
    torch.manual_seed(0)
    layer, lengths = LSTM(7, 32, True), torch.tensor([4, 1, 9, 2])
    ours, exact = run(layer, layer, lengths, 7, autocast=True), run(layer, layer._by_torch, lengths, 7)
    for name, expected in exact.items():
        error = (ours[name] - expected).abs().max() / expected.abs().max()
        assert error < 0.02, (name, error)


def test_a_sentence_is_read_alike_in_any_batch():
    torch.manual_seed(0)
    layer, inputs, lengths = LSTM(5, 32, True), torch.randn(13, 6, 5), torch.arange(13) % 6 + 1
    with torch.no_grad():
        together, _ = layer(inputs, lengths)
        for row, length in enumerate(lengths):
            alone, _ = layer(inputs[row : row + 1, :length], lengths[row : row + 1])
            torch.testing.assert_close(together[row, :length], alone[0], rtol=0, atol=1e-6)
            assert not together[row, length:].any()


def test_without_compiler_or_for_odd_sizes_torch_reads(monkeypatch):
    torch.manual_seed(0)
    inputs, lengths = torch.randn(3, 4, 5), torch.tensor([4, 2, 1])
    odd = LSTM(5, 9)
    assert odd(inputs, lengths)[0].shape == (3, 4, 9)
    layer = LSTM(5, 16)
    compiled = layer(inputs, lengths)[0]
    monkeypatch.setattr(lstm, "load_lstm", lambda: None)
    torch.testing.assert_close(layer(inputs, lengths)[0], compiled)
