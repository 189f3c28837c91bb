"""What estimates are made of: energies of their projections on filtered references.

Energies are those of spectra (Parseval), with neither convolutions nor inverse FFTs, where a frame
is short enough for one FFT; longer ones are filtered part by part, by overlap-add. Frames that
follow one another without gap or overlap share their spectra with the correlations of the whole
signals.
"""

import itertools
from typing import NamedTuple

import numpy as np

SDR, ISR, SIR, SAR = range(4)
METRICS = ("SDR", "ISR", "SIR", "SAR")
EPS = np.finfo(float).eps
BEYOND_DB = 150.0  # a ratio beyond this only says that its smaller side is rounding
DOUBT = 1e-7  # amplitude of rounding, relative to what is measured, that is looked into: 1e-6 dB
UNDETERMINED = 1e-4  # the same, from which on there is no score: 1e-3 dB
KEEP_BYTES = 2**28  # spectra of up to this size are kept from the first pass to the second
LONG = 50_000  # samples in a frame beyond which it is cut into parts
PART = 17_920  # samples in a part, with 512 taps just below a size at which FFTs are fast


class _Block(NamedTuple):
    """What is kept of a stretch of the signals."""

    spectrum: np.ndarray  # (2 source channel, bin): references, then estimates
    head: np.ndarray  # (2 source channel, taps - 1) its first samples
    tail: np.ndarray  # (source channel, taps - 1) the last samples of the references
    target: np.ndarray  # (reference, estimate) energy of the reference
    error: np.ndarray  # (reference, estimate) energy of their difference


class _Filters(NamedTuple):
    """A `toeplitz.Solution` as spectra: (.., estimate channel + 1, reference channel, bin)."""

    spectra: np.ndarray
    rounding: np.ndarray  # (.., estimate)
    singular: np.ndarray


class _Ratios(NamedTuple):
    """What the scores are ratios of: energies (metric, reference, estimate, frame)."""

    top: np.ndarray
    bottom: np.ndarray
    noise: np.ndarray  # by which rounding moves either
    singular: np.ndarray  # whether it comes from equations without a solution

    def decibels(self):
        return np.where(self.bottom == 0, np.inf, 10 * np.log10(self.top / self.bottom))

    def determined(self, tolerance):
        """Whether the amplitude of rounding is below `tolerance` times what is measured."""
        low, high = np.minimum(self.top, self.bottom), np.maximum(self.top, self.bottom)
        only_rounding = high > 10 ** (BEYOND_DB / 10) * low
        return np.where(only_rounding, ~self.singular, self.noise <= tolerance**2 * low)


