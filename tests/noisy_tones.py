"""A steady noise with bursts of a tone: what an enhancer that knows no voices has to tell apart."""

import torch

RATE = 16000
BURST = slice(int(3.1 * RATE), int(3.4 * RATE))
"""Samples within a burst, away from its ends."""
PAUSE = slice(int(3.6 * RATE), int(3.9 * RATE))
"""Samples between two bursts."""


def noisy_tones() -> tuple[torch.Tensor, torch.Tensor]:
    """White noise at -40 dB, in it a tone of 1 kHz at -23 dB for the first half of each second.

    There is no tone in the first second.

    Returns:
        the mixture (1, time), and the tone alone (time,).
    """
    time = torch.arange(5 * RATE) / RATE
    tone = 0.1 * torch.sin(2 * torch.pi * 1000 * time) * (time % 1 < 0.5) * (time >= 1)
    noise = 0.01 * torch.randn(len(time), generator=torch.Generator().manual_seed(0))
    return (tone + noise).unsqueeze(0), tone


def rms_db(signal: torch.Tensor) -> float:
    """Level in dB of full scale."""
    return 10 * signal.square().mean().log10().item()
