"""Metrics against algebra and against the packages that define them; what has no value is NaN."""

import math
import subprocess
import sys

import numpy as np
import pytest
import triplet_trees
from hypothesis import given, settings
from hypothesis import strategies as st

from local import ROOT
from local.base.errors import UserError
from local.scoring import bss_eval, metric_values, metrics

RATE = 16000
PROJECTIONS = ["si_sdr", "si_sir", "si_sar", "snr", "sd_sdr"]


def orthogonal(count: int, length: int, seed: int = 0) -> np.ndarray:
    """Signals without mean, of unit energy, orthogonal to each other: (count, length)."""
    columns = np.random.default_rng(seed).standard_normal((length, count))
    return np.linalg.qr(columns - columns.mean(0))[0].T


def scene(seconds: float = 2.0, rate: int = RATE, seed: int = 0):
    """References (source, time) as 16-bit recordings have them, their mixture, and estimates."""
    voice, noise = triplet_trees.signals(seed, int(seconds * rate), rate)
    references = np.stack([voice, noise]).astype(np.float32) / 32768
    rng = np.random.default_rng(seed)
    leak = np.array([[0.9, 0.2], [0.1, 0.8]], np.float32)
    estimates = leak @ references + 0.003 * rng.standard_normal(references.shape, np.float32)
    return references, references.sum(0), estimates


def score(references, estimates, rate, names, engine="fast"):
    return metrics.score(references, estimates, rate, metrics.Chosen(tuple(names), engine))


def value(found, source="voice", metric="si_sdr"):
    return found[0][source, metric]


@pytest.mark.parametrize("length", [3, 1001])
@pytest.mark.parametrize("ratio_db", [-20.0, 0.0, 12.5])
def test_si_sdr_of_an_orthogonal_error(length, ratio_db):
    target, error = orthogonal(2, length)
    estimate = target + 10 ** (-ratio_db / 20) * error
    for scale, offset in ((1, 0), (-0.3, 0), (1e3, 0), (2, 0.7)):
        pair = np.stack([target, error]), np.stack([scale * estimate + offset, error])
        assert value(score(*pair, RATE, ["si_sdr"])) == pytest.approx(ratio_db, abs=1e-9)


def test_interference_and_artifacts_of_orthogonal_signals():
    voice, noise, rest = orthogonal(3, 500)
    references = np.stack([voice, 0.2 * noise])
    estimates = np.stack([2 * voice + 0.5 * noise + 0.1 * rest, 0.2 * noise + 0.02 * rest + voice])
    values, reasons = score(references, estimates, RATE, PROJECTIONS)
    assert not reasons
    assert values["voice", "si_sir"] == pytest.approx(20 * math.log10(2 / 0.5))
    assert values["voice", "si_sar"] == pytest.approx(20 * math.log10(2 / 0.1))
    assert values["voice", "si_sdr"] == pytest.approx(10 * math.log10(4 / 0.26))
    assert values["voice", "snr"] == pytest.approx(10 * math.log10(1 / 1.26))
    assert values["voice", "sd_sdr"] == pytest.approx(10 * math.log10(4 / 1.26))
    assert values["noise", "si_sir"] == pytest.approx(20 * math.log10(0.2))
    assert values["noise", "si_sar"] == pytest.approx(20 * math.log10(10))


def test_interference_within_the_span_of_correlated_references():
    voice, other, rest = orthogonal(3, 500)
    noise = 0.6 * voice + 0.8 * other
    # noise = its part along the voice, which is target, and its own part, which interferes
    estimates = np.stack([voice + 0.5 * noise + 0.1 * rest, noise + 0.1 * rest])
    values, _ = score(np.stack([voice, noise]), estimates, RATE, ["si_sir", "si_sar"])
    assert values["voice", "si_sir"] == pytest.approx(20 * math.log10(1.3 / 0.4))
    assert values["voice", "si_sar"] == pytest.approx(20 * math.log10(1.3 / 0.1))
    assert values["noise", "si_sar"] == pytest.approx(20)
    assert math.isnan(values["noise", "si_sir"])  # there is none


