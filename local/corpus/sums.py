"""Sums: whether a mixture is the sum of its sources, at which gains, and what speaks against it.

All that is asked of the samples are inner products of whole files, so each file is read once and
nothing is held. A source that is the sum of several files, or the mixture minus the voice, has its
products by algebra (``judge``).
"""

import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from local.base.names import shown
from local.corpus.manifest import Row, cell
from local.corpus.wav import Fault, Wav

GOOD_DB = -40.0  # dB of the mixture; what rounding to 16 bits leaves lies far below
FAIR_DB = -20.0  # dB of the mixture; what clipping or a lossy codec may leave
SNR_TOLERANCE = 1.0  # dB between the measured SNR and that of the name
STEP = 2.0**-15  # of full scale; one step of 16 bits
ALIKE = 1e-9  # 1 - cos² between voice and noise; below it their gains cannot be told apart
RESEMBLES = 0.2  # cosine of voice and noise; of 150 pairs of speech and noise of 4 s at most 0.03
BLOCK = 2**16  # samples of each file in memory at a time, 0.5 MiB
LOUDEST = 1e150  # of full scale; beyond it energies overflow
DIGITS = 6  # significant ones of a gain: to -120 dB, and the same text on every machine
SILENT = "silent voice or noise", "a sound", "less than 1 step of 16 bits"


class Rejection(NamedTuple):
    """A fault of ``<split>/<folder>/<file>``."""

    split: str
    folder: str
    file: str
    reason: str
    expected: str
    found: str


class Fit(NamedTuple):
    """A mixture as ``voice_gain * voice + noise_gain * noise``, and what remains."""

    voice_gain: float
    noise_gain: float
    snr_db: float
    residual_db: float


class Look(NamedTuple):
    """What a folder holds.

    Attributes:
        mixtures: how many there are or should be.
        examples: the good ones.
        rejections: the faults.
        unclosed: files whose header says that they hold no samples, and that do.
    """

    mixtures: int
    examples: list[tuple[Row, Fit]]
    rejections: list[Rejection]
    unclosed: list[str]


class Mixture(NamedTuple):
    """A mixture of a corpus: its files, relative to the root, and what their names say.

    Attributes:
        id: of the example; names of files on a page are made of it.
        mix: the mixture.
        voice, noise: the files whose sum the source is; without a noise, it is the mixture minus
            the voice.
        group: as in ``manifest.Row``.
        snr_db: of the name or a log; None: as measured.
        whole: whether that SNR is one of the whole files, and so can be checked.
    """

    id: str
    mix: str
    voice: tuple[str, ...]
    noise: tuple[str, ...]
    group: str
    snr_db: float | None = None
    whole: bool = False


def look(root: Path, split: str, mixture: Mixture, channel: int | None = None) -> Look:
    """The example that a mixture of a corpus is, or its faults.

    Args:
        channel: which channel of the files to take, counted from 0; None where they have one.
    """
    rejections, files = [], {}

    def reject(path: str, *fault: str) -> None:
        folder, _, file = path.rpartition("/")
        rejections.append(Rejection(split, *map(shown, (folder, file, *fault))))

    with contextlib.ExitStack() as stack:
        for path in (*mixture.voice, *mixture.noise, mixture.mix):
            try:
                files[path] = stack.enter_context(Wav(root / path, channel))
            except Fault as fault:
                reject(path, *fault.args)
        if not rejections:
            alike(files, reject)
        found = None if rejections else judge(files, mixture, reject)
    unclosed = [path for path, wav in files.items() if wav.unclosed]
    if found is None:
        return Look(1, [], rejections, unclosed)
    measured = round(found.snr_db, 3) + 0.0  # the sum makes 0 of -0
    level = measured if mixture.snr_db is None else mixture.snr_db + 0.0
    wav = files[mixture.mix]
    row = Row(
        mixture.id, level, mixture.mix, cell(mixture.voice), cell(mixture.noise), wav.rate,
        wav.frames, found.voice_gain, found.noise_gain, measured, mixture.group,
    )  # fmt: skip
    return Look(1, [(row, found)], [], unclosed)


def judge(files: dict[str, Wav], mixture: Mixture, reject: Callable) -> Fit | None:
    """The gains of the sources in a mixture, or None after what is wrong has been rejected."""
    products, faults = gram(files)
    for path, fault in faults.items():
        reject(path, *fault.args)
    if faults:
        return None
    place = {path: i for i, path in enumerate(files, 1)}
    terms = np.zeros((4, 1 + len(files)))  # a constant, voice, noise and mixture as sums of files
    terms[0, 0] = terms[3, place[mixture.mix]] = 1
    terms[1, [place[path] for path in mixture.voice]] = 1
    terms[2] = terms[3] - terms[1]
    if mixture.noise:
        terms[2] = 0
        terms[2, [place[path] for path in mixture.noise]] = 1
    products, frames = terms @ products @ terms.T, files[mixture.mix].frames
    for i, paths in ((1, mixture.voice), (2, mixture.noise or (mixture.mix,))):
        if is_silent(products, i, frames):
            reject(paths[0], *SILENT)
            return None
    try:
        found = fit(products[1:, 1:], frames)
        if not mixture.noise:
            check_difference(products)
        if mixture.whole:
            check_snr(found, mixture.snr_db)
    except Fault as fault:
        reject(mixture.mix, *fault.args)
        return None
    return found


