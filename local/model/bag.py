"""Several separators as one: the mean of their estimates ("bag of models", as Demucs has it)."""

import torch
from torch import nn

from local.base.errors import UserError


class Bag(nn.Module):
    """The weighted mean of what several separators make of a mixture.

    It helps where the members are good and err differently; a weak one costs.

    Args:
        members: ``Separator``s of one sample rate, none of them an oracle.
        weights: one number for each, at least 0 and not all 0; their sum need not be 1.

    Raises:
        UserError: other rates, weights that make no mean.
    """

    needs_sources = False

    def __init__(self, members: list, weights: list[float]):
        super().__init__()
        rates = {member.sample_rate for member in members}
        if len(rates) > 1:
            found = ", ".join(f"{of.recipe} {of.sample_rate} Hz" for of in members)
            raise UserError(f"several models are averaged at one sample rate, found {found}")
        if not (all(0 <= weight < float("inf") for weight in weights) and sum(weights) > 0):
            raise UserError(f"weights of several models: expected numbers from 0, not all 0, found"
                            f" {', '.join(map(str, weights))}")  # fmt: skip
        self.network = nn.ModuleList(members)
        self.shares = [weight / sum(weights) for weight in weights]
        [self.sample_rate] = rates
        self.recipe = " + ".join(member.recipe for member in members)
        loose = any(member.consistency == "none" for member in members)
        self.consistency = "none" if loose else "project"  # a mean of consistent estimates is so
        self.infos = {"file": ", ".join(member.infos["file"] for member in members)}
        self.eval()

    def forward(self, mix: torch.Tensor, sources: None = None) -> torch.Tensor:
        """(batch, time) -> (batch, source, time); ``sources`` is for oracles."""
        pairs = zip(self.shares, self.network, strict=True)
        return sum(share * member(mix) for share, member in pairs)
