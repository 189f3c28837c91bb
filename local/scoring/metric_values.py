"""The arithmetic behind local/scoring/metrics.py, one function per family of metrics.

Signals are float64; ``references`` and ``estimates`` have shape (source, time). If a metric has no
value, a function returns the reason instead, as a string. "Zero mean" in a docstring: each
signal's mean is subtracted first.
"""

import contextlib
import itertools
import math
import warnings
from collections.abc import Collection

import numpy as np

from local import SOURCES

LIMIT_DB = 150.0  # beyond, what is called error is the rounding of float32 samples
WIDE_BAND, NARROW_BAND = 16000, 8000  # Hz, what PESQ works at
PESQ_SECONDS = 18.0  # P.862's code breaks after 50 utterances, which take 0.38 s each at least

Values = dict[tuple[int, str], float | str]


def projections(references, estimates, wanted: Collection[str]) -> Values:
    """SI-SDR, SI-SIR, SI-SAR, SD-SDR (zero mean) and SNR, in dB.

    An estimate is the sum of target, interference and artifacts: its projection on its
    reference, what else of it lies in the span of all references, and the rest
    (Le Roux et al. 2019, "SDR - half-baked or well done?").
    """
    found = {}
    for k, (reference, estimate) in enumerate(zip(references, estimates, strict=True)):
        fault = _fault(reference, estimate) or _constant(reference, estimate)
        if fault:
            found |= {(k, name): fault for name in wanted}
            continue
        values = {"snr": _decibels(reference, estimate - reference)}
        centred, heard = _centred(reference), _centred(estimate)
        target = np.dot(heard, centred) / np.dot(centred, centred) * centred
        values["si_sdr"] = _decibels(target, heard - target)
        values["sd_sdr"] = _decibels(target, heard - centred)
        if "si_sir" in wanted or "si_sar" in wanted:
            others = np.delete(references, k, 0)
            values |= _interference_and_artifacts(centred, others, target, heard - target)
        found |= {(k, name): values[name] for name in wanted}
    return found


def _interference_and_artifacts(reference, others, target, rest) -> dict[str, float | str]:
    """``rest``, which is orthogonal to ``reference``, in the span of all references and not."""
    fault = next(filter(None, (_fault(x, x) or _constant(x, x) for x in others)), None)
    if fault:
        return dict.fromkeys(("si_sir", "si_sar"), f"other source: {fault}")
    columns = np.stack([reference, *map(_centred, others)], 1)
    basis, triangle = np.linalg.qr(columns)
    independent = np.abs(np.diag(triangle)) > 1e-8 * np.linalg.norm(columns, axis=0)[: len(basis)]
    if len(independent) < columns.shape[1] or not independent.all():
        reason = "one reference is a multiple of the other"
        return dict.fromkeys(("si_sir", "si_sar"), reason)
    interference = basis[:, 1:] @ (basis[:, 1:].T @ rest)
    return {
        "si_sir": _decibels(target, interference),
        "si_sar": _decibels(target, rest - interference),
    }


def best_order(references, estimates) -> Values:
    """``si_sdr_best_order``: SI-SDR in the order of estimates that is best on the mean, and
    ``swapped``: 1 where that is not the given order."""
    count = range(len(references))
    pairs = [[_si_sdr(references[k], estimates[j]) for j in count] for k in count]
    fault = next((x for row in pairs for x in row if isinstance(x, str)), None)
    if fault:
        return {(k, name): fault for k in count for name in ("si_sdr_best_order", "swapped")}

    def total(order):
        return sum(np.clip(pairs[k][order[k]], -LIMIT_DB, LIMIT_DB) for k in count)

    order = max(itertools.permutations(count), key=total)  # of equals the first: that in use
    return {(k, "si_sdr_best_order"): pairs[k][order[k]] for k in count} | {
        (k, "swapped"): float(order[k] != k) for k in count
    }