class Projection:
    """Estimates against references, with one set of filters for all frames.

    Args:
        references, estimates: (source, time, channel).
        all_pairs: every estimate against every reference, not just against its own. In shapes
            below, (reference, estimate) is (source, source) then, and (source, 1) otherwise.
    """

    def __init__(self, references, estimates, all_pairs, taps, sources_version):
        self.signals = np.moveaxis(references, 2, 1), np.moveaxis(estimates, 2, 1)
        self.sources, self.channels, self.samples = self.signals[0].shape
        self.rows = self.sources * self.channels
        self.all_pairs = all_pairs
        self.taps = taps
        self.sources_version = sources_version

    @np.errstate(over="ignore", invalid="ignore", divide="ignore")
    def scores(self, frames: list[slice], heard: np.ndarray) -> tuple[np.ndarray, str]:
        """(metric, reference, estimate, frame) in dB, and why some of them are NaN, or "".

        Args:
            heard: (frame,) whether to score it; NaN where not.
        """
        from local.scoring import bss_toeplitz

        parts = [self.cut(frame) for frame in frames]
        flat = list(itertools.chain(*parts))
        whole = self.partition(flat)
        shared = whole[: len(flat)] == flat
        size = self.fft_size(whole if shared else flat)
        whole_size = self.fft_size(whole)
        blocks, kept = self.analyse(whole, whole_size), None
        if shared and 16 * self.rows * size * len(whole) <= KEEP_BYTES:
            blocks, kept = itertools.tee(blocks)
        equations = bss_toeplitz.correlations(blocks, whole_size, self.rows, self.taps)
        equations[0][range(self.rows), range(self.rows), 0] += EPS  # museval's regularisation
        kept = kept and list(kept)

        if not all(np.isfinite(part).all() for part in equations):
            shape = len(METRICS), self.sources, self.sources if self.all_pairs else 1, len(frames)
            cause = "all scores are NaN: samples are not finite, or too large to square"
            return np.full(shape, np.nan), cause
        for solve, tolerance in (
            (bss_toeplitz.solve, DOUBT),
            (bss_toeplitz.solve_dense, UNDETERMINED),
        ):
            filters = self.fit(solve, *equations, size)
            ratios = self.ratios(
                iter(kept or self.analyse(flat, size)), parts, heard, *filters, size
            )
            undetermined = ~ratios.determined(tolerance) & heard
            if self.sources_version:
                undetermined[ISR] = False
            if not undetermined.any():
                break
        return np.where(undetermined, np.nan, ratios.decibels()), self.cause(undetermined)

    def cut(self, span: slice) -> list[slice]:
        """A stretch of time, in equal parts if it is long."""
        length = span.stop - span.start
        count = -(-length // max(4 * self.taps, PART)) if length > LONG else 1
        edges = np.linspace(span.start, span.stop, count + 1).astype(int).tolist()
        return [slice(*edge) for edge in itertools.pairwise(edges)]

    def partition(self, parts: list[slice]) -> list[slice]:
        """Stretches that make up the signals: the parts of frames and the rest, if they join.

        Each but the last must be as long as the filters: a lag then spans two of them at most.
        """
        rest = slice(parts[-1].stop, self.samples)
        joined = parts + self.cut(rest) if rest.start < rest.stop else parts
        if all(
            a.stop == b.start and a.stop - a.start >= self.taps
            for a, b in itertools.pairwise(joined)
        ):
            return joined
        return self.cut(slice(0, self.samples))

    def fft_size(self, parts):
        """Room for the longest part and what filters append to it; multiples of 64 are fast."""
        from scipy.fft import next_fast_len

        longest = max(part.stop - part.start for part in parts)
        return 64 * next_fast_len(-(-(longest + self.taps - 1) // 64), real=True)

    def analyse(self, parts, size):
        """Yield a _Block for each part."""
        x = np.zeros((2, self.sources, self.channels, size))
        rows = x.reshape(-1, size)
        overlap = self.taps - 1
        for part in parts:
            length = part.stop - part.start
            x[0, ..., :length] = self.signals[0][..., part]
            x[1, ..., :length] = self.signals[1][..., part]
            x[..., length:] = 0
            spectrum = np.empty((len(rows), size // 2 + 1), complex)
            np.fft.rfft(rows, out=spectrum)
            spectrum[:, [0, -1]] *= np.sqrt(0.5)  # every other bin stands for two
            references, estimates = x[..., :length]
            yield _Block(
                spectrum,
                head=rows[:, :overlap].copy(),
                tail=rows[: self.rows, max(length - overlap, 0) : length].copy(),
                target=_energy(references)[:, None],
                error=_energy(self.facing(estimates) - references[:, None]),
            )

    def facing(self, estimates):
        """(source, ..) of estimates -> (reference or 1, estimate, ..), beside the references."""
        return estimates[None] if self.all_pairs else estimates[:, None]

    def fit(self, solve, r, d, energy, size):
        """Filters of all references together, and, one axis more, of each alone."""
        from scipy.fft import rfft  # faster than numpy's where most is padding

        def spectra(filters, rounding, singular):
            rounding = rounding.reshape(*rounding.shape[:-1], -1, self.channels).sum(axis=-1)
            return _Filters(rfft(filters.swapaxes(-3, -2), size), rounding, np.array(singular))

        every = spectra(*solve(r, d, energy))
        if self.sources == 1:
            return every, _Filters(*(part[None] for part in every))
        own = []
        for n in range(0, self.rows, self.channels):
            row = slice(n, n + self.channels)
            column = slice(None) if self.all_pairs else row
            own.append(solve(r[row, row], d[row, column], energy[column]))
        return every, spectra(*map(np.stack, zip(*own, strict=True)))

    def ratios(self, blocks, parts, heard, every, own, size):
        """The _Ratios of all pairs in all frames, NaN where they are not heard."""
        estimates = self.sources if self.all_pairs else 1
        energies = np.full((len(heard), 9, self.sources, estimates), np.nan)
        for t, frame in enumerate(parts):
            domain = _Domain(frame, size, self.taps - 1)
            for index, block in enumerate(itertools.islice(blocks, len(frame))):
                if heard[t]:
                    signals = domain.signals(index, block, self.signals)
                    part = self.energies(domain, block, *signals, every, own)
                    energies[t] = energies[t] + part if index else part
        filtered, remainder, interference, projected, artifacts, *rest = np.moveaxis(energies, 0, 3)
        own_noise, every_noise, target, error = rest
        several = self.sources > 1  # of one source alone, all references are its own
        sdr = target, error, 0 * target
        isr = target, remainder, own_noise
        sir = filtered, interference, several * (own_noise + every_noise)
        sar = projected, artifacts, every_noise
        alone = own.singular[:, None, None]
        singular = np.zeros((len(METRICS), self.sources, 1, 1), bool)
        singular[SDR] = alone & self.sources_version
        singular[ISR] = alone
        singular[SIR] = several & (alone | every.singular)
        singular[SAR] = every.singular
        if self.sources_version:
            sdr, isr = (filtered, remainder, own_noise), np.full((3, *target.shape), np.nan)
        return _Ratios(*np.stack((sdr, isr, sir, sar), axis=1), singular)

    def energies(self, domain, block, references, estimates, every, own):
        """(9, reference, estimate): what the scores of a frame, or a part of it, are made of."""
        spectra = block.spectrum[: self.rows]
        of_all = domain.filtered("every", every.spectra, spectra)
        spectra = spectra.reshape(self.sources, 1, self.channels, -1)
        of_own = domain.filtered("own", own.spectra, spectra)
        every_stray, own_stray = _energy(of_all[-1:]), _energy(of_own[:, -1:])
        of_all = of_all[:-1].reshape(estimates.shape)
        of_own = of_own[:, :-1].reshape(self.sources, -1, *estimates.shape[1:])
        target = self.facing(estimates) if self.sources_version else references[:, None]
        measured = (
            _energy(of_own),
            _energy(target - of_own),
            _energy(self.facing(of_all) - of_own),
            self.facing(_energy(of_all)),
            self.facing(_energy(estimates - of_all)),
            own_stray[:, None] * own.rounding,
            every_stray * self.facing(every.rounding),
        )
        known = block.target, block.error
        return np.array(np.broadcast_arrays(*(domain.scale * x for x in measured), *known))

    def cause(self, undetermined):
        """Why there are scores, (metric, ..), that are not determined; or ""."""
        if not undetermined.any():
            return ""
        names = ", ".join(np.array(METRICS)[undetermined.any(axis=(1, 2, 3))])
        unknowns = self.rows * self.taps
        if self.samples + self.taps - 1 < unknowns:
            return f"{names} NaN: {self.samples} samples leave filters of {unknowns} taps open"
        return (
            f"{names} NaN: double precision leaves the filters open; references are identical or"
            " filtered copies of one another, or all but empty at some frequencies"
        )


class _Domain:
    """Where a frame is measured: in frequency, or, of several parts, in time, by overlap-add."""

    def __init__(self, parts, size, overlap):
        self.parts, self.size, self.overlap = parts, size, overlap
        self.in_time = len(parts) > 1
        self.scale = 1.0 if self.in_time else 2 / size
        self.appended = {}  # by name, what filters append to the part

    def signals(self, index, block, signals):
        """References and estimates of a part: (2, source, channel, time or bin)."""
        shape = 2, *signals[0].shape[:2]
        if not self.in_time:
            return block.spectrum.reshape(*shape, -1)
        part = self.parts[index]
        self.length = part.stop - part.start
        self.end = self.length + self.overlap * (index + 1 == len(self.parts))
        x = np.zeros((*shape, self.end))
        x[0, ..., : self.length], x[1, ..., : self.length] = (s[..., part] for s in signals)
        return x

    def filtered(self, name, filters, spectra):
        """Sum over signals, each filtered: (.., output, signal, bin) -> (.., output, ..)."""
        total = filters[..., 0, :] * spectra[..., 0, :]
        for i in range(1, spectra.shape[-2]):
            total += filters[..., i, :] * spectra[..., i, :]
        if not self.in_time:
            return total
        total[..., [0, -1]] *= np.sqrt(2)
        x = np.fft.irfft(total, self.size)
        x[..., : self.overlap] += self.appended.get(name, 0)
        self.appended[name] = x[..., self.length : self.length + self.overlap]
        return x[..., : self.end]


def _energy(x):
    """Sum of squares: (.., channel, time or bin) -> (..)."""
    return np.vecdot(x, x).real.sum(axis=-1)
