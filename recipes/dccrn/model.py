"""Complex convolutions down and up over frequency, complex LSTMs over time between them."""

from asteroid import complex_nn
from asteroid.masknn.base import BaseDCUMaskNet
from asteroid.masknn.convolutional import DCUNetComplexDecoderBlock, DCUNetComplexEncoderBlock
from asteroid.masknn.recurrent import DCCRMaskNetRNN
from torch import nn

from local.blocks.on_stft import ComplexMaskSeparator

KERNEL, STRIDE, PADDING = (5, 2), (2, 1), (2, 0)  # of frequencies and frames


class DCCRN(ComplexMaskSeparator):
    """Asteroid's DCCRNet on winnow's STFT.

    After Hu et al. 2020, "DCCRN: deep complex convolution recurrent network for phase-aware
    speech enhancement", the variant DCCRN-CL. Asteroid's own constructor fails with today's torch,
    which accepts no numpy integer as a size; this one puts the same blocks together, with any
    number of channels. As in Asteroid, the network does not see the highest frequency, whose mask
    is 0.

    Args:
        window: samples.
        hop: samples between frames.
        fft: samples; None: the window. A multiple of twice 2^levels.
        channels: complex channels of every level, each with half the frequencies of the one
            before; the paper counts the two real channels of each.
        hidden_size: complex cells of each of two recurrent layers.
        n_src: sources.
        sample_rate: Hz.

    Raises:
        ValueError: sizes from which a signal could not be recovered, or that the network cannot
            take.
    """

    def __init__(
        self, window=400, hop=100, fft=512, channels=(16, 32, 64, 128, 128, 128), hidden_size=128,
        n_src=2, sample_rate=16000,
    ):  # fmt: skip
        channels = list(channels)
        bins = (window + window % 2 if fft is None else fft) // 2
        if bins % 2 ** len(channels):
            raise ValueError(f"fft {2 * bins}: {len(channels)} levels take multiples of"
                             f" {2 ** (1 + len(channels))}")  # fmt: skip
        super().__init__(
            _Masker(channels, hidden_size, bins, n_src), window, hop, fft, sample_rate,
            channels=channels, hidden_size=hidden_size, n_src=n_src,
        )  # fmt: skip


class _Masker(BaseDCUMaskNet):
    """Asteroid's DCCRMaskNet."""

    def __init__(self, channels: list[int], hidden_size: int, bins: int, n_src: int):
        down, up = [], []
        for inside, out in zip([1, *channels[:-1]], channels, strict=True):
            down.append(DCUNetComplexEncoderBlock(inside, out, KERNEL, STRIDE, PADDING,
                                                  activation="prelu"))  # fmt: skip
            up.insert(0, (2 * out, inside, KERNEL, STRIDE, PADDING, (1, 0)))
        recurrent = DCCRMaskNetRNN(channels[-1] * bins // 2 ** len(channels), hidden_size)
        inside, _, *rest = up.pop()
        super().__init__(
            encoders=[*down, recurrent],
            decoders=[
                nn.Identity(),  # the recurrent layers change no size
                *(DCUNetComplexDecoderBlock(*sizes, activation="prelu") for sizes in up),
            ],
            output_layer=complex_nn.ComplexConvTranspose2d(inside, n_src, *rest),
        )

    def fix_input_dims(self, x):
        """Complex (batch, frequency, frame) -> the same without the highest frequency."""
        return x[:, :-1]

    def fix_output_dims(self, y, x):
        """Masks of the frequencies seen -> of those of ``x``, with 0 for the highest."""
        return nn.functional.pad(y, (0, 0, 0, 1))