def over_residual(reference, estimate, mix, voice_estimate) -> float | str:
    """SI-SDR of a noise estimate minus that of the mixture without a times the voice estimate,
    a by least squares, in dB."""
    fault = _fault(reference, voice_estimate)
    if fault:
        return fault
    gain = np.dot(mix, voice_estimate) / np.dot(voice_estimate, voice_estimate)
    residual = mix - gain * voice_estimate
    if _decibels(mix, residual) == math.inf:
        return "the voice estimate is the mixture, so no residual is left"
    ours, plain = _si_sdr(reference, estimate), _si_sdr(reference, residual)
    return next((x for x in (ours, plain) if isinstance(x, str)), None) or ours - plain


def _si_sdr(reference, estimate) -> float | str:
    return projections(reference[None], estimate[None], ["si_sdr"])[0, "si_sdr"]


def bss_eval(references, estimates, rate, wanted, version: str, engine: str) -> Values:
    """BSS Eval in dB; the median over frames that have a value.

    ``bss_eval_v4``: museval's default with windows and hops of 1 s. ``bss_eval_v3``: its
    ``bss_eval_sources`` without permutation, one window. 512 taps, means as they are.
    """
    from local.scoring import bss_eval as fast

    function = fast.bss_eval if engine == "fast" else fast.museval_metrics().bss_eval
    keys = [(k, name) for k in range(len(references)) for name in wanted]
    for name, reference, estimate in zip(SOURCES, references, estimates, strict=True):
        fault = _fault(reference, estimate)
        if fault:  # all sources are solved for at once: they fail together
            return dict.fromkeys(keys, f"{name}: {fault}")
    options = {"window": rate, "hop": rate}
    if version == "bss_eval_v3":
        options = {"window": np.inf, "hop": np.inf, "framewise_filters": True,
                   "bsseval_sources_version": True}  # fmt: skip
    with _quiet() as warned:
        try:
            sdr, isr, sir, sar, _ = function(references[..., None], estimates[..., None], **options)
        except (ValueError, AttributeError, np.linalg.LinAlgError) as error:
            # museval 0.4.1 raises AttributeError where its matrix is singular
            return dict.fromkeys(keys, f"{engine}: {type(error).__name__} {error}")
    frames = {"sdr": sdr, "isr": isr, "sir": sir, "sar": sar}
    causes = [str(w.message) for w in warned if not issubclass(w.category, RuntimeWarning)]
    found: Values = {}
    for k, name in keys:
        values = frames[name[:3]][k]
        values = values[~np.isnan(values)]
        if len(values):
            median = float(np.median(values))
            found[k, name] = math.copysign(math.inf, median) if abs(median) > LIMIT_DB else median
        else:
            found[k, name] = causes[-1] if causes else "a source is silent in every frame"
    return found


def pesq_flavour(rate: int) -> str:
    """The flavour of PESQ for data at ``rate`` Hz."""
    return "pesq_wb" if rate >= WIDE_BAND else "pesq_nb"


def pesq(reference, estimate, rate: int, flavour: str) -> float | str:
    """MOS-LQO by ITU-T P.862.2 (``pesq_wb``) or P.862.1 (``pesq_nb``), by the pesq package.

    Higher rates are resampled. The mean over equal pieces of at most ``PESQ_SECONDS``, as
    P.862 is made for utterances and its code writes beyond its arrays at more than 50 of them;
    pieces without speech are left out.
    """
    import pesq as package

    from local.base import audio

    fault = _fault(reference, estimate)
    target, mode = (WIDE_BAND, "wb") if flavour == "pesq_wb" else (NARROW_BAND, "nb")
    if not fault and rate < target:
        fault = f"PESQ needs {target} Hz, the data have {rate} Hz"
    if fault:
        return fault
    count = math.ceil(len(reference) / rate / PESQ_SECONDS)
    pieces = [np.array_split(audio.resample(x, rate, target), count) for x in (reference, estimate)]
    values = []
    for piece, heard in zip(*pieces, strict=True):
        try:
            if piece.any():
                values.append(package.pesq(target, piece, heard, mode))
        except package.NoUtterancesError:
            continue
        except package.PesqError as error:
            return f"PESQ: {_said(error)}"
        except (ValueError, OverflowError):  # a level of zero, in a whole piece
            return "PESQ: the estimate is silent for long"
    return float(np.mean(values)) if values else "PESQ found no utterances"


