"""What ``--above`` does to recordings at 48 kHz: voice and noise by a model at 16 kHz, three ways.

    python tests/benchmarks/wide_band.py [--model NAME] [--voices DIR --noises DIR]

Without folders, voices and noises are synthesised here. Voices: syllables of a fricative (noise
in a band that reaches 6 to 18 kHz) and a vowel (a pulse train through five formants, with breath
noise above 3 kHz that beats with the pulses), with pauses. Noises: steady hiss between white and
pink, gusts of it, clicks, a crackling fire, a ringing bell, and a hum with partials up to 15 kHz.
With folders, recordings at 44.1 kHz and more are joined, resampled to 48 kHz and taken instead.

Each voice is mixed with each kind of noise at 0 and 10 dB. Means over the mixtures of SI-SDR (dB)
and of the log-spectral distance (dB; frames of 32 ms every 8 ms; a bin counts as 80 dB below the
reference's loudest, at least), over the whole band and above 8 kHz.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas
import soundfile
import torch
from scipy import signal

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))
from local.base import audio, progress  # noqa: E402
from local.model import above, pretrained, windows  # noqa: E402

RATE, SECONDS, VOICES, SNRS = 48000, 4, 3, (0, 10)
COUNT = RATE * SECONDS
FORMANTS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480),
            (570, 840, 2410))  # fmt: skip
"""Hz, of a, i, u, e, o (Peterson and Barney 1952, men)."""
FRICATIVES = ((5000, 16000), (2500, 9000), (1500, 18000), (4000, 12000))  # Hz: s, sh, f, z


def band(x, low, high):
    """Noise or pulses through a band-pass, Hz."""
    return signal.sosfilt(signal.butter(2, (low, high), "bandpass", fs=RATE, output="sos"), x)


def syllable(rng, pitch: float) -> np.ndarray:
    """A fricative, a vowel and mostly a pause."""
    count = int(rng.uniform(0.06, 0.15) * RATE)
    fricative = band(rng.standard_normal(count), *FRICATIVES[rng.integers(len(FRICATIVES))])
    fricative *= np.hanning(count) * rng.uniform(0.1, 0.4) / fricative.std()
    count = int(rng.uniform(0.12, 0.3) * RATE)
    glide = pitch * np.linspace(1.1, 0.9, count) * (1 + 0.01 * rng.standard_normal(count).cumsum()
                                                   / np.sqrt(count))  # fmt: skip
    phase = (glide.cumsum() / RATE) % 1
    pulses = np.where(phase < 0.6, np.sin(np.pi * phase / 0.6) ** 2, 0)
    vowel = np.diff(pulses, prepend=0)
    for formant in (*FORMANTS[rng.integers(len(FORMANTS))], 3500, 4500):
        width = 60 + formant / 25
        radius = np.exp(-np.pi * width / RATE)
        poles = [1, -2 * radius * np.cos(2 * np.pi * formant / RATE), radius**2]
        vowel = signal.lfilter([sum(poles)], poles, vowel)
    breath = band(rng.standard_normal(count), 3000, 14000) * pulses
    vowel = vowel / vowel.std() + 0.03 * breath / breath.std()
    pause = np.zeros(int(rng.uniform(0, 0.25) * RATE))
    return np.concatenate((fricative, vowel * np.hanning(count) ** 0.5, pause))


def voice(rng) -> np.ndarray:
    """Syllables of one speaker, (time,)."""
    pitch, said = rng.uniform(90, 240), [np.zeros(0)]
    while sum(map(len, said)) < COUNT:
        said.append(syllable(rng, pitch * rng.uniform(0.9, 1.15)))
    return np.concatenate(said)[:COUNT]


def hiss(rng, tilt: float) -> np.ndarray:
    """Noise whose spectrum falls with frequency**-tilt."""
    frequency = np.fft.rfftfreq(COUNT, 1 / RATE)
    spectrum = np.fft.rfft(rng.standard_normal(COUNT)) * np.maximum(frequency, 50) ** -tilt
    return np.fft.irfft(spectrum, COUNT)


def strokes(rng, per_second: float, decay: float) -> np.ndarray:
    """Bursts at random times, each dying away, ``decay`` in 1/s."""
    hits = (rng.random(COUNT) < per_second / RATE) * rng.exponential(1, COUNT)
    envelope = signal.lfilter([1], [1, -np.exp(-decay / RATE)], hits)
    return envelope * rng.standard_normal(COUNT)


def bell(rng) -> np.ndarray:
    """Partials that ring, struck twice a second."""
    time = np.arange(RATE // 2) / RATE
    ring = sum(np.exp(-time * rng.uniform(3, 20)) * np.sin(2 * np.pi * f * time)
               for f in rng.uniform(800, 15000, 12))  # fmt: skip
    return np.resize(ring, COUNT)


def noises(rng) -> dict[str, np.ndarray]:
    """One of each kind, (time,)."""
    gusts = np.exp(1.5 * signal.resample(rng.standard_normal(4 * SECONDS), COUNT))
    time = np.arange(COUNT) / RATE
    hum = sum(np.sin(2 * np.pi * k * 120 * time + k * k) / k**0.5 for k in range(1, 125))
    return {"hiss": hiss(rng, rng.uniform(0, 0.5)), "gusts": gusts * hiss(rng, 0.4),
            "clicks": strokes(rng, 8, 400), "fire": strokes(rng, 60, 1500) + 0.05 * hiss(rng, 0.5),
            "bell": bell(rng), "hum": hum}  # fmt: skip


def recordings(folder: Path, number: int) -> list[np.ndarray]:
    """Signals of ``COUNT`` samples, each from the recordings of one folder below ``folder``."""
    by_folder = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".wav", ".flac", ".ogg") and soundfile.info(path).samplerate >= 44100:
            by_folder.setdefault(path.parent, []).append(path)
    made = []
    for paths in list(by_folder.values()):
        parts, held = [], 0
        for path in paths:
            x, rate = audio.read(path, channel=0)
            x = audio.resample(x, rate, RATE)
            parts.append(x / max(1e-3, np.sqrt(np.mean(x**2))))
            held += len(x)
            if held >= COUNT:
                made.append(np.concatenate(parts)[:COUNT])
                parts, held = [], 0
            if len(made) == number:
                return made
    return made


class Remembered(torch.nn.Module):
    """A separator that computes a mixture once, however often it is asked for it in a row."""

    needs_sources = False

    def __init__(self, separator):
        super().__init__()
        self.network, self.sample_rate = separator, separator.sample_rate
        self.consistency, self.mix = separator.consistency, None

    def forward(self, mix, sources=None):
        """(batch, time) -> (batch, source, time)."""
        if self.mix is None or not torch.equal(mix, self.mix):
            self.mix, self.made = mix, self.network(mix)
        return self.made.clone()


def si_sdr(estimate, source) -> float:
    scaled = source * (estimate @ source) / (source @ source)
    return 10 * np.log10((scaled @ scaled) / ((estimate - scaled) @ (estimate - scaled)))


def distance(estimate, source, low: float) -> float:
    """Log-spectral distance from ``low`` Hz on, dB."""
    size, hop = int(0.032 * RATE), int(0.008 * RATE)
    found = []
    for x in (estimate, source):
        _, _, spectrum = signal.stft(x, RATE, nperseg=size, noverlap=size - hop)
        found.append(np.abs(spectrum) ** 2)
    floor = found[1].max() * 1e-8
    levels = [10 * np.log10(np.maximum(x, floor)) for x in found]
    difference = (levels[0] - levels[1])[int(low * size / RATE) :]
    return float(np.sqrt(np.mean(difference**2, 0)).mean())


def upper(x) -> np.ndarray:
    """What lies above 8 kHz."""
    spectrum = np.fft.rfft(x)
    spectrum[: len(spectrum) * 8000 * 2 // RATE] = 0
    return np.fft.irfft(spectrum, COUNT)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", help="as for winnow; default: the one that ships")
    parser.add_argument(
        "--voices", type=Path, metavar="DIR", help="recordings in place of synthesis"
    )
    parser.add_argument("--noises", type=Path, metavar="DIR", help="the same")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    if args.voices:
        voices, kinds = recordings(args.voices, VOICES), recordings(args.noises, 6)
    else:
        voices, kinds = [voice(rng) for _ in range(VOICES)], list(noises(rng).values())
    opened = pretrained.open_model(args.model)
    separator, rows = Remembered(opened), []
    pairs = [(v, n, snr) for v in voices for n in kinds for snr in SNRS]
    for v, n, snr in progress.bar(pairs, "mixtures"):
        v = 0.05 * v / v.std()
        n = n / n.std() * v.std() / 10 ** (snr / 20)
        for way in above.WAYS:
            made = windows.estimate(separator, v + n, RATE, way=way).astype(float)
            for source, estimate, reference in zip(("voice", "noise"), made, (v, n), strict=True):
                rows.append({
                    "source": source, "way": way, "SNR": snr,
                    "SI-SDR": si_sdr(estimate, reference),
                    "SI-SDR above 8 kHz": si_sdr(upper(estimate), upper(reference))
                    if upper(estimate).std() > 1e-4 * upper(v + n).std() else np.nan,
                    "LSD": distance(estimate, reference, 0),
                    "LSD above 8 kHz": distance(estimate, reference, 8000),
                })  # fmt: skip
    table = pandas.DataFrame(rows)
    print(f"{len(pairs)} mixtures, {opened.recipe}")
    for keys in (["source", "way"], ["source", "SNR", "way"]):
        means = table.groupby(keys, sort=False)[list(table.columns[3:])].mean()
        print(means.round(2).to_string())


if __name__ == "__main__":
    main()