@settings(max_examples=25, deadline=None)
@given(st.integers(4, 3000), st.integers(0, 2**32 - 1), st.floats(-40, 40))
def test_errors_add_up_and_scale_only_matters_where_it_should(length, seed, level_db):
    rng = np.random.default_rng(seed)
    references, estimates = rng.standard_normal((2, 2, length))
    values, _ = score(references, estimates, RATE, PROJECTIONS)
    scaled, _ = score(references, 10 ** (level_db / 20) * estimates, RATE, PROJECTIONS)
    for source in ("voice", "noise"):
        parts = [10 ** (-values[source, name] / 10) for name in ("si_sir", "si_sar")]
        assert 10 ** (-values[source, "si_sdr"] / 10) == pytest.approx(sum(parts), rel=1e-6)
        assert values[source, "sd_sdr"] <= values[source, "si_sdr"] + 1e-9
        for name in ("si_sdr", "si_sir", "si_sar"):
            assert scaled[source, name] == pytest.approx(values[source, name], abs=1e-6)


def test_level_counts_in_snr_and_sd_sdr():
    references, _, _ = scene()
    values, _ = score(references, 0.5 * references, RATE, ["snr", "sd_sdr"])
    assert values["voice", "snr"] == pytest.approx(20 * math.log10(2), abs=1e-6)
    assert values["voice", "sd_sdr"] == pytest.approx(0, abs=1e-6)


def test_estimates_that_sum_to_the_mixture_share_their_error():
    references, mix, estimates = scene()
    estimates[1] = mix - estimates[0]
    values, _ = score(references, estimates, RATE, ["snr"])
    energy = np.square(references, dtype=float).sum(1)
    snr = 10 * math.log10(energy[0] / energy[1])
    assert values["noise", "snr"] == pytest.approx(values["voice", "snr"] - snr, abs=1e-5)


@pytest.mark.parametrize(("ours", "theirs", "zero_mean"), [
    ("si_sdr", "sisdr", True), ("sd_sdr", "sdsdr", True), ("snr", "snr", False),
])  # fmt: skip
def test_asteroid_agrees(ours, theirs, zero_mean):
    import torch
    from asteroid.losses import PairwiseNegSDR

    references, _, estimates = scene()
    references, estimates = references + 0.01, estimates - 0.02
    pair = (torch.from_numpy(x).double().unsqueeze(0) for x in (estimates, references))
    expected = -PairwiseNegSDR(theirs, zero_mean=zero_mean)(*pair)[0]
    values, _ = score(references, estimates, RATE, [ours])
    assert values["voice", ours] == pytest.approx(expected[0, 0].item(), abs=1e-5)
    assert values["noise", ours] == pytest.approx(expected[1, 1].item(), abs=1e-5)


@pytest.mark.parametrize("engine", metrics.ENGINES)
@pytest.mark.parametrize("seconds", [0.7, 3.4])
def test_bss_eval_v4_is_musevals_median(engine, seconds):
    references, _, estimates = scene(seconds, 8000)
    if seconds > 1:
        references[1, 8000:16000] = 0  # a frame that museval leaves out
    frames = bss_eval.museval_metrics().bss_eval(
        references[..., None].astype(float), estimates[..., None].astype(float), 8000, 8000
    )
    values, reasons = score(references, estimates, 8000, metrics.GROUPS["bss_eval_v4"], engine)
    assert not reasons
    for name, of in zip(("sdr_v4", "isr_v4", "sir_v4", "sar_v4"), frames[:4], strict=True):
        for k, source in enumerate(("voice", "noise")):
            assert values[source, name] == pytest.approx(np.nanmedian(of[k]), abs=1e-6)


@pytest.mark.parametrize("engine", metrics.ENGINES)
def test_bss_eval_v3_is_that_of_mir_eval(engine):
    from mir_eval import separation

    references, _, estimates = scene(1.3, 8000)
    with pytest.warns(FutureWarning):
        sdr, sir, sar, _ = separation.bss_eval_sources(references, estimates, False)
    values, _ = score(references, estimates, 8000, metrics.GROUPS["bss_eval_v3"], engine)
    for name, of in (("sdr_v3", sdr), ("sir_v3", sir), ("sar_v3", sar)):
        for k, source in enumerate(("voice", "noise")):
            assert values[source, name] == pytest.approx(of[k], abs=1e-6)


