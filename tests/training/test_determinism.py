"""Seeds of batches: equal where all numbers are, else different."""

from itertools import product

import torch

from lightning_nlp.training.determinism import mix


def test_every_number_and_their_order_count():
    seeds = {mix(*numbers) for numbers in product(range(12), repeat=4)}
    assert len(seeds) == 12**4
    assert mix(1, 2, 3, 4) == mix(1, 2, 3, 4)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_neighbouring_batches_draw_unlike_numbers():
    draws = []
    for batch in range(200):
        torch.manual_seed(mix(42, 0, batch, 0))
        draws.append(torch.rand(1).item())
    draws = torch.tensor(draws)
    assert abs(draws.mean() - 0.5) < 0.08
    assert abs(torch.corrcoef(torch.stack([draws[:-1], draws[1:]]))[0, 1]) < 0.2
