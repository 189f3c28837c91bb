"""Scores of estimates: arrays in, floats out; a metric without a value is NaN, with a reason.

For every metric higher is better. Packages are imported only when needed.
"""

import math
import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np

from local import SOURCES
from local.base.errors import UserError, nearest
from local.scoring import dnsmos, metric_values

VERSION = 2
"""Raise it when a metric's numbers, or what is scored, change: kept scores of another version are
computed anew."""

ENGINES = ("fast", "museval")


class Metric(NamedTuple):
    """What a column of scores is.

    Attributes:
        label: as tables and axes name it.
        unit: of its values; empty where they have none.
        about: what it measures and in which flavour.
        source: where it is defined.
        sources: which sources it is for.
        extra: what of setup.cfg has to be installed for it; empty if nothing.
    """

    label: str
    unit: str
    about: str
    source: str
    sources: tuple[str, ...] = SOURCES
    extra: str = ""

    def __str__(self) -> str:
        unit = f" [{self.unit}]" if self.unit else ""
        whose = "" if self.sources == SOURCES else f" For the {' and '.join(self.sources)} only."
        return f"{self.label}{unit}: {self.about}{whose} {self.source}."


_LE_ROUX = 'Le Roux et al. 2019, "SDR - half-baked or well done?"'
_BSS_EVAL_V4 = 'Stöter, Liutkus and Ito 2018, "The 2018 signal separation evaluation campaign"'
_BSS_EVAL_V3 = (
    "Vincent, Gribonval and Févotte 2006,"
    ' "Performance measurement in blind audio source separation"'
)
_TAAL = "Taal et al. 2011, computed by pystoi"
_V4 = "BSS Eval v4 (512 taps over the whole file), median over 1 s frames without silence: "
_V3 = "BSS Eval v3 (bss_eval_sources, 512-tap filters, no permutation), whole signal: "
_PESQ = (
    "perceptual evaluation of speech quality, predicted mean opinion score from 1 to 4.6, {}."
    f" Files over {metric_values.PESQ_SECONDS:.0f} s: mean over equal pieces of at most that."
)
_COMPOSITE = (
    "{}, as listeners would rate by ITU-T P.835, from 1 to 5; from {}. At the rate of PESQ."
)
_HU = 'Hu and Loizou 2008, "Evaluation of objective quality measures for speech enhancement"'
_DNSMOS = (
    "{}, from the estimate alone, from 1 to 5: mean over windows of 9.01 s, at 16 kHz (other"
    " rates are resampled); shorter files are repeated."
)
_REDDY = "Reddy, Gopal and Cutler 2022, networks of the speechmos package"

