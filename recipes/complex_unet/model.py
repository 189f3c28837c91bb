"""A U-Net of complex convolutions over the STFT."""

from asteroid.masknn.convolutional import DCUMaskNet
from asteroid.utils.generic_utils import unet_decoder_args

from local.blocks.on_stft import ComplexMaskSeparator


class ComplexUNet(ComplexMaskSeparator):
    """Asteroid's DCUNet on winnow's STFT: complex convolutions and masks.

    After Choi et al. 2019, "Phase-aware speech enhancement with deep complex U-Net".

    Args:
        window: samples.
        hop: samples between frames.
        fft: samples; None: the window. Half of it is a multiple of the network's stride over
            frequencies, 32 for DCUNet-10, 256 for the others.
        architecture: ``DCUNet-10``, ``DCUNet-16`` or ``DCUNet-20``, layers as in the paper.
        width: factor of the architecture's channels.
        mask_bound: ``tanh``: magnitudes of the mask from 0 to 1, any phase (section 3.2);
            ``sigmoid``: real and imaginary part from 0 to 1; None: no bound.
        n_src: sources.
        sample_rate: Hz.

    Raises:
        ValueError: sizes from which a signal could not be recovered, or that the network cannot
            take.
    """

    def __init__(
        self, window=1024, hop=256, fft=None, architecture="DCUNet-20", width=1.0,
        mask_bound="tanh", n_src=2, sample_rate=16000,
    ):  # fmt: skip
        encoders, decoders = _layers(architecture, width, n_src)
        masker = DCUMaskNet(encoders, decoders, mask_bound=mask_bound, fix_length_mode="pad")
        super().__init__(
            masker, window, hop, fft, sample_rate, architecture=architecture, width=width,
            mask_bound=mask_bound, n_src=n_src,
        )  # fmt: skip
        stride = int(masker.encoders_stride_product[0])
        if self.stft.fft // 2 % stride:
            raise ValueError(f"fft {self.stft.fft}: {architecture} takes multiples of {2 * stride}")


def _layers(architecture: str, width: float, n_src: int):
    """Asteroid's arguments of the layers down and up, with more or fewer channels."""
    encoders, _ = DCUMaskNet._architectures[architecture]

    def scaled(channels):
        return channels if channels == 1 else max(1, round(width * channels))

    encoders = [(scaled(inside), scaled(out), *rest) for inside, out, *rest in encoders]
    *decoders, (inside, _, *rest) = unet_decoder_args(encoders, skip_connections=True)
    return encoders, (*decoders, (inside, n_src, *rest))
