"""Estimates of the noise's power in a mixture, from the mixture alone.

Each estimator takes ``power``, the squared magnitudes of a mixture's STFT, (..., frequency,
frame), and ``hop``, the seconds between frames, and returns the power of the noise, in the same
shape and on the same scale. All use the same fact: noise is always there, a voice has pauses. The
papers give smoothing constants for one hop; here each is raised to the power (our hop / theirs),
so it lasts as long in seconds.
"""

import math

import numpy as np
import torch

from local.base.compiled import compiled
from local.blocks.spectral_gains import TINY, by_frames, log_mmse

# Martin 2001: M, which gives the mean of the minimum of so many values
LENGTHS = (1, 2, 5, 8, 10, 15, 20, 30, 40, 60, 80, 120, 140, 160)  # frames
MEANS = (0, 0.26, 0.48, 0.58, 0.61, 0.668, 0.705, 0.762, 0.8, 0.841, 0.865, 0.89, 0.9, 0.91)


def first_frames(power: torch.Tensor, hop: float, seconds: float = 0.12) -> torch.Tensor:
    """The mean of the first ``seconds``: right if a recording begins without a voice and its noise
    stays constant (Loizou, "Speech Enhancement", chapter 5)."""
    count = max(1, round(seconds / hop))
    return power[..., :count].mean(-1, keepdim=True).expand_as(power)


def centred_minimum(
    power: torch.Tensor, hop: float, reach: float = 0.75, factor: float = 2.5
) -> torch.Tensor:
    """The minimum of the smoothed power within ``reach`` seconds on each side, times ``factor``.

    Simpler than ``minimum_statistics``, and it looks ahead. The power is smoothed by 0.85 per 8
    ms. ``factor`` corrects the minimum, which lies below the mean. For white noise 2.5 gives the
    true level (Hann window, 75 % overlap); 1.7 is 1.7 dB too low, which removes less noise and
    harms the voice less.
    """
    from scipy.ndimage import minimum_filter1d
    from scipy.signal import lfilter

    smoothing = 0.85 ** (hop / 0.008)
    frames = power.detach().double().cpu().numpy()
    # start from the mean of the first frames: a single frame would often be a minimum
    state = smoothing * frames[..., : round(1 / (1 - smoothing))].mean(-1, keepdims=True)
    smooth, _ = lfilter([1 - smoothing], [1, -smoothing], frames, zi=state)
    width = 2 * round(reach / hop) + 1
    least = minimum_filter1d(smooth, width, mode="nearest")
    return torch.from_numpy(factor * least).to(power)


def minimum_statistics(power: torch.Tensor, hop: float) -> torch.Tensor:
    """Minimum statistics with optimal smoothing and bias compensation.

    Martin 2001, "Noise power spectral density estimation based on optimal smoothing and minimum
    statistics". The power is smoothed less the further it is from the noise. The minimum over the
    last 1.5 s (8 pieces) is corrected for its bias, which depends on how much the smoothed power
    varies.
    """
    length = max(2, round(1.536 / 8 / hop))  # frames of a piece
    scale = hop / 0.016
    return by_frames(
        _minimum_statistics, power, hop, 0.96**scale, 0.3**scale, 0.7**scale, 0.8**scale, length,
        _mean_of_minimum(8 * length), _mean_of_minimum(length),
    ).to(power)  # fmt: skip


def imcra(power: torch.Tensor, hop: float) -> torch.Tensor:
    """Improved minima controlled recursive averaging.

    Cohen 2003, "Noise spectrum estimation in adverse environments: improved minima controlled
    recursive averaging". The average follows the power more slowly the likelier a voice is. A
    voice is likely where the power is far above its minimum over the last 0.96 s; a second search
    for the minimum leaves out what is clearly a voice.
    """
    scale = hop / 0.008
    length = max(1, round(0.96 / 8 / hop))  # frames of a piece
    smoothing = 0.9**scale, 0.85**scale, 0.92**scale
    return by_frames(_imcra, power, *smoothing, length).to(power)


