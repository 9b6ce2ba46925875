"""Muon for the matrices of the blocks and AdamW for all other weights, as one optimizer (Jordan et al. 2024)."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import AdamW, Muon, Optimizer


class MuonAdamW(Optimizer):
    """Steps torch's Muon and torch's AdamW together; a schedule scales both rates.

    Args:
        params: groups, of which those with `kind` matrices are Muon's, as from `TransformerModel.parameter_groups`.
        lr: of Muon.
        adamw_lr: of AdamW.
        betas: of AdamW.
        momentum: of Muon.
        weight_decay: of both, times their rates; a group's own comes first.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        lr: float = 0.02,
        adamw_lr: float = 0.002,
        betas: tuple[float, float] = (0.9, 0.95),
        momentum: float = 0.95,
        weight_decay: float = 0.01,
    ) -> None:
        groups = list(params)
        if not all(isinstance(group, dict) for group in groups):
            raise ValueError("MuonAdamW wants groups of weights: give it model.parameter_groups().")
        matrices = [group for group in groups if group.get("kind") == "matrices"]
        others = [group for group in groups if group.get("kind") != "matrices"]
        self.parts: dict[str, Optimizer] = {}
        if matrices:
            self.parts["muon"] = Muon(matrices, lr=lr, momentum=momentum, weight_decay=weight_decay)
        if others:
            self.parts["adamw"] = AdamW(others, lr=adamw_lr, betas=betas, weight_decay=weight_decay, fused=True)
        super().__init__([group for part in self.parts.values() for group in part.param_groups], {})

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates all weights."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts.values():
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Returns the states of both parts."""
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the states of both parts."""
        for name, part in self.parts.items():
            part.load_state_dict(state_dict[name])
        self.param_groups = [group for part in self.parts.values() for group in part.param_groups]
