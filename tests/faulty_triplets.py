"""Faults of triplets, each made by a function that does one thing to a faultless folder."""

import os
import shutil
from pathlib import Path

import numpy as np
import soundfile
from triplet_trees import RATE, signals, write

MIX = "mix_snr_0.wav"
"""The mixture of the folders that are broken here."""


def sources(folder: Path) -> list[np.ndarray]:
    """The integers of a folder's voice and noise."""
    return [soundfile.read(folder / f"{n}.wav", dtype="int16")[0] for n in ("voice", "noise")]


def write_floats(path: Path, x: np.ndarray, rate: int = RATE) -> None:
    """A wav of 64-bit floats, which keeps what integers cannot hold."""
    soundfile.write(path, x, rate, subtype="DOUBLE")


def break_wav(folder, name, data):
    (folder / name).write_bytes(data)


def cut(folder, name, share):
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: int(len(data) * share)])


def flac_inside(folder):
    voice, _ = sources(folder)
    soundfile.write(folder / "voice.wav", voice, RATE, format="FLAC")


def with_nan(folder, value):
    voice, _ = sources(folder)
    voice = voice / 32768
    voice[1234] = value
    write_floats(folder / "voice.wav", voice)


def stereo(folder, name):
    x, rate = soundfile.read(folder / name, dtype="int16")
    soundfile.write(folder / name, np.stack([x, x], 1), rate)


def other_rate(folder, name, rate=2 * RATE):
    x, _ = soundfile.read(folder / name, dtype="int16")
    soundfile.write(folder / name, x, rate)


def shorter(folder, name):
    x, rate = soundfile.read(folder / name, dtype="int16")
    soundfile.write(folder / name, x[:-1], rate)


def constant(folder, name, value):
    voice, _ = sources(folder)
    write(folder / name, np.full(len(voice), value))


def other_mixture(folder):
    write(folder / "mix_snr_0.wav", sum(signals(99, len(sources(folder)[0]))))


def difference(folder):
    voice, noise = sources(folder)
    write(folder / "mix_snr_0.wav", voice - noise)


def delayed(folder):
    voice, noise = sources(folder)
    write(folder / "mix_snr_0.wav", np.roll(voice + noise, 40))


def one_and_the_same(folder):
    voice, _ = sources(folder)
    write(folder / "noise.wav", voice)
    write(folder / "mix_snr_0.wav", 3 * voice)


def link_to_nowhere(folder, name):
    (folder / name).unlink()
    (folder / name).symlink_to(folder / "nowhere.wav")


def folder_instead(folder, name):
    (folder / name).unlink()
    (folder / name).mkdir()


def pipe_instead(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)


def link_to_itself(folder, name):
    (folder / name).unlink()
    (folder / name).symlink_to(name)


def link_to_a_device(folder, name):
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")


def add_residual(folder: Path, residual_db: float) -> None:
    """To the mixture, something that is neither voice nor noise: orthogonal to both."""
    voice, noise = (x / 32768 for x in sources(folder))
    plane, _ = np.linalg.qr(np.stack([voice, noise], 1))
    rest = np.random.default_rng(1).standard_normal(len(voice))
    rest -= plane @ (plane.T @ rest)
    clean, share = voice + noise, 10 ** (residual_db / 10)
    rest *= np.sqrt(np.sum(clean**2) / np.sum(rest**2) * share / (1 - share))
    write_floats(folder / MIX, clean + rest)


