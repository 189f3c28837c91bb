"""Composite measures CSIG, CBAK and COVL of enhanced speech (Hu and Loizou 2008).

Y. Hu and P. C. Loizou, "Evaluation of objective quality measures for speech enhancement", IEEE
Transactions on Audio, Speech, and Language Processing 16(1), 2008. Each predicts how listeners
rate by ITU-T P.835, from 1 to 5: the distortion of the speech, the intrusion of the background,
and the whole. They are linear in four measures::

    CSIG = 3.093 - 1.029 LLR + 0.603 PESQ - 0.009 WSS
    CBAK = 1.634 + 0.478 PESQ - 0.007 WSS + 0.063 segSNR
    COVL = 1.594 + 0.805 PESQ - 0.512 LLR - 0.007 WSS

These coefficients, and the framing, orders and limits below, are those of ``composite.m``, which
comes with Loizou, "Speech Enhancement: Theory and Practice" (2nd edition, 2013) and which papers
on VoiceBank-DEMAND report. Signals are float64 (time,), full scale is 1.
"""

from collections.abc import Callable

import numpy as np

WINDOW = 0.03  # seconds in a frame, of which a quarter passes from one to the next
KEPT = 0.95  # of the frames, the best, whose mean is LLR or WSS
SEGMENT_DB = -10.0, 35.0  # limits of a frame's SNR
RATINGS = 1.0, 5.0
AT_ONCE = 4096  # frames, half a minute
EPS = np.finfo(float).eps

# critical bands of WSS: Hz, in the middle and wide
BANDS = np.array([
    (50.0, 70.0), (120.0, 70.0), (190.0, 70.0), (260.0, 70.0), (330.0, 70.0), (400.0, 70.0),
    (470.0, 70.0), (540.0, 77.3724), (617.372, 86.0056), (703.378, 95.3398), (798.717, 105.411),
    (904.128, 116.256), (1020.38, 127.914), (1148.30, 140.423), (1288.72, 153.823),
    (1442.54, 168.154), (1610.70, 183.457), (1794.16, 199.776), (1993.93, 217.153),
    (2211.08, 235.631), (2446.71, 255.255), (2701.97, 276.072), (2978.04, 298.126),
    (3276.17, 321.465), (3597.63, 346.136),
])  # fmt: skip
LEAST_WEIGHT = np.exp(-30 / (2 * 2.303))  # of a band's filter; what is less is 0
LEAST_ENERGY = 1e-10  # in a band
K_MAX, K_LOCAL = 20.0, 1.0  # dB, Klatt's constants


def composite(reference, estimate, rate: int, pesq: float) -> dict[str, float] | None:
    """CSIG, CBAK and COVL by their names in scores.csv; None if there is no whole frame.

    Args:
        reference, estimate: (time,).
        rate: Hz, 8000 or 16000.
        pesq: MOS-LQO of P.862.2 at 16 kHz; at 8 kHz the raw score of P.862.
    """
    if not len(_frames(reference, rate)):
        return None
    slope, likelihood = wss(reference, estimate, rate), llr(reference, estimate, rate)
    snr = segmental_snr(reference, estimate, rate)
    ratings = {
        "csig": 3.093 - 1.029 * likelihood + 0.603 * pesq - 0.009 * slope,
        "cbak": 1.634 + 0.478 * pesq - 0.007 * slope + 0.063 * snr,
        "covl": 1.594 + 0.805 * pesq - 0.512 * likelihood - 0.007 * slope,
    }
    return {name: float(np.clip(value, *RATINGS)) for name, value in ratings.items()}


def raw_pesq(mos_lqo: float) -> float:
    """The raw score of P.862 that P.862.1 maps to this MOS-LQO."""
    return (4.6607 - np.log(4 / (mos_lqo - 0.999) - 1)) / 1.4945


def segmental_snr(reference, estimate, rate: int) -> float:
    """Mean over frames of the SNR in dB, each within ``SEGMENT_DB``."""

    def measure(signal, heard):
        ratios = np.square(signal).sum(1) / (np.square(signal - heard).sum(1) + EPS)
        return np.clip(10 * np.log10(ratios + EPS), *SEGMENT_DB)

    return float(_of_frames(measure, reference, estimate, rate).mean())


def llr(reference, estimate, rate: int) -> float:
    """Log-likelihood ratio of linear predictors, mean over the best frames.

    How much worse the estimate's predictor (order 16, below 10 kHz 10) does on the reference than
    its own one: log(a R a' / b R b') with the reference's autocorrelation R (Quackenbush, Barnwell
    and Clements 1988). Frames in which rounding leaves no ratio do not count.
    """
    order = 10 if rate < 10000 else 16
    distance = np.abs(np.subtract.outer(np.arange(order + 1), np.arange(order + 1)))

    def measure(signal, heard):
        lags = _autocorrelation(signal, order)
        matrices = lags[:, distance]
        predictors = _predictor(_autocorrelation(heard, order)), _predictor(lags)
        with np.errstate(all="ignore"):
            error, least = (np.einsum("ti,tij,tj->t", a, matrices, a) for a in predictors)
            return np.log(error / least)

    ratios = _of_frames(measure, reference + EPS, estimate + EPS, rate)
    return _best(ratios[np.isfinite(ratios)])


