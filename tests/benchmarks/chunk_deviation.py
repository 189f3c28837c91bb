"""How far the windows of a long recording are from the whole, for a model and a recording.

    python tests/benchmarks/chunk_deviation.py MODEL RECORDING [--minutes 3]

The recording (its first channel, resampled to the model's rate, repeated up to the length asked
for) goes through the network whole and in windows, as `winnow` does with all that is longer than
44 s. Printed are the energy of the difference over that of the whole's estimates in dB, for each
source and for its worst second, and the ratio of the samples that were computed. The whole needs
the memory that windows save.
"""

import argparse
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from local import SOURCES
from local.base import audio
from local.model import pretrained, windows
from local.separation.recordings import Recording


def main() -> None:
    """Print a line per source."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="as winnow --model takes it")
    parser.add_argument("recording")
    parser.add_argument("--minutes", type=float, default=3.0)
    args = parser.parse_args()
    separator = pretrained.open_model(args.model)
    mix = long_enough(args.recording, separator.sample_rate, args.minutes)
    computed = []
    separator.register_forward_pre_hook(lambda _, given: computed.append(given[0].shape[-1]))
    with torch.inference_mode():
        whole = separator(mix)[0]
    stream = windows.estimate_stream(separator, lambda: mix.split(2**18, -1), separator.sample_rate)
    pieces = torch.cat(list(stream), -1)[:, 0]
    for source, expected, found in zip(SOURCES, whole, pieces, strict=True):
        seconds = [x.split(separator.sample_rate) for x in (expected, found)]
        worst = max(deviation(*pair) for pair in zip(*seconds, strict=True))
        print(f"{source}: {deviation(expected, found):.1f} dB, worst second {worst:.1f} dB")
    print(f"computed: {sum(computed[1:]) / computed[0]:.3f} of the whole, in {len(computed) - 1}")


def long_enough(path: str, rate: int, minutes: float) -> torch.Tensor:
    """(1, time) at ``rate`` Hz."""
    with Recording(path) as recording:
        mix = torch.cat(list(recording.blocks(slice(1))), -1)
        mix = audio.resample(mix, recording.rate, rate)
    length = int(minutes * 60 * rate)
    return mix.repeat(1, -(-length // mix.shape[-1]))[:, :length]


def deviation(expected: torch.Tensor, found: torch.Tensor) -> float:
    """Energy of the difference over that of the first, dB."""
    error = (found - expected).square().sum() / expected.square().sum().clamp(min=1e-20)
    return float(10 * torch.log10(error.clamp(min=1e-20)))


if __name__ == "__main__":
    main()