def stoi(reference, estimate, rate: int, extended: bool) -> float | str:
    """STOI (Taal et al. 2011) or ESTOI (Jensen and Taal 2016) by pystoi, at its 10 kHz."""
    import pystoi
    from pystoi.stoi import FS, N_FRAME

    fault = _fault(reference, estimate)
    if fault:
        return fault
    short = "too short for STOI, which needs 0.4 s of speech"
    if len(reference) * FS <= N_FRAME * rate:
        return short
    with _quiet(), _seeded():
        value = pystoi.stoi(reference, estimate, rate, extended=extended)
    return short if value == 1e-5 else float(value)  # what pystoi returns for too short


def composite(reference, estimate, rate: int, mos_lqo: float | str) -> dict[str, float | str]:
    """CSIG, CBAK and COVL of Hu and Loizou (2008), at the rate at which PESQ was computed.

    Args:
        reference, estimate: (time,).
        rate: Hz.
        mos_lqo: what ``pesq`` returned; a reason is theirs, too.
    """
    from local.base import audio
    from local.scoring import composite as measures

    names = ("csig", "cbak", "covl")
    if isinstance(mos_lqo, str):
        return dict.fromkeys(names, mos_lqo)
    wide = pesq_flavour(rate) == "pesq_wb"
    target = WIDE_BAND if wide else NARROW_BAND
    signals = [audio.resample(x, rate, target) for x in (reference, estimate)]
    score = mos_lqo if wide else measures.raw_pesq(mos_lqo)
    found = measures.composite(*signals, target, score)
    return found or dict.fromkeys(names, "too short for frames of 30 ms")


def dnsmos(estimate, rate: int, through=iter) -> dict[str, float | str]:
    """DNSMOS of an estimate alone, see ``local.scoring.dnsmos``.

    Args:
        estimate: (time,).
        rate: Hz.
        through: what shows the progress over windows, such as a bar.

    Raises:
        UserError: its packages are missing.
    """
    from local.scoring import dnsmos as networks

    fault = _fault(estimate, estimate)
    if fault:
        return dict.fromkeys(networks.NAMES, fault.replace("reference", "estimate"))
    return networks.score(estimate, rate, through)


def _fault(reference, estimate) -> str | None:
    """Why an estimate cannot be scored, or None."""
    for name, signal in (("reference", reference), ("estimate", estimate)):
        if not np.isfinite(signal).all():
            return f"{name} with NaN or infinite samples"
        if not signal.any():
            return f"silent {name}"
    return None


def _constant(reference, estimate) -> str | None:
    """Which of the two is silent after subtracting its mean, or None."""
    for name, signal in (("reference", reference), ("estimate", estimate)):
        centred = _centred(signal)
        if np.dot(centred, centred) <= 1e-20 * np.dot(signal, signal):
            return f"constant {name}"
    return None


def _centred(signal):
    return signal - signal.mean()


def _decibels(signal, error) -> float:
    """Ratio of energies; infinite beyond ``LIMIT_DB``, NaN where there is neither."""
    signal, error = np.dot(signal, signal), np.dot(error, error)
    if signal == error == 0:
        return math.nan
    limit = 10 ** (LIMIT_DB / 10)
    if signal > error * limit:
        return math.inf
    if error > signal * limit:
        return -math.inf
    return 10 * math.log10(signal / error)


def _said(error: Exception) -> str:
    """What an exception says; those of pesq say it in bytes."""
    said = error.args[0] if error.args else type(error).__name__
    return said.decode() if isinstance(said, bytes) else str(said)


@contextlib.contextmanager
def _quiet():
    """Keep warnings from the terminal, in the list that this yields."""
    with warnings.catch_warnings(record=True) as warned, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        yield warned


@contextlib.contextmanager
def _seeded():
    """numpy's global generator at a known place, for pystoi: it adds noise of 1e-16, which is
    all there is to correlate in a band where an estimate is silent."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