METRICS: dict[str, Metric] = {
    "si_sdr": Metric(
        "SI-SDR", "dB",
        "the source, at its best scale, against everything else in the estimate; mean removed.",
        _LE_ROUX,
    ),
    "si_sir": Metric(
        "SI-SIR", "dB",
        "the source, at its best scale, against what the estimate holds of the other one"
        " (projection onto the span of all references); mean removed.",
        _LE_ROUX,
    ),
    "si_sar": Metric(
        "SI-SAR", "dB",
        "the source, at its best scale, against what no reference explains: artifacts; mean"
        " removed. A mixture has next to none.",
        _LE_ROUX,
    ),
    "snr": Metric(
        "SNR", "dB",
        "the source against the difference of estimate and source; mean and level as they are.",
        _LE_ROUX,
    ),
    "sd_sdr": Metric(
        "SD-SDR", "dB",
        "SI-SDR with the level counted: the source, at its scale in the estimate, against the"
        " difference of estimate and source; mean removed.",
        _LE_ROUX,
    ),
    "sdr_v4": Metric(
        "SDR (v4)", "dB",
        _V4 + "the source against all errors, those of level and filtering among them.",
        _BSS_EVAL_V4,
    ),
    "isr_v4": Metric(
        "ISR (v4)", "dB", _V4 + "the source against errors of its level and filtering.",
        _BSS_EVAL_V4,
    ),
    "sir_v4": Metric(
        "SIR (v4)", "dB", _V4 + "the filtered source against what is heard of the other one.",
        _BSS_EVAL_V4,
    ),
    "sar_v4": Metric(
        "SAR (v4)", "dB", _V4 + "both filtered sources against artifacts.", _BSS_EVAL_V4
    ),
    "sdr_v3": Metric(
        "SDR (v3)", "dB",
        _V3 + "the filtered source against what is heard of the other one and artifacts.",
        _BSS_EVAL_V3,
    ),
    "sir_v3": Metric(
        "SIR (v3)", "dB", _V3 + "the filtered source against what is heard of the other one.",
        _BSS_EVAL_V3,
    ),
    "sar_v3": Metric(
        "SAR (v3)", "dB", _V3 + "both filtered sources against artifacts.", _BSS_EVAL_V3
    ),
    "pesq_wb": Metric(
        "WB-PESQ", "MOS-LQO",
        _PESQ.format("wide band, at 16 kHz (higher rates are resampled)"),
        "ITU-T P.862.2, computed by the pesq package",
        ("voice",),
    ),
    "pesq_nb": Metric(
        "NB-PESQ", "MOS-LQO",
        _PESQ.format("narrow band, at 8 kHz (for data below 16 kHz)"),
        "ITU-T P.862 and P.862.1, computed by the pesq package",
        ("voice",),
    ),
    "stoi": Metric(
        "STOI", "", "short-time objective intelligibility, at 10 kHz.", _TAAL, ("voice",)
    ),
    "estoi": Metric(
        "ESTOI", "",
        "extended STOI, which follows the modulation of the noise, at 10 kHz.",
        "Jensen and Taal 2016, computed by pystoi",
        ("voice",),
    ),
    "csig": Metric(
        "CSIG", "MOS",
        _COMPOSITE.format("distortion of the speech", "PESQ, LLR and WSS"), _HU, ("voice",),
    ),
    "cbak": Metric(
        "CBAK", "MOS",
        _COMPOSITE.format("intrusion of the noise", "PESQ, WSS and segmental SNR"), _HU,
        ("voice",),
    ),
    "covl": Metric(
        "COVL", "MOS", _COMPOSITE.format("the whole", "PESQ, LLR and WSS"), _HU, ("voice",)
    ),
    "dnsmos_ovrl": Metric(
        "DNSMOS OVRL", "MOS", _DNSMOS.format("predicted rating of the whole by P.835"),
        _REDDY, ("voice",), "dnsmos",
    ),
    "dnsmos_sig": Metric(
        "DNSMOS SIG", "MOS", _DNSMOS.format("predicted rating of the speech by P.835"),
        _REDDY, ("voice",), "dnsmos",
    ),
    "dnsmos_bak": Metric(
        "DNSMOS BAK", "MOS",
        _DNSMOS.format("predicted rating of the background by P.835: high where there is none"),
        _REDDY, ("voice",), "dnsmos",
    ),
    "dnsmos_p808": Metric(
        "DNSMOS P.808", "MOS", _DNSMOS.format("predicted rating of the quality by P.808"),
        "Reddy, Gopal and Cutler 2021, networks of the speechmos package", ("voice",), "dnsmos",
    ),
}  # fmt: skip
"""Every metric, by the name of its column in scores.csv, in the order of the columns."""

EXTRAS: dict[str, Metric] = {
    "si_sdr_best_order": Metric(
        "SI-SDR, best order", "dB",
        "SI-SDR with the order of estimates that the references prefer; unattainable in practice.",
        _LE_ROUX,
    ),
    "swapped": Metric(
        "swapped", "", "1 where the references prefer another order.", "winnow"
    ),
    "si_sdr_vs_residual": Metric(
        "SI-SDR over residual", "dB",
        "SI-SDR of the noise estimate minus that of the mixture without a times the voice"
        " estimate, a by least squares: above 0 the noise output earns its place.",
        "winnow",
        ("noise",),
    ),
}  # fmt: skip
"""Columns that are always there."""

NOTES = (
    "Higher is better for every metric. `_mix` is the score of the unprocessed mixture,"
    " `_imp` the improvement over it. A metric that has no value (silence, no speech, too short,"
    " no error above rounding) is left out and counted as failed.",
    "PEASS (Emiya et al. 2011) is not offered: its authors' code, which defines it, runs in"
    " MATLAB only.",
)
"""Notes on all of them."""

GROUPS: dict[str, tuple[str, ...]] = {
    "all": tuple(name for name, metric in METRICS.items() if not metric.extra),
    "si": ("si_sdr", "si_sir", "si_sar"),
    "bss_eval_v4": ("sdr_v4", "isr_v4", "sir_v4", "sar_v4"),
    "bss_eval_v3": ("sdr_v3", "sir_v3", "sar_v3"),
    "pesq": ("pesq_wb", "pesq_nb"),
    "speech": ("pesq_wb", "pesq_nb", "stoi", "estoi"),
    "composite": ("csig", "cbak", "covl"),
    "dnsmos": dnsmos.NAMES,
}
"""Names that stand for several metrics; ``all`` are those that need no more packages; ``pesq`` is
the flavour that fits the data's rate."""


class Chosen(NamedTuple):
    """The metrics to score in, and who computes them.

    Attributes:
        names: of ``METRICS``, in its order.
        engine: what computes BSS Eval: ``fast`` (local/scoring/bss_eval.py), or ``museval`` itself.
    """

    names: tuple[str, ...]
    engine: str = ENGINES[0]


