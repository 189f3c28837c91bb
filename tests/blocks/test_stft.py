"""The transform against its definition, and its inverse at every length."""

import numpy as np
import pytest
import torch

from local.blocks.stft import STFT

SIZES = [
    (512, 128, None),
    (512, 256, None),
    (1024, 256, None),
    (1024, 512, None),
    (2048, 512, None),
    (400, 100, 512),
    (7, 3, None),
    (2, 1, None),
]


def noise(*shape, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return 0.1 * torch.randn(*shape, generator=generator, dtype=dtype)


@pytest.mark.parametrize("length", [1, 2, 3, 127, 128, 129, 511, 1000, 16001])
@pytest.mark.parametrize("sizes", SIZES)
def test_the_inverse_returns_the_signal(sizes, length):
    stft = STFT(*sizes)
    for dtype, error in ((torch.float32, 1e-6), (torch.float64, 1e-12)):
        signal = noise(2, 3, length, dtype=dtype)
        spectrum = stft(signal)
        assert spectrum.shape == (2, 3, stft.frequencies, 1 + -(-length // stft.hop))
        torch.testing.assert_close(stft.inverse(spectrum, length), signal, rtol=0, atol=error)


@pytest.mark.parametrize(("window", "hop", "fft"), [(8, 4, 8), (8, 3, 12), (6, 2, 16)])
def test_frames_are_fourier_transforms_around_their_centres(window, hop, fft):
    signal = noise(30, dtype=torch.float64)
    spectrum = STFT(window, hop, fft).double()(signal)
    padded = np.concatenate([np.zeros(window // 2), signal, np.zeros(window)])
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    times = np.arange(window) - window // 2  # around the centre, whose phase is that of fft / 2
    frequencies = np.arange(fft // 2 + 1)[:, None]
    kernel = np.exp(-2j * np.pi * frequencies * (times + fft // 2) / fft)
    for m in range(spectrum.shape[-1]):
        expected = kernel @ (hann * padded[m * hop : m * hop + window])
        np.testing.assert_allclose(spectrum[:, m], expected, atol=1e-6)


@pytest.mark.parametrize("sizes", SIZES[:3])
def test_errors_of_a_spectrum_do_not_grow_at_the_ends(sizes):
    stft = STFT(*sizes)
    length = 4 * stft.fft + stft.hop - 1
    shape = 500, stft.frequencies, 1 + -(-length // stft.hop)
    out = stft.inverse(torch.complex(noise(*shape), noise(*shape)), length)
    level = out.square().mean(0).sqrt()
    middle = level[stft.fft : -stft.fft].mean()
    assert level.max() < 3 * middle


@pytest.mark.parametrize(
    "sizes", [(512, 257), (512, 513), (512, 0), (1, 1), (512, 128, 510), (512, 128, 513), (0, 0)]
)
def test_sizes_from_which_nothing_can_be_recovered(sizes):
    with pytest.raises(ValueError, match=r"^(window|hop|fft) \d+: "):
        STFT(*sizes)


@pytest.mark.parametrize("length", [1, 2, 128, 129, 511, 1000])
@pytest.mark.parametrize("sizes", SIZES)
def test_real_parts_by_convolution_are_those_of_the_transform(sizes, length):
    stft = STFT(*sizes).double()
    signal = noise(2, length, dtype=torch.float64)
    parts = stft.parts(signal)
    spectrum = stft(signal)
    torch.testing.assert_close(parts, torch.stack((spectrum.real, spectrum.imag), 1))
    torch.testing.assert_close(stft.convolved(signal), parts, rtol=0, atol=1e-12)
    changed = parts * noise(*parts.shape, dtype=torch.float64)
    expected = stft.inverse(torch.complex(*changed.unbind(1)), length)
    torch.testing.assert_close(stft.inverse_parts(changed, length), expected)
    torch.testing.assert_close(stft.deconvolved(changed, length), expected, rtol=0, atol=1e-12)