FAULTS = {
    # a name: what is done, the file at fault, the reason, a part of what is said to be found
    "no voice": (lambda f: (f / "voice.wav").unlink(), "voice.wav", "missing file", "no such"),
    "no noise": (lambda f: (f / "noise.wav").unlink(), "noise.wav", "missing file", "no such"),
    "no mixture": (lambda f: (f / MIX).unlink(), "mix_snr_XX.wav", "missing file", "no such"),
    "extra": (lambda f: shutil.copy(f / MIX, f / "clean.wav"), "clean.wav", "extra wav file", ""),
    "name": (
        lambda f: (f / MIX).rename(f / "mix_snr_loud.wav"),
        "mix_snr_loud.wav",
        "name that cannot be read",
        "mix_snr_loud.wav",
    ),
    "exponent": (
        lambda f: (f / MIX).rename(f / "mix_snr_1e1.wav"),
        "mix_snr_1e1.wav",
        "name that cannot be read",
        "mix_snr_1e1.wav",
    ),
    "text": (lambda f: break_wav(f, MIX, b"a list of things"), MIX, "not a wav", "a list of"),
    "flac": (flac_inside, "voice.wav", "not a wav", "fLaC"),
    "codec": (
        lambda f: break_wav(f, MIX, b"RIFF\x10\0\0\0WAVEdata\4\0\0\0abcd"),
        MIX,
        "not a wav",
        "WAV",
    ),
    "half a file": (lambda f: cut(f, "noise.wav", 0.5), "noise.wav", "truncated", "3978 bytes"),
    "half a header": (lambda f: cut(f, MIX, 0.003), MIX, "truncated", "24 bytes"),
    "no bytes": (lambda f: break_wav(f, MIX, b""), MIX, "empty", "0 bytes"),
    "no samples": (lambda f: write(f / "voice.wav", np.zeros(0)), "voice.wav", "empty", "without"),
    "NaN": (
        lambda f: with_nan(f, np.nan),
        "voice.wav",
        "NaN or infinite samples",
        "nan at sample 1234",
    ),
    "infinite": (
        lambda f: with_nan(f, -np.inf),
        "voice.wav",
        "NaN or infinite samples",
        "-inf at sample 1234",
    ),
    "stereo": (lambda f: stereo(f, MIX), MIX, "several channels", "2 channels"),
    "rate": (lambda f: other_rate(f, MIX), MIX, "sample rates differ", "16000 Hz"),
    "noise's rate": (
        lambda f: other_rate(f, "noise.wav"),
        "noise.wav",
        "sample rates differ",
        "16000 Hz",
    ),
    "a rate that is a mistake": (
        lambda f: other_rate(f, "voice.wav", 16),
        "voice.wav",
        "sample rate out of range",
        "16 Hz",
    ),
    "length": (lambda f: shorter(f, MIX), MIX, "lengths differ", "3999 samples"),
    "noise's length": (
        lambda f: shorter(f, "noise.wav"),
        "noise.wav",
        "lengths differ",
        "3999 samples",
    ),
    "silent voice": (
        lambda f: constant(f, "voice.wav", 0),
        "voice.wav",
        "silent voice or noise",
        "less than",
    ),
    "constant noise": (
        lambda f: constant(f, "noise.wav", 500),
        "noise.wav",
        "silent voice or noise",
        "less than",
    ),
    "silent mixture": (
        lambda f: constant(f, MIX, 0),
        MIX,
        "mixture is not the sum",
        "silence",
    ),
    "other mixture": (other_mixture, MIX, "mixture is not the sum", "residual of -0."),
    "difference": (difference, MIX, "mixture is not the sum", "1 voice + -1 noise"),
    "delayed": (delayed, MIX, "mixture is not the sum", "residual of -"),
    "one and the same": (one_and_the_same, MIX, "mixture is not the sum", "one and the same"),
    "SNR": (
        lambda f: (f / MIX).rename(f / "mix_snr_1.5.wav"),
        "mix_snr_1.5.wav",
        "SNR is not that of the name",
        "0.00 dB",
    ),
    "broken link": (
        lambda f: link_to_nowhere(f, MIX),
        MIX,
        "no regular file",
        "a link to nothing",
    ),
    "folder as file": (
        lambda f: folder_instead(f, "voice.wav"),
        "voice.wav",
        "no regular file",
        "a folder",
    ),
    "pipe": (lambda f: pipe_instead(f, "voice.wav"), "voice.wav", "no regular file", "a pipe"),
    "loop": (lambda f: link_to_itself(f, MIX), MIX, "no regular file", "leads to itself"),
    "device": (
        lambda f: link_to_a_device(f, "noise.wav"),
        "noise.wav",
        "no regular file",
        "a device",
    ),
}