def choose(text: str, rates: Iterable[int], engine: str = ENGINES[0]) -> Chosen:
    """The metrics that a comma-separated list of names and groups asks for.

    Args:
        text: such as ``si_sdr,bss_eval_v4``; dashes and underscores are the same.
        rates: Hz, the sample rates of the data: they decide the flavour of PESQ.
        engine: one of ``ENGINES``.

    Raises:
        UserError: an unknown name, none at all, a flavour of PESQ that the data do not have, or
            packages that are missing.
    """
    unfit = set(GROUPS["pesq"]) - {metric_values.pesq_flavour(rate) for rate in rates}
    chosen = set()
    for word in re.split(r"[,\s]+", text.strip(" ,")):
        name = word.lower().replace("-", "_")
        if name in unfit:
            raise UserError(f"--metrics: {name} does not fit the data's sample rate; ask for pesq")
        if name not in GROUPS and name not in METRICS:
            known = [*GROUPS, *METRICS]
            hint = nearest(name, known) or f"; known are {', '.join(known)}"
            raise UserError(f"--metrics: unknown metric {word!r}{hint}")
        chosen |= set(GROUPS.get(name, [name])) - unfit
    if chosen & set(GROUPS["dnsmos"]):
        dnsmos.check()
    return Chosen(tuple(name for name in METRICS if name in chosen), engine)


def score(
    references: np.ndarray, estimates: np.ndarray, rate: int, chosen: Chosen
) -> tuple[dict[tuple[str, str], float], dict[tuple[str, str], str]]:
    """Score estimates of all sources of one mixture.

    Args:
        references: (source, time) in the order of ``SOURCES``.
        estimates: the same shape, never rescaled.
        rate: Hz.
        chosen: the metrics, as ``choose`` finds them.

    Returns:
        values: {(source, metric): value} for each source that the metric is for; NaN where it
            has none. A flavour of PESQ that is not for ``rate`` is left out.
        reasons: {(source, metric): why} for each NaN.
    """
    references, estimates = (np.asarray(x, np.float64) for x in (references, estimates))
    metrics, found = chosen.names, {}
    if wanted := _among(metrics, "si_sdr", "si_sir", "si_sar", "snr", "sd_sdr"):
        found |= metric_values.projections(references, estimates, wanted)
    for version in ("bss_eval_v4", "bss_eval_v3"):
        if wanted := _among(metrics, *GROUPS[version]):
            found |= metric_values.bss_eval(
                references, estimates, rate, wanted, version, chosen.engine
            )
    k = SOURCES.index("voice")
    flavour, composite = metric_values.pesq_flavour(rate), _among(metrics, *GROUPS["composite"])
    if composite or flavour in metrics:
        pesq = metric_values.pesq(references[k], estimates[k], rate, flavour)
        found |= {(k, flavour): pesq} if flavour in metrics else {}
        if composite:
            values = metric_values.composite(references[k], estimates[k], rate, pesq)
            found |= {(k, name): values[name] for name in composite}
    for name in _among(metrics, "stoi", "estoi"):
        found[k, name] = metric_values.stoi(references[k], estimates[k], rate, name == "estoi")
    if wanted := _among(metrics, *GROUPS["dnsmos"]):
        values = metric_values.dnsmos(estimates[k], rate)
        found |= {(k, name): values[name] for name in wanted}
    return _split(found)


def extras(references: np.ndarray, estimates: np.ndarray, mix: np.ndarray):
    """The columns of ``EXTRAS``, as ``score`` returns its metrics.

    Args:
        references, estimates: (source, time).
        mix: (time,), the mixture that was separated.
    """
    references, estimates, mix = (np.asarray(x, np.float64) for x in (references, estimates, mix))
    voice, noise = SOURCES.index("voice"), SOURCES.index("noise")
    return _split(metric_values.best_order(references, estimates) | {
        (noise, "si_sdr_vs_residual"): metric_values.over_residual(
            references[noise], estimates[noise], mix, estimates[voice])
    })  # fmt: skip


def _among(metrics: Collection[str], *names: str) -> list[str]:
    return [name for name in names if name in metrics]


def _split(found: dict[tuple[int, str], float | str]):
    """Floats as they are; a sentence, or what is not finite, as NaN with a reason."""
    values, reasons = {}, {}
    for (k, metric), value in found.items():
        key = SOURCES[k], metric
        if not isinstance(value, str) and math.isinf(value):
            what = "has no error" if value > 0 else "holds nothing of the source"
            value = f"infinite, because the estimate {what}"
        if not isinstance(value, str) and math.isnan(value):
            value = "undefined"
        if isinstance(value, str):
            reasons[key] = " ".join(value.replace(";", ",").split())
        values[key] = math.nan if isinstance(value, str) else float(value)
    return values, reasons