@pytest.mark.parametrize(("rate", "name", "mode"), [
    (8000, "pesq_nb", "nb"), (16000, "pesq_wb", "wb"), (44100, "pesq_wb", "wb"),
])  # fmt: skip
def test_pesq_in_the_flavour_of_the_rate(rate, name, mode):
    from pesq import pesq

    from local.base import audio

    references, _, estimates = scene(3, rate)
    values, reasons = score(references, estimates, rate, metrics.GROUPS["pesq"])
    assert set(values) == {("voice", name)}
    assert not reasons
    target = 8000 if mode == "nb" else 16000
    signals = [audio.resample(x[0].astype(float), rate, target) for x in (references, estimates)]
    assert values["voice", name] == pytest.approx(pesq(target, *signals, mode), abs=1e-6)
    assert 1 < values["voice", name] < 4.65


def test_pesq_of_a_file_with_more_utterances_than_its_code_can_hold():
    # alone, the pesq package ends the process with a segmentation fault on this
    rng = np.random.default_rng(0)
    burst = np.concatenate([rng.standard_normal(RATE // 4), np.zeros(RATE // 4)])
    voice = np.tile(burst, 70)
    estimate = voice + 0.01 * rng.standard_normal(len(voice))
    once = metric_values.pesq(voice[: 9 * len(burst)], estimate[: 9 * len(burst)], RATE, "pesq_wb")
    assert metric_values.pesq(voice, estimate, RATE, "pesq_wb") == pytest.approx(once, abs=0.2)


def test_stoi_is_that_of_pystoi():
    import pystoi

    references, _, estimates = scene(2.5, 16000)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    values, _ = score(references, estimates, RATE, ["stoi", "estoi"])
    for name, extended in (("stoi", False), ("estoi", True)):
        pair = references[0].astype(float), estimates[0].astype(float)
        expected = pystoi.stoi(*pair, RATE, extended=extended)
        assert values["voice", name] == pytest.approx(expected, abs=1e-9)
    assert ("noise", "stoi") not in values
    score(references, estimates, RATE, ["estoi"])
    assert (np.random.get_state()[1] != state).any()  # noqa: NPY002  pystoi itself drew from it


def test_estoi_draws_the_same_noise_each_time():
    references, _, estimates = scene(2.0, 16000)
    estimates[0, 5000:30000] = 0  # only pystoi's own noise is left there
    first = [score(references, estimates, RATE, ["estoi"])[0] for _ in range(2)]
    assert first[0] == first[1]


CAUSES = {
    "silent reference": lambda r, e: r.__setitem__(0, 0),
    "silent estimate": lambda r, e: e.__setitem__(0, 0),
    "constant reference": lambda r, e: r.__setitem__(0, 0.1),
    "constant estimate": lambda r, e: e.__setitem__(0, 0.1),
    "estimate with NaN": lambda r, e: e.__setitem__((0, 5), np.nan),
    "estimate with NaN or infinite": lambda r, e: e.__setitem__((0, 5), np.inf),
}


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("engine", metrics.ENGINES)
def test_what_has_no_value_is_nan_with_its_reason(cause, engine):
    references, _, estimates = scene(1.5, 8000)
    CAUSES[cause](references, estimates)
    asked = metrics.choose("all", [8000]).names
    values, reasons = score(references, estimates, 8000, asked, engine)
    extra_values, extra_reasons = metrics.extras(references, estimates, references.sum(0))
    assert set(reasons) == {key for key, x in values.items() if math.isnan(x)}
    assert set(extra_reasons) == {key for key, x in extra_values.items() if math.isnan(x)}
    for name in ("si_sdr", "si_sir", "si_sar", "sd_sdr"):
        assert reasons["voice", name].startswith(cause)
    assert extra_reasons["voice", "si_sdr_best_order"].startswith(cause)
    assert values["noise", "si_sdr"] > 0  # the other source has its own
    if not cause.startswith("constant"):
        for name in asked:
            assert math.isnan(values["voice", name])
        assert reasons["noise", "sdr_v4"].startswith(f"voice: {cause}")
    if "reference" in cause:
        assert reasons["noise", "si_sir"].startswith("other source")


def test_a_perfect_estimate_has_no_error_to_measure():
    references, _, _ = scene(1.5, 8000)
    values, reasons = score(references, references, 8000, metrics.choose("all", [8000]).names)
    assert math.isnan(values["voice", "si_sdr"])
    assert "no error" in reasons["voice", "si_sdr"]
    assert "no error" in reasons["noise", "sdr_v4"]
    assert values["voice", "pesq_nb"] > 4.5
    assert values["voice", "stoi"] == pytest.approx(1)


def test_an_estimate_without_its_source():
    target, error = orthogonal(2, 100)
    estimates = np.stack([error, target])
    values, reasons = score(np.stack([target, error]), estimates, RATE, ["si_sdr", "snr"])
    assert "nothing of the source" in reasons["voice", "si_sdr"]
    assert values["voice", "snr"] == pytest.approx(-10 * math.log10(2))


def test_an_estimate_that_is_all_artifacts_and_a_mixture_that_is_silent():
    voice, noise, rest = np.array([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1.0]])
    references = np.stack([voice, noise])
    values, _ = score(references, np.stack([rest, rest]), RATE, PROJECTIONS)
    assert all(math.isnan(values["voice", name]) for name in ("si_sdr", "si_sir", "si_sar"))
    _, reasons = metrics.extras(references, references, 0 * voice)
    assert reasons["noise", "si_sdr_vs_residual"] == "silent estimate"


def test_references_that_are_multiples_of_each_other():
    voice, rest = orthogonal(2, 100)
    references = np.stack([voice, -2 * voice])
    values, reasons = score(references, references + 0.1 * rest, RATE, PROJECTIONS)
    assert "multiple" in reasons["voice", "si_sir"]
    assert "multiple" in reasons["noise", "si_sar"]
    assert values["voice", "si_sdr"] == pytest.approx(20)


@pytest.mark.parametrize("length", [0, 1, 2, 255, 500, 3000])
def test_short_files(length):
    references, mix, estimates = scene(1.0, 8000)
    cut = [x[..., :length] for x in (references, estimates, mix)]
    values, reasons = score(*cut[:2], 8000, metrics.choose("all", [8000]).names)
    metrics.extras(*cut)
    assert set(reasons) == {key for key, x in values.items() if math.isnan(x)}
    assert math.isnan(values["voice", "stoi"])
    if length > 2:
        assert "too short" in reasons["voice", "stoi"]
        assert not math.isnan(values["voice", "si_sar"])
    if length in (255, 500):
        assert "1/4 of a second" in reasons["voice", "pesq_nb"]


def test_pesq_without_speech_in_reference_or_estimate():
    bursts = np.random.default_rng(0).standard_normal((2, RATE))
    bursts[:, 800:] = 0  # shorter than any word
    _, reasons = score(bursts, bursts, RATE, ["pesq_wb"])
    assert "utterance" in reasons["voice", "pesq_wb"]
    references, _, estimates = scene(20.0)
    estimates[:, 150_000:] = 0  # all of the second of two pieces
    _, reasons = score(references, estimates, RATE, ["pesq_wb"])
    assert "silent" in reasons["voice", "pesq_wb"]


def test_pesq_of_a_file_that_is_silent_for_a_whole_piece():
    references, _, estimates = scene(20.0)
    references[0, 150_000:] = 0
    values, _ = score(references, estimates, RATE, ["pesq_wb"])
    first, _ = score(references[:, :160_000], estimates[:, :160_000], RATE, ["pesq_wb"])
    assert values == first


def test_pesq_below_its_rates():
    references, _, estimates = scene(1.0, 4000)
    _, reasons = score(references, estimates, 4000, ["pesq_nb"])
    assert "8000 Hz" in reasons["voice", "pesq_nb"]


def test_the_order_that_the_references_would_have_chosen():
    references, mix, estimates = scene()
    plain, _ = metrics.extras(references, estimates, mix)
    swapped, _ = metrics.extras(references, estimates[::-1], mix)
    scores, _ = score(references, estimates, RATE, ["si_sdr"])
    for source in ("voice", "noise"):
        assert plain[source, "swapped"] == 0
        assert swapped[source, "swapped"] == 1
        for found in (plain, swapped):
            assert found[source, "si_sdr_best_order"] == scores[source, "si_sdr"]


def test_two_mixtures_as_estimates_are_not_swapped():
    references, mix, _ = scene()
    values, _ = metrics.extras(references, np.stack([mix, mix]), mix)
    assert values["voice", "swapped"] == values["noise", "swapped"] == 0


def test_noise_output_against_the_residual():
    voice, noise, rest = orthogonal(3, 400)
    references, mix = np.stack([voice, noise]), voice + noise
    heard = voice + 0.1 * rest
    gain = 1 / 1.01  # least squares of the mixture on it
    residual = mix - gain * heard
    residual_db = -10 * math.log10((1 - gain) ** 2 + (0.1 * gain) ** 2)
    estimates = np.stack([heard, noise + 0.01 * rest])
    values, _ = metrics.extras(references, estimates, mix)
    assert values["noise", "si_sdr_vs_residual"] == pytest.approx(40 - residual_db)
    assert ("voice", "si_sdr_vs_residual") not in values
    values, _ = metrics.extras(references, np.stack([heard, residual]), mix)
    assert values["noise", "si_sdr_vs_residual"] == pytest.approx(0, abs=1e-9)
    values, reasons = metrics.extras(references, np.stack([0.3 * mix, noise + rest]), mix)
    assert math.isnan(values["noise", "si_sdr_vs_residual"])
    assert "is the mixture" in reasons["noise", "si_sdr_vs_residual"]


def test_choosing_by_name_and_group():
    def chosen(text, rates=(RATE,)):
        return list(metrics.choose(text, rates).names)

    assert chosen("stoi, si-sdr") == ["si_sdr", "stoi"]
    assert chosen("BSS_EVAL_V3,sdr_v3") == ["sdr_v3", "sir_v3", "sar_v3"]
    assert chosen("pesq", [44100, 16000]) == ["pesq_wb"]
    assert chosen("composite") == ["csig", "cbak", "covl"]
    assert chosen("pesq", [8000, 16000]) == ["pesq_wb", "pesq_nb"]
    every = chosen("all", [8000, 16000])
    assert every == [name for name, metric in metrics.METRICS.items() if not metric.extra]
    assert {name for group in metrics.GROUPS.values() for name in group} == set(metrics.METRICS)
    assert metrics.choose("snr", [RATE], "museval").engine == "museval"


@pytest.mark.parametrize(("text", "expected"), [
    ("si_sdx", "did you mean 'si_sdr'"),
    ("si_sdr,peaq", "unknown metric 'peaq'; did you mean 'pesq'"),
    ("", "known are all, si"),
    ("pesq_nb", "ask for pesq"),
])  # fmt: skip
def test_choosing_what_is_not_there(text, expected):
    with pytest.raises(UserError, match=expected):
        metrics.choose(text, [RATE])


def test_only_what_is_chosen_is_imported():
    code = (
        "import sys, numpy as np; from local.scoring import metrics\n"
        "x = np.random.default_rng(0).standard_normal((2, 8000))\n"
        "metrics.score(x, x[::-1] + x, 16000, metrics.Chosen({!r}))\n"
        "print(*sorted({{'torch', 'pesq', 'pystoi', 'museval', 'scipy', 'local.scoring.bss_eval'}}"
        " & set(sys.modules)))"
    )
    expected = {("si_sdr", "si_sar"): "", ("pesq_wb",): "pesq", ("stoi",): "pystoi scipy"}
    for chosen, modules in expected.items():
        command = [sys.executable, "-c", code.format(chosen)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == modules
