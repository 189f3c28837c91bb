"""RNNoise through the package pyrnnoise: the noise is what it removes from the mixture."""

import ctypes

import numpy as np
import torch
from asteroid.models import BaseModel
from pyrnnoise import rnnoise

from local.base import audio

FULL_SCALE = 32768.0  # RNNoise's samples are 16-bit integers, held in floats
DELAY = 960  # samples at 48 kHz (20 ms) by which the output is late


class RNNoise(BaseModel):
    """The voice is RNNoise's output without its delay, the noise is the mixture minus the voice.

    RNNoise works at 48 kHz: the mixture is resampled, and the voice is resampled back. Departs
    from the package's class: samples are floats throughout, not rounded to 16 bits and not
    clipped. Each example starts with a new state.

    Args:
        sample_rate: Hz.
    """

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, source, time)."""
        rate = int(self.sample_rate)
        # one by one: RNNoise computes with whole numbers and can turn a difference of rounding,
        # which resampling a batch makes, into one that is larger
        heard = [audio.resample(example, rate, rnnoise.SAMPLE_RATE) for example in mix]
        voice = np.stack([denoise(example.cpu().numpy()) for example in heard])
        voice = audio.resample(torch.from_numpy(voice).to(mix), rnnoise.SAMPLE_RATE, rate)
        voice = voice[:, : mix.shape[-1]]
        return torch.stack((voice, mix - voice), 1)

    def get_model_args(self):
        """Arguments that build an equal model."""
        return {"sample_rate": self.sample_rate}


def denoise(signal: np.ndarray) -> np.ndarray:
    """One signal at 48 kHz, full scale 1: float32 (time,) -> (time,), in time with the input."""
    size = rnnoise.FRAME_SIZE
    frames = np.zeros((-(-(len(signal) + DELAY) // size), size), np.float32)
    samples = frames.reshape(-1)
    samples[: len(signal)] = signal * np.float32(FULL_SCALE)
    process, pointer = rnnoise.lib.rnnoise_process_frame, ctypes.POINTER(ctypes.c_float)
    state = rnnoise.create()
    try:
        for frame in frames:  # the library takes one at a time
            place = frame.ctypes.data_as(pointer)
            process(state, place, place)
    finally:
        rnnoise.destroy(state)
    return samples[DELAY : DELAY + len(signal)] / np.float32(FULL_SCALE)