def check_difference(products: np.ndarray) -> None:
    """Whether a mixture minus its voice may be a noise: what holds the voice is none.

    Of another voice, or of one at another level, the difference keeps a part. ``products`` as
    in ``judge``.

    Raises:
        Fault: mixture is not the sum.
    """
    cosine = products[1, 2] / math.sqrt(products[1, 1] * products[2, 2])
    if abs(cosine) > RESEMBLES:
        expected = f"mixture - voice without the voice, a cosine within {RESEMBLES:g}"
        found = f"{cosine:.2f}: another voice, or one at another level"
        raise Fault("mixture is not the sum", expected, found)


def is_silent(products: np.ndarray, i: int, frames: int) -> bool:
    """Whether signal ``i`` of ``gram`` is nothing, or a constant."""
    return products[i, i] - products[0, i] ** 2 / frames <= frames * STEP**2


def alike(files: dict[str, Wav], reject: Callable) -> dict[str, Wav]:
    """The files with the rate and length of the first one, the voice."""
    first, voice = next(iter(files.items()))
    alike = {}
    for file, wav in files.items():
        if wav.rate != voice.rate:
            reject(file, "sample rates differ", f"{voice.rate} Hz as {first}", f"{wav.rate} Hz")
        elif wav.frames != voice.frames:
            expected = f"{voice.frames} samples as {first}"
            reject(file, "lengths differ", expected, f"{wav.frames} samples")
        else:
            alike[file] = wav
    return alike


def gram(files: dict[str, Wav]) -> tuple[np.ndarray, dict[str, Fault]]:
    """All inner products of the files and of a constant 1, which comes first: all that is asked.

    Returns:
        float64 (1 + file, 1 + file), and the faults of files with samples that are none.
    """
    frames = next(iter(files.values())).frames
    x = np.ones((1 + len(files), min(frames, BLOCK)))
    total, faults = np.zeros((len(x), len(x))), {}
    for start in range(0, frames, BLOCK):
        block = x[:, : frames - start]
        for row, (file, wav) in zip(block[1:], files.items(), strict=True):
            try:
                wav.read(row)
            except Fault as fault:
                faults.setdefault(file, fault)
        with np.errstate(all="ignore"):
            product = block @ block.T
        for row, energy, file in zip(block[1:], np.diag(product)[1:], files, strict=True):
            if not np.isfinite(energy):
                first = np.argmin(np.abs(row) < LOUDEST)
                found = f"{row[first]} at sample {start + first}"
                faults.setdefault(file, Fault("NaN or infinite samples", "finite samples", found))
        total += product
    return total, faults


def fit(gram: np.ndarray, frames: int) -> Fit:
    """Gains of the voice and of the noise in a mixture, by least squares.

    The plain sum is taken first, and stays where it fits as nearly as 16 bits allow: rounding is
    not a gain.

    Args:
        gram: float64 (3, 3), inner products of (voice, noise, mixture), no source silent.
        frames: number of samples.

    Raises:
        Fault: mixture is not the sum.
    """
    (vv, vn, vm), (_, nn, nm), (_, _, mm) = gram
    if mm <= frames * STEP**2:
        raise Fault("mixture is not the sum", "voice + noise", "silence")
    a = b = 1.0
    rest = vv + nn + mm + 2 * (vn - vm - nm)
    if rest > frames * STEP**2 or _decibel(rest, mm) > GOOD_DB:
        det = vv * nn - vn * vn
        if det <= ALIKE * vv * nn:
            raise Fault("mixture is not the sum", "voice and noise that differ", "one and the same")
        a, b = (float(f"{x / det:.{DIGITS}g}") for x in (vm * nn - nm * vn, nm * vv - vm * vn))
        rest = a * a * vv + b * b * nn + mm + 2 * (a * b * vn - a * vm - b * nm)
    residual = _decibel(rest, mm)
    if a <= 0 or b <= 0 or residual > FAIR_DB:
        expected = f"gains above 0 and a residual below {FAIR_DB:g} dB"
        found = f"{a:.4g} voice + {b:.4g} noise and a residual of {residual:.1f} dB"
        raise Fault("mixture is not the sum", expected, found)
    return Fit(a, b, _decibel(a * a * vv, b * b * nn), residual)


def check_snr(found: Fit, snr_db: float) -> None:
    """Raise a Fault if the SNR is not that of the name."""
    if abs(found.snr_db - snr_db) > SNR_TOLERANCE:
        expected = f"{snr_db:g} dB, give or take {SNR_TOLERANCE:g}"
        raise Fault("SNR is not that of the name", expected, f"{found.snr_db:.2f} dB")


def _decibel(energy: float, reference: float) -> float:
    """10 log10 of a ratio; rounding may leave a residual of zero, or less."""
    return 10 * math.log10(max(energy / reference, 1e-20))