ESTIMATORS = {
    "first_frames": first_frames,
    "minimum_statistics": minimum_statistics,
    "imcra": imcra,
    "centred_minimum": centred_minimum,
}


def _mean_of_minimum(length: int) -> float:
    """M of Martin 2001, interpolated in its table over the square root of the length."""
    return float(np.interp(math.sqrt(length), np.sqrt(LENGTHS), MEANS))


def _bias(length, mean, variation):
    """How far a mean is above the minimum of ``length`` values (Martin 2001).

    Args:
        mean: ``_mean_of_minimum`` of the length.
        variation: the variance of a value, over twice its squared mean; at most 1/2.
    """
    freedom = (1 / variation - 2 * mean) / (1 - mean)
    return 1 + 2 * (length - 1) / freedom


_bias = compiled(_bias) or _bias


def _minimum_statistics(
    power, noise, hop, most, least, slowness, most_moment, length, mean, mean_of_piece
):
    """See ``minimum_statistics``.

    Args:
        most, least: limits of the smoothing of the power.
        slowness: smoothing of that smoothing's correction.
        most_moment: smoothing of the moments.
        length: frames of a piece.
        mean, mean_of_piece: ``_mean_of_minimum`` of all pieces and of one.
    """
    frames, frequencies = power.shape
    smooth = np.maximum(power[0], TINY)
    first, second = smooth.copy(), smooth**2  # moments
    estimate = smooth.copy()
    lowest = np.full(frequencies, np.inf)  # in this piece, made up for all pieces
    lowest_of_piece = np.full(frequencies, np.inf)  # in this piece, made up for the piece
    lowest_of_all = smooth.copy()
    pieces = np.full((8, frequencies), np.inf)
    fell = np.zeros(frequencies, np.bool_)  # in this piece, but not in its first or last frame
    variation = np.empty(frequencies)
    correction, place, piece = 1.0, 1, 0
    for m in range(frames):
        total = max(power[m].sum(), TINY)
        step = 1 / (1 + (smooth.sum() / total - 1) ** 2)
        correction = slowness * correction + (1 - slowness) * max(step, 0.7)
        snr = smooth.sum() / max(estimate.sum(), TINY)
        floor = min(least, max(snr, TINY) ** (-hop / 0.064))
        for k in range(frequencies):
            distance = smooth[k] / estimate[k] - 1
            weight = max(floor, most * correction / (1 + distance * distance))
            smooth[k] = max(weight * smooth[k] + (1 - weight) * power[m, k], TINY)
            moment = min(weight * weight, most_moment)
            first[k] = moment * first[k] + (1 - moment) * smooth[k]
            second[k] = moment * second[k] + (1 - moment) * smooth[k] ** 2
            variance = max(second[k] - first[k] ** 2, 0.0)
            variation[k] = min(max(variance / (2 * estimate[k] ** 2), 1e-6), 0.5)
        spread = variation.mean()
        more = 1 + 2.12 * math.sqrt(spread)  # for the estimates' own errors
        slope = 8.0 if spread < 0.03 else 4.0 if spread < 0.05 else 2.0 if spread < 0.06 else 1.2
        for k in range(frequencies):
            value = smooth[k] * more
            made_up = value * _bias(8 * length, mean, variation[k])
            falls = made_up < lowest[k]
            if falls:
                lowest[k] = made_up
                lowest_of_piece[k] = value * _bias(length, mean_of_piece, variation[k])
            if place < length:
                fell[k] |= falls and place > 1
                lowest_of_all[k] = min(lowest_of_piece[k], lowest_of_all[k])
                estimate[k] = max(lowest_of_all[k], TINY)
                continue
            # the piece is over: of all pieces the lowest, or, where the power has risen, this one
            pieces[piece, k] = lowest[k]
            lowest_of_all[k] = pieces[:, k].min()
            rose = lowest_of_all[k] < lowest_of_piece[k] < slope * lowest_of_all[k]
            if fell[k] and not falls and rose:
                lowest_of_all[k] = lowest_of_piece[k]
                pieces[:, k] = lowest_of_piece[k]
            estimate[k] = max(lowest_of_all[k], TINY)
            lowest[k] = lowest_of_piece[k] = np.inf
            fell[k] = False
        noise[m] = estimate
        place += 1
        if place > length:
            place, piece = 1, (piece + 1) % 8


