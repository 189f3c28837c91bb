"""Filterbanks beside Asteroid's, as its ``Filterbank``s: any recipe with ``fb_name`` takes them.

Each serves as encoder and as decoder, like Asteroid's own, and the two invert one another at the
start of a training. From there on they learn apart.
"""

import math
import warnings

import asteroid_filterbanks
import torch
import torchaudio
from asteroid_filterbanks import STFTFB, Filterbank, FreeFB, transforms
from torch import nn
from torch.nn import functional as F

from local.model.dual_filterbank import DualFilterbank


class LappedCosine(FreeFB):
    """Any filters, every sample of them learnt, that start as a modified cosine transform.

    Princen, Johnson and Bradley 1987, "Subband/transform coding using filter bank designs based on
    time domain aliasing cancellation": M cosines under a sine window of 2 M samples, M apart, give
    any signal back, which filters at random learn in many steps only. Where a rectifier follows,
    each filter needs its negative beside it, and 2 M are asked for.

    Args:
        n_filters: M, or 2 M for a rectified encoder.
        kernel_size: 2 M.
        stride: M.
        gain: times which a signal comes back; 2 makes up for a gate, which is half open at first.
    """

    name = "cosine"

    def __init__(self, n_filters, kernel_size, stride=None, sample_rate=16000.0, gain=1.0):
        super().__init__(n_filters, kernel_size, stride, sample_rate)
        self.gain = gain
        half = self.stride
        if kernel_size != 2 * half or n_filters not in (half, 2 * half):
            raise ValueError(
                f"filterbank cosine: stride {half} takes kernel_size {2 * half} and n_filters"
                f" {half} or {2 * half}, not {kernel_size} and {n_filters}"
            )
        time, order = (torch.arange(count).double() + 0.5 for count in (2 * half, half))
        window = torch.sin(math.pi / (2 * half) * time)
        cosines = torch.cos(math.pi / half * torch.outer(order, time + half / 2)) * window
        cosines *= math.sqrt(2 / half * gain)  # half of the decibels in each of the two
        rows = cosines if n_filters == half else torch.cat((cosines, -cosines))
        self._filters.data = rows.float().unsqueeze(1)

    def get_config(self):
        """Arguments that make the filterbank again."""
        return super().get_config() | {"gain": self.gain}


