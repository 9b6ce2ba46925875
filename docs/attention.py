"""Draws the pictures of docs/attention.md with the code that the models run: python docs/attention.py"""

from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from lightning_nlp.report.figures import ACCENT, FAINT, INK, new_figure
from lightning_nlp.transformer.attention import attend

PICTURES = Path(__file__).with_name("pictures")
DIM = 16
OTHER = "#c8553d"


def look(query: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Returns what one query finds, and its weights; the usual scale is taken out."""
    allowed = torch.ones(1, 1, 1, len(keys), dtype=torch.bool)
    query = query[None, None, None] * len(query) ** 0.5
    found, weights = attend(query, keys[None, None], values[None, None], allowed, with_weights=True)
    assert weights is not None
    return found[0, 0, 0], weights[0, 0, 0]


def orthonormal(count: int) -> Tensor:
    """Returns unit vectors at right angles, [count, DIM]."""
    return torch.linalg.qr(torch.randn(DIM, DIM))[0][:count]


def copying() -> Figure:
    """A longer query looks at fewer keys: the mean at one end, a copy at the other."""
    figure, axes = new_figure(5, 2.6)
    keys = orthonormal(6)
    lengths = torch.logspace(-1, 1.3, 60)
    weights = torch.stack([look(length * keys[2], keys, keys)[1] for length in lengths])
    axes.plot(lengths, weights[:, [0, 1, 3, 4, 5]], color=FAINT, linewidth=1.5)
    axes.plot(lengths, weights[:, 2], color=ACCENT, linewidth=2)
    axes.set(xscale="log", xlabel="length of the query", ylabel="weight", ylim=(0, 1.02))
    axes.annotate("its own key", (2.2, 0.66), color=ACCENT, fontsize=9, ha="right")
    axes.annotate("each of the five others", (0.12, 0.06), color=INK, fontsize=9)
    return figure


def two_heads() -> Figure:
    """What one head and two heads find when the length of a key varies, in the plane of the two values."""
    figure, axes = new_figure(5, 3.2)
    means = orthonormal(2)
    values = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    one, two = [], []
    for _ in range(200):
        keys = torch.stack((means[0] * (1 + 0.5 * torch.randn(()).clamp(-1.5, 1.5)), means[1]))
        share = look(15 * (means[0] + means[1]), keys, values)[0][0]
        apart = (look(15 * means[0], keys, values)[0][0] + look(15 * means[1], keys, values)[0][0]) / 2
        one.append(float(share))
        two.append(float(apart))
    for row, (shares, colour) in enumerate(((one, OTHER), (two, ACCENT))):
        heights = row + 0.28 * (torch.rand(len(shares)) - 0.5)
        axes.scatter(shares, heights, s=8, color=colour, linewidths=0, alpha=0.7)
    axes.axvline(0.5, color=INK, linewidth=0.8, linestyle=":")
    axes.set(yticks=[0, 1], yticklabels=["one head", "two heads"], ylim=(-0.5, 1.5), xlim=(-0.05, 1.05))
    axes.set_xticks([0, 0.5, 1], ["first value", "their mean, which is wanted", "second value"])
    return figure


def projections() -> Figure:
    """x1 = d + b, x2 = a, x3 = c + b: how much of each component the second token finds."""
    figure, axes = new_figure(5, 2.6)
    size = 10.0
    components = size * orthonormal(4)
    a, b, c, d = components
    tokens = torch.stack((d + b, a, c + b))
    plain, _ = look(tokens[1], tokens, tokens)
    project_value = (torch.outer(b, b) - torch.outer(c, c)) / size**2
    project_query = (torch.outer(d, a) + torch.outer(c, d)) / size**2
    projected, _ = look(project_query @ tokens[1], tokens, tokens @ project_value.T)
    bars(axes, [components @ found / size**2 for found in (plain, projected)], "abcd")
    axes.set_ylabel("share of the component")
    axes.legend(["plain", "with projections"], frameon=False, fontsize=8)
    return figure


def gradient() -> Figure:
    """The gradient of cross entropy in the logits: what was foretold less what is true."""
    figure, axes = new_figure(5, 2.6)
    logits = torch.tensor([1.5, 0.2, -0.5, 0.9, -1.2], requires_grad=True)
    torch.nn.functional.cross_entropy(logits, torch.tensor(3)).backward()
    assert logits.grad is not None
    bars(axes, [logits.detach().softmax(0), logits.grad], ["0", "1", "2", "3, the true one", "4"])
    axes.legend(["probability", "gradient"], frameon=False, fontsize=8)
    axes.axhline(0, color=INK, linewidth=0.8)
    return figure


def perplexity() -> Figure:
    """Entropy of two outcomes in bits, and the number of equal choices that have as much."""
    figure, axes = new_figure(5, 2.6)
    chance = torch.linspace(0.001, 0.999, 200)
    bits = -(chance * chance.log2() + (1 - chance) * (1 - chance).log2())
    axes.plot(chance, bits, color=ACCENT, linewidth=2)
    axes.plot(chance, 2**bits, color=OTHER, linewidth=2)
    axes.set(xlabel="probability of one of two outcomes", ylim=(0, 2.1))
    axes.annotate("perplexity", (0.5, 1.85), color=OTHER, fontsize=9, ha="center")
    axes.annotate("entropy in bits", (0.5, 0.85), color=ACCENT, fontsize=9, ha="center")
    return figure


def bars(axes: object, groups: Sequence[Tensor], names: Sequence[str]) -> None:
    """Draws two groups of bars side by side."""
    for number, (heights, colour) in enumerate(zip(groups, (FAINT, ACCENT))):
        axes.bar(torch.arange(len(names)) + 0.4 * number - 0.2, heights, 0.38, color=colour)  # type: ignore[attr-defined]
    axes.set_xticks(range(len(names)), list(names))  # type: ignore[attr-defined]


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    for draw in (copying, two_heads, projections, gradient, perplexity):
        torch.manual_seed(0)
        draw().savefig(PICTURES / f"{draw.__name__}.svg", metadata={"Date": None})