def _imcra(power, noise, smoothing, averaging, decision, length):
    """See ``imcra``.

    Args:
        smoothing: of the power whose minimum is searched.
        averaging: of the noise where there is no voice.
        decision: of the a-priori SNR.
        length: frames of a piece.
    """
    frames, frequencies = power.shape
    voice = np.ones(frequencies)  # power over that of the noise, in the frame before
    estimate = np.maximum(power[0], TINY)
    average = estimate.copy()
    local, absent = np.empty(frequencies), np.empty(frequencies, np.bool_)
    smooth, again = np.empty(frequencies), np.empty(frequencies)
    # minima of the first and the second search: over the last pieces and this one, in this one
    minimum, minimum_again = np.full((2, frequencies), np.inf), np.full((2, frequencies), np.inf)
    pieces, pieces_again = np.full((8, frequencies), np.inf), np.full((8, frequencies), np.inf)
    place, piece = 1, 0
    for m in range(frames):
        for k in range(frequencies):  # over neighbours, with a Hann window
            left, right = power[m, max(k - 1, 0)], power[m, min(k + 1, frequencies - 1)]
            local[k] = max((left + 2 * power[m, k] + right) / 4, TINY)
            if m == 0:
                smooth[k] = again[k] = local[k]
            smooth[k] = smoothing * smooth[k] + (1 - smoothing) * local[k]
            minimum[0, k] = min(minimum[0, k], smooth[k])
            minimum[1, k] = min(minimum[1, k], smooth[k])
            lowest = 1.66 * minimum[0, k]
            absent[k] = power[m, k] < 4.6 * lowest and smooth[k] < 1.67 * lowest
        for k in range(frequencies):
            total = weights = 0.0
            for j in range(max(k - 1, 0), min(k + 2, frequencies)):
                if absent[j]:
                    weight = 2 if j == k else 1
                    total += weight * power[m, j]
                    weights += weight
            if weights > 0:
                again[k] = smoothing * again[k] + (1 - smoothing) * max(total / weights, TINY)
            minimum_again[0, k] = min(minimum_again[0, k], again[k])
            minimum_again[1, k] = min(minimum_again[1, k], again[k])

            posterior = power[m, k] / estimate[k]
            prior = decision * voice[k] + (1 - decision) * max(posterior - 1, 0.0)
            prior = max(prior, 10**-2.5)
            gain = log_mmse(prior, posterior)
            voice[k] = gain * gain * posterior

            lowest = 1.66 * minimum_again[0, k]
            above = power[m, k] / lowest
            present = 1.0
            if above < 3 and smooth[k] < 1.67 * lowest:
                absence = min((3 - above) / 2, 1.0)
                present = 0.0
                if absence < 1:
                    odds = (1 + prior) * math.exp(-prior / (1 + prior) * posterior)
                    present = 1 / (1 + absence / (1 - absence) * odds)
            keep = averaging + (1 - averaging) * present
            average[k] = max(keep * average[k] + (1 - keep) * power[m, k], TINY)
            estimate[k] = 1.47 * average[k]
        noise[m] = estimate
        if place == length:
            for k in range(frequencies):
                pieces[piece, k], pieces_again[piece, k] = minimum[1, k], minimum_again[1, k]
                minimum[0, k], minimum_again[0, k] = pieces[:, k].min(), pieces_again[:, k].min()
                minimum[1, k], minimum_again[1, k] = smooth[k], again[k]
            place, piece = 0, (piece + 1) % 8
        place += 1