class BandPass(DualFilterbank):
    """Complex tones under windows, with the cut-offs of each band learnt.

    Real parts are the first half of the filters, imaginary ones the second. They start along the
    mel scale, as SincNet's do. The parameters are in kHz: a step of 1e-3, as weights have it,
    would change a number of Hz by nothing. A subclass gives ``windows``.

    Args:
        n_filters: even.
        min_low_hz: lowest lower cut-off, Hz.
        min_band_hz: narrowest band, Hz.
    """

    own = ("min_low_hz", "min_band_hz")

    def __init__(
        self, n_filters, kernel_size, stride=None, sample_rate=16000.0,
        min_low_hz=20.0, min_band_hz=50.0,
    ):  # fmt: skip
        super().__init__(_even(n_filters), kernel_size, stride, sample_rate)
        self.min_low_hz, self.min_band_hz = min_low_hz, min_band_hz
        edges = _mel_points(min_low_hz, sample_rate / 2, n_filters // 2 + 1)
        self.low_khz = nn.Parameter((edges[:-1] - min_low_hz) / 1000)
        self.band_khz = nn.Parameter((edges[1:] - edges[:-1] - min_band_hz).clamp(min=1.0) / 1000)
        self.register_buffer("times", self._times(), persistent=False)
        self._invert()

    def windows(self, band: torch.Tensor) -> torch.Tensor:
        """(filter / 2, 1) Hz, the bands' widths -> (filter / 2, time), at any level."""
        raise NotImplementedError

    def shapes(self):
        """(filter, time), at any level."""
        low = self.min_low_hz + 1000 * self.low_khz.abs().unsqueeze(1)
        band = self.min_band_hz + 1000 * self.band_khz.abs().unsqueeze(1)
        centre = (low + band / 2).clamp(max=self.sample_rate / 2)
        return _tones(centre, self.times) * self.windows(band).repeat(2, 1)


class ComplexGabor(BandPass):
    """Gaussian windows.

    Noé, Parcollet and Morchid 2020, "CGCNN: complex Gabor convolutional neural network on raw
    speech": g(t) = exp(-t²/(2σ²)) exp(2πi f0 t), f0 = (f1 + f2)/2, σ = A/(π (f2 - f1)). Here A =
    sqrt(2 ln 2), so that f1 and f2 are where the gain is half.
    """

    name = "gabor"

    def windows(self, band):
        """See ``BandPass``."""
        sigma = math.sqrt(2 * math.log(2)) / (math.pi * band)
        return (-0.5 * (self.times / sigma) ** 2).exp()


class SincBandPass(BandPass):
    """Ideal band-passes under a Hamming window, with their Hilbert transforms.

    Ravanelli and Bengio 2018, "Speaker recognition from raw waveform with SincNet", section 2, has
    the band-passes; Pariente et al. 2020, "Filterbank design for end-to-end speech separation", the
    transforms. In place of Asteroid's ``ParamSincFB``, whose synthesis does not invert its analysis
    (with 512 filters of 128 samples every 32, white noise comes back 54 dB louder) and whose
    cut-offs, in Hz, hardly move.
    """

    name = "param_sinc"

    def windows(self, band):
        """See ``BandPass``."""
        shape = torch.hamming_window(self.kernel_size, periodic=False, device=band.device)
        return torch.sinc(band * self.times) * shape


class Harmonic(DualFilterbank):
    """Band-pass filters at the multiples of each fundamental, with bandwidths learnt.

    Won, Chun, Nieto and Serra 2020, "Data-driven harmonic filters for audio representation
    learning", eq. 1 to 3: a triangle over frequency of centre h·f and of base (α h f + β)/Q, where
    α = 0.1079 and β = 24.7 start as an ear's do and, like Q, are learnt. The paper weighs an STFT's
    bins with the triangles; here their inverse transform, a squared sinc, is a filter on the
    waveform (complex, under a Hamming window), because a synthesis needs the phase. Fundamentals
    lie at equal ratios from 32.7 Hz (C1) to where the last harmonic is at half the sample rate; the
    paper has them at quarter tones, here there are as many as ``n_filters`` asks for.

    Args:
        n_filters: a multiple of ``2 * harmonics``.
        harmonics: bands for each fundamental; the paper has 6.
    """

    name = "harmonic"
    own = ("harmonics",)

    def __init__(self, n_filters, kernel_size, stride=None, sample_rate=16000.0, harmonics=4):
        super().__init__(_even(n_filters), kernel_size, stride, sample_rate)
        if n_filters % (2 * harmonics):
            raise ValueError(
                f"n_filters {n_filters} must be a multiple of 2 x filterbank.harmonics {harmonics}"
            )
        self.harmonics = harmonics
        count = n_filters // (2 * harmonics)
        ends = torch.tensor([32.7, sample_rate / 2 / harmonics]).log2()
        fundamentals = 2 ** torch.linspace(*ends.tolist(), count)
        orders = torch.arange(1, harmonics + 1).unsqueeze(1)
        self.register_buffer("centres", (orders * fundamentals).reshape(-1, 1), persistent=False)
        self.register_buffer("times", self._times(), persistent=False)
        window = torch.hamming_window(kernel_size, periodic=False)
        self.register_buffer("window", window, persistent=False)
        self.alpha, self.beta, self.quality = (
            nn.Parameter(torch.tensor(value)) for value in (0.1079, 24.7, 1.0)
        )
        self._invert()

    def shapes(self):
        """(filter, time), at any level."""
        base = (self.alpha.abs() * self.centres + self.beta.abs()) / self.quality.abs()
        envelope = torch.sinc(base / 2 * self.times) ** 2 * self.window
        return _tones(self.centres, self.times) * envelope.repeat(2, 1)


class MultiScale(DualFilterbank):
    """Long, middle and short windows side by side, every sample of them learnt.

    Zhu, Engel and Hannun 2016, "Learning multiscale features directly from waveforms". A scale is a
    quarter as long as the one before. The paper's short windows have a smaller stride and are
    pooled to the frame rate of the long ones; here they stand at several places within a
    stride, because what is pooled cannot be turned back. Filters start as windowed tones and not at
    random, so that the synthesis inverts them.

    Args:
        n_filters: shared evenly among the scales; each gets an even number.
        kernel_size: samples of the longest window.
        scales: number of lengths.
    """

    name = "multi_scale"
    own = ("scales",)

    def __init__(self, n_filters, kernel_size, stride=None, sample_rate=16000.0, scales=3):
        super().__init__(_even(n_filters), kernel_size, stride, sample_rate)
        self.scales = scales
        if n_filters < 2 * scales:
            raise ValueError(
                f"n_filters {n_filters}: filterbank.scales {scales} needs at least {2 * scales}"
            )
        if kernel_size // 4 ** (scales - 1) < 4:
            raise ValueError(
                f"filterbank.scales {scales}: windows of a quarter each, from kernel_size "
                f"{kernel_size}, end below 4 samples"
            )
        rows, within = [], []
        left = n_filters
        for scale in range(scales):
            share = left if scale == scales - 1 else n_filters // scales // 2 * 2
            left -= share
            for row, start in self._scale(share, kernel_size // 4**scale):
                ends = (start, kernel_size - start - len(row))
                rows.append(F.pad(row, ends))
                within.append(F.pad(torch.ones(len(row)), ends))
        self.register_buffer("within", torch.stack(within), persistent=False)
        self.values = nn.Parameter(torch.stack(rows))
        self._invert()

    def _scale(self, share, length):
        """Windowed tones of one length: each as (length,), and the sample where it starts."""
        places = min(share // 2, math.ceil(2 * self.stride / length))
        hop = self.stride / places
        first = max(0.0, (self.kernel_size - length - hop * (places - 1)) / 2)
        window = torch.hann_window(length).sqrt()
        times = torch.arange(length).unsqueeze(0) / self.sample_rate
        for place in range(places):
            count = share // 2 // places + (place < share // 2 % places)
            centres = (torch.arange(count) + 0.5).unsqueeze(1) * self.sample_rate / 2 / count
            for row in _tones(centres, times) * window:
                yield row, round(first + place * hop)

    def shapes(self):
        """(filter, time), at any level."""
        return self.values * self.within


class MultiPhaseGammatone(DualFilterbank):
    """Gammatones at the ear's centres, each in several phases; nothing is learnt.

    Ditter and Gerkmann 2020, "A multi-phase gammatone filterbank for speech separation via TasNet",
    section 3: γ(t) = t^(n-1) exp(-2πbt) cos(2πft + φ), of order n = 2, centres from 100 Hz up at
    steps of 1 on the ERB scale, phases evenly over π, each with its negative, because a rectifier
    follows in the paper; lower centres get the phases that are over. Filters have equal norms.
    Its decoder is learnt; here it is the same filters and the inverse frame operator.

    Args:
        n_filters: even, at least two for each centre.
    """

    name = "multi_phase_gammatone"

    def __init__(self, n_filters, kernel_size, stride=None, sample_rate=16000.0):
        super().__init__(_even(n_filters), kernel_size, stride, sample_rate)
        last = _erb_scale(sample_rate / 2)
        steps = int(last - _erb_scale(100.0)) + 1
        pairs = n_filters // 2
        if pairs < steps:
            raise ValueError(
                f"n_filters {n_filters}: multi_phase_gammatone has {steps} centres at "
                f"{sample_rate:g} Hz and needs at least {2 * steps}"
            )
        rows = []
        time = torch.arange(1, kernel_size + 1) / sample_rate
        for step in range(steps):
            centre = _erb_frequency(_erb_scale(100.0) + step)
            phases = pairs // steps + (step < pairs % steps)
            width = (24.7 + 0.108 * centre) / (math.pi / 2)  # b for order 2, its eq. 4
            for phase in range(phases):
                tone = torch.cos(2 * math.pi * centre * time + math.pi * phase / phases)
                rows.append(time * (-2 * math.pi * width * time).exp() * tone)
        half = torch.stack(rows)
        self.register_buffer("values", torch.cat((half, -half)), persistent=False)
        self._invert()

    def shapes(self):
        """(filter, time), at any level."""
        return self.values


class Mel(STFTFB):
    """Magnitudes in mel bands; the masked ones go back through the mixture's STFT.

    What a mask leaves of each band, spread over the bins by the bands' triangles, is the gain of
    the mixture's spectrum: phase and what is finer than a band are the mixture's. So the decoder
    needs the encoder's STFT of the same mixture, which ``pair`` shows it.

    Args:
        n_filters: the FFT's size.
        n_mels: bands, from 0 Hz to half the sample rate.
    """

    name = "mel"

    def __init__(self, n_filters, kernel_size, stride=None, sample_rate=16000.0, n_mels=64):
        super().__init__(n_filters, kernel_size, stride=stride, sample_rate=sample_rate)
        self.n_mels = self.n_feats_out = n_mels
        with warnings.catch_warnings(action="ignore"):  # of empty bands: refused below
            bands = torchaudio.functional.melscale_fbanks(
                self.cutoff, 0.0, sample_rate / 2, n_mels, int(sample_rate), mel_scale="htk"
            )
        if not bands.any(0).all():
            raise ValueError(
                f"filterbank.n_mels {n_mels}: some bands hold no bin of an FFT of {n_filters}; "
                "lower it or raise model.n_filters"
            )
        # bins below the first triangle's middle and above the last's belong to these bands
        bands[: int(bands[:, 0].argmax()), 0] = 1.0
        bands[int(bands[:, -1].argmax()) :, -1] = 1.0
        self.register_buffer("bands", bands.T.contiguous(), persistent=False)
        self.register_buffer("shares", bands / bands.sum(1, keepdim=True), persistent=False)
        self.analysis = ()

    def post_analysis(self, spec):
        """(batch, 2 * bin, frame) -> magnitudes (batch, band, frame)."""
        self.spectrum = spec
        self.magnitudes = self.bands @ transforms.mag(spec, dim=-2)
        return self.magnitudes

    def pre_synthesis(self, spec):
        """Masked (batch, source, band, frame) -> (batch, source, 2 * bin, frame)."""
        (analysis,) = self.analysis
        tiny = torch.finfo(torch.float32).tiny
        left = spec / analysis.magnitudes.unsqueeze(1).clamp(min=tiny)
        gains = self.shares @ left
        return torch.cat((gains, gains), -2) * analysis.spectrum.unsqueeze(1)

    def pair(self, encoder: Filterbank) -> None:
        """Use the spectrum that ``encoder`` has seen last."""
        self.analysis = (encoder,)  # in a tuple, so that it is no part of this module

    def get_config(self):
        """Arguments that make the filterbank again."""
        return super().get_config() | {"n_mels": self.n_mels}


def _tones(centres: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Cosines, then sines: (filter, 1) Hz and (1, time) s -> (2 * filter, time)."""
    angles = 2 * math.pi * centres * times
    return torch.cat((angles.cos(), angles.sin()))


def _even(n_filters: int) -> int:
    if n_filters % 2:
        raise ValueError(f"n_filters must be even, got {n_filters}")
    return n_filters


def _mel_points(low: float, high: float, count: int) -> torch.Tensor:
    """Frequencies in Hz at equal steps of the mel scale (O'Shaughnessy's)."""
    low, high = (2595 * math.log10(1 + edge / 700) for edge in (low, high))
    return 700 * (10 ** (torch.linspace(low, high, count) / 2595) - 1)


def _erb_scale(frequency: float) -> float:
    """Hz -> steps of equivalent rectangular bandwidths (Ditter and Gerkmann 2020, eq. 2)."""
    return 9.265 * math.log(1 + frequency / (24.7 * 9.265))


def _erb_frequency(steps: float) -> float:
    return 24.7 * 9.265 * (math.exp(steps / 9.265) - 1)


def pair(network: nn.Module) -> None:
    """Show a decoder that synthesises through the mixture's spectrum its encoder."""
    decoder = getattr(getattr(network, "decoder", None), "filterbank", None)
    if isinstance(decoder, Mel):
        decoder.pair(network.encoder.filterbank)


_OURS = (LappedCosine, ComplexGabor, SincBandPass, Harmonic, MultiScale, MultiPhaseGammatone, Mel)
BANKS = {bank.name: bank for bank in _OURS}

# Asteroid looks for fb_name among its module's names, and a checkpoint has the class's
for _alias, _bank in BANKS.items():
    setattr(asteroid_filterbanks, _alias, _bank)
    setattr(asteroid_filterbanks, _bank.__name__, _bank)
