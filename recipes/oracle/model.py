"""Ideal masks: computed from the references, a bound for masks on this STFT."""

import torch
from asteroid.models import BaseModel

from local.base.errors import nearest
from local.blocks import masks
from local.blocks.stft import STFT


class Oracle(BaseModel):
    """The mixture's STFT times the ideal mask of each source.

    Args:
        mask: a name in ``local.blocks.masks.MASKS``.
        window: samples.
        hop: samples.
        sample_rate: Hz.

    Raises:
        ValueError: another mask, or sizes from which a signal could not be recovered.
    """

    needs_sources = True

    def __init__(self, mask: str = "wiener", window: int = 512, hop: int = 128, sample_rate=16000):
        super().__init__(sample_rate=sample_rate)
        if mask not in masks.MASKS:
            raise ValueError(f"mask {mask!r}{nearest(mask, masks.MASKS)}")
        self.mask, self.window = mask, window
        self.stft = STFT(window, hop)

    def forward(self, mix: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
        """(batch, time), (batch, source, time) -> (batch, source, time)."""
        voice, noise = self.stft(sources).unbind(1)
        ideal = masks.MASKS[self.mask](voice, noise)
        return self.stft.inverse(masks.apply(ideal, self.stft(mix)), mix.shape[-1])

    def get_model_args(self):
        """Arguments that build an equal model."""
        return {"mask": self.mask, "window": self.window, "hop": self.stft.hop,
                "sample_rate": self.sample_rate}  # fmt: skip