def wss(reference, estimate, rate: int) -> float:
    """Weighted spectral slope, mean over the best frames.

    The squared difference of slopes in dB between neighbouring critical bands. Slopes at peaks
    weigh most: near the largest band of the frame, and near the next peak (Klatt 1982).
    """

    def measure(*frames):
        energies = [_band_energies(x, rate) for x in frames]
        slopes = [np.diff(energy) for energy in energies]
        pairs = zip(energies, slopes, strict=True)
        weights = sum(_slope_weights(energy, slope) for energy, slope in pairs) / 2
        return (weights * np.square(slopes[0] - slopes[1])).sum(1) / weights.sum(1)

    return _best(_of_frames(measure, reference + EPS, estimate + EPS, rate))


def _of_frames(measure: Callable, reference, estimate, rate: int) -> np.ndarray:
    """What ``measure`` says of the frames (frame, time) of two signals, ``AT_ONCE`` at a time."""
    length = round(WINDOW * rate)
    hann = 0.5 * (1 - np.cos(2 * np.pi * np.arange(1, length + 1) / (length + 1)))
    frames = [_frames(signal, rate) for signal in (reference, estimate)]
    blocks = [slice(at, at + AT_ONCE) for at in range(0, len(frames[0]), AT_ONCE)]
    return np.concatenate([measure(*(of[block] * hann for of in frames)) for block in blocks])


def _frames(signal, rate: int) -> np.ndarray:
    """(frame, time), a view; composite.m leaves out the last one that would fit."""
    length = round(WINDOW * rate)
    hop = length // 4
    count = max(0, int(len(signal) / hop - length / hop))
    if not count:
        return np.empty((0, length))
    return np.lib.stride_tricks.sliding_window_view(signal, length)[::hop][:count]


def _best(distances) -> float:
    """The mean of the smallest; 0 if there are none."""
    kept = np.sort(distances)[: round(len(distances) * KEPT)]
    return float(kept.mean()) if len(kept) else 0.0


def _autocorrelation(frames, order: int) -> np.ndarray:
    """(frame, lag) from 0 to ``order``."""
    length = frames.shape[1]
    return np.stack(
        [(frames[:, : length - k] * frames[:, k:]).sum(1) for k in range(order + 1)], axis=1
    )


def _predictor(lags) -> np.ndarray:
    """The filters (frame, tap), from 1 on, that leave the least of a signal (Levinson, Durbin)."""
    taps, error = np.zeros_like(lags), lags[:, 0].copy()
    taps[:, 0] = 1
    with np.errstate(all="ignore"):
        for k in range(1, lags.shape[1]):
            reflection = -(taps[:, :k] * lags[:, k:0:-1]).sum(1) / error
            taps[:, : k + 1] += reflection[:, None] * taps[:, k::-1]
            error *= 1 - np.square(reflection)
    return taps


def _band_energies(frames, rate: int) -> np.ndarray:
    """(frame, band) in dB, of (frame, time)."""
    bins = 2 ** int(np.ceil(np.log2(2 * frames.shape[1]))) // 2
    power = np.square(np.abs(np.fft.rfft(frames, 2 * bins)))[:, :bins]
    middle, width = (BANDS.T / (rate / 2) * bins)[:, :, None]
    filters = np.exp(-11 * np.square((np.arange(bins) - np.floor(middle)) / width))
    filters *= width.min() / width
    filters[filters <= LEAST_WEIGHT] = 0
    return 10 * np.log10(np.maximum(power @ filters.T, LEAST_ENERGY))


def _slope_weights(energy, slope) -> np.ndarray:
    """Weights (frame, slope) of energies (frame, band) in dB and their slopes."""
    largest = energy.max(1, keepdims=True)
    energy, peak = energy[:, :-1], _next_peak(energy, slope)
    return K_MAX / (K_MAX + largest - energy) * K_LOCAL / (K_LOCAL + peak - energy)


def _next_peak(energy, slope) -> np.ndarray:
    """The energy (frame, slope) at the end of each rise or fall, in dB.

    Of a rise, composite.m takes the band before its last; that is kept.
    """
    count = slope.shape[1]
    rising = slope > 0
    end, start = np.empty(slope.shape, int), np.empty(slope.shape, int)
    for i in reversed(range(count)):
        after = end[:, i + 1] if i + 1 < count else count
        end[:, i] = np.where(rising[:, i], after, i)
    for i in range(count):
        start[:, i] = np.where(rising[:, i], i, start[:, i - 1] if i else -1)
    return np.take_along_axis(energy, np.where(rising, end - 1, start + 1), 1)
