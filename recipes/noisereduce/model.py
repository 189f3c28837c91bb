"""noisereduce through its own package: the noise is what it removes from the mixture."""

import torch
from asteroid.models import BaseModel
from noisereduce import noisereduce


class NoiseReduce(BaseModel):
    """The voice is noisereduce's output, the noise is the mixture minus the voice.

    Silence, for which the package returns NaN, stays silence.

    Args:
        sample_rate: Hz.

    Raises:
        ValueError: a sample rate so low that the package refuses it.
    """

    def __init__(self, sample_rate=16000):
        super().__init__(sample_rate=sample_rate)
        self(torch.ones(1, 1))

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, source, time)."""
        voice = torch.zeros_like(mix)
        heard = mix.any(-1)
        if heard.any():
            # every row is a channel, and channels do not meet
            gated = noisereduce.reduce_noise(
                mix[heard].double().cpu().numpy(), int(self.sample_rate), stationary=False
            )
            voice[heard] = torch.from_numpy(gated).to(mix)
        return torch.stack((voice, mix - voice), 1)

    def get_model_args(self):
        """Arguments that build an equal model."""
        return {"sample_rate": self.sample_rate}
