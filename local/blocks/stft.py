"""The short-time Fourier transform that recipes share, and its exact inverse."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class STFT(nn.Module):
    """A pair of transforms with a periodic Hann window in analysis and in synthesis.

    The inverse is overlap-add divided by the sum of the squared windows: the spectrum's least
    squares signal (Griffin and Lim 1984, "Signal estimation from modified short-time Fourier
    transform", eq. 6), which is the original signal if nothing was changed.

    Frame ``m`` is centred on sample ``m * hop``, with zeros before the first sample and after the
    last. The last frame is centred after the last sample. So each sample is within half a hop of a
    centre, where the window is at least one half, and the division is safe at the ends too.

    Args:
        window: samples.
        hop: samples between frames, at most half the window.
        fft: samples, even, at least the window, which is centred in it; None: the window, plus one
            if it is odd.

    Raises:
        ValueError: sizes from which a signal could not be recovered.
    """

    def __init__(self, window: int = 512, hop: int = 128, fft: int | None = None):
        super().__init__()
        fft = window + window % 2 if fft is None else fft
        if window < 2:
            raise ValueError(f"window {window}: at least 2 samples")
        if not 1 <= hop <= window / 2:
            raise ValueError(f"hop {hop}: from 1 to half of the window of {window} samples")
        if fft < window or fft % 2:
            raise ValueError(f"fft {fft}: an even number, at least the window of {window} samples")
        self.hop, self.fft = hop, fft
        self.register_buffer("window", torch.hann_window(window))

    @property
    def frequencies(self) -> int:
        """The number of frequencies, from 0 to half the sample rate."""
        return self.fft // 2 + 1

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """(..., time) of at least 1 sample -> complex (..., frequency, 1 + ceil(time / hop))."""
        padded = F.pad(signal, (0, -signal.shape[-1] % self.hop))
        spectrum = torch.stft(
            padded.reshape(-1, padded.shape[-1]), self.fft, self.hop, len(self.window),
            self.window.to(signal.dtype), center=True, pad_mode="constant", return_complex=True,
        )  # fmt: skip
        return spectrum.reshape(*signal.shape[:-1], *spectrum.shape[-2:])

    def inverse(self, spectrum: torch.Tensor, length: int) -> torch.Tensor:
        """Complex (..., frequency, frame) -> (..., length), as many samples as there were."""
        signal = torch.istft(
            spectrum.reshape(-1, *spectrum.shape[-2:]), self.fft, self.hop, len(self.window),
            self.window.to(spectrum.real.dtype), center=True, length=length,
        )  # fmt: skip
        return signal.reshape(*spectrum.shape[:-2], length)

    def parts(self, signal: torch.Tensor) -> torch.Tensor:
        """The spectrum in real numbers: (batch, time) -> (batch, 2, frequency, frame).

        Real part first. A network that uses only these can be exported to ONNX, which has no
        complex numbers: there the transform is a convolution with its basis.
        """
        if torch.onnx.is_in_onnx_export():
            return self.convolved(signal)
        # side by side in memory, what follows takes less time than with interleaved parts
        return torch.view_as_real(self(signal)).movedim(-1, 1).contiguous()

    def inverse_parts(self, parts: torch.Tensor, length: int) -> torch.Tensor:
        """(batch, 2, frequency, frame) -> (batch, length): ``inverse`` of a spectrum's parts."""
        if torch.onnx.is_in_onnx_export():
            return self.deconvolved(parts, length)
        return self.inverse(torch.complex(*parts.unbind(1)), length)

    def convolved(self, signal: torch.Tensor) -> torch.Tensor:
        """``parts`` by a convolution."""
        basis = np.fft.rfft(np.eye(self.fft)).T
        kernels = self._kernels(np.concatenate((basis.real, basis.imag)), signal)
        # the last hop - 1 zeros complete a frame, as in forward
        padded = F.pad(signal, (self.fft // 2, self.fft // 2 + self.hop - 1)).unsqueeze(1)
        spectrum = F.conv1d(padded, kernels, stride=self.hop)
        return spectrum.reshape(spectrum.shape[0], 2, self.frequencies, -1)

    def deconvolved(self, parts: torch.Tensor, length: int) -> torch.Tensor:
        """``inverse_parts`` by a transposed convolution."""
        eye = np.eye(self.frequencies)
        basis = np.fft.irfft(np.concatenate((eye, 1j * eye)), self.fft)
        sums = F.conv_transpose1d(parts.flatten(1, 2), self._kernels(basis, parts), stride=self.hop)
        taper = self._kernels(np.ones((1, self.fft)), parts)
        ones = torch.ones_like(parts[:1, 0, :1])
        weight = F.conv_transpose1d(ones, taper.square(), stride=self.hop)
        kept = slice(self.fft // 2, self.fft // 2 + length)
        return sums[:, 0, kept] / weight[0, :, kept]

    def _kernels(self, basis: np.ndarray, like: torch.Tensor) -> torch.Tensor:
        """(channel, 1, fft): a basis under the window; from numpy, for a constant is exported."""
        return torch.from_numpy(basis * self.taper.cpu().numpy()).to(like).unsqueeze(1)

    @property
    def taper(self) -> torch.Tensor:
        """The window, padded with zeros to a frame of ``fft`` samples."""
        left = (self.fft - len(self.window)) // 2
        return F.pad(self.window, (left, self.fft - len(self.window) - left))
