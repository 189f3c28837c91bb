"""Make the small triplets of egs_data: 50 folders of 2 s at 16 kHz, listed in examples.csv.

::

    python egs_data/make_egs_data.py              # noises, mixtures, groups from the voices here
    python egs_data/make_egs_data.py --out DIR    # the same, elsewhere
    python egs_data/make_egs_data.py --voices     # first the voices, by espeak-ng; another version
                                                  # of it than 1.51 speaks otherwise

The noises are synthesised by numpy alone and come out to the same bytes: all randomness is the raw
stream of PCG64, which numpy promises to keep, and what machines do differently, in the last digits
of a float, lies far below the rounding to 16 bits. The mixture is voice + noise exactly, on the
integers.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

HERE = Path(__file__).resolve().parent
RATE = 16000  # Hz
LENGTH = 2 * RATE  # samples
SEED = 20
LEVELS = (-32.0, -24.0)  # dB of full scale, root mean square of the mixtures
CREST = 17.0  # dB over a noise's root mean square, a level that its peaks do not go beyond
ONSET = 0.02  # of a voice's peak, where the speech is said to begin
LEAD = 0.05  # seconds kept before it
TIME = np.arange(LENGTH) / RATE
FREQUENCY = np.fft.rfftfreq(LENGTH, 1 / RATE)


class Draw:
    """Random numbers from the raw 64 bits of PCG64, by arithmetic that rounds alike everywhere."""

    def __init__(self, *seed: int):
        self._bits = np.random.PCG64(np.random.SeedSequence(seed))

    def uniform(self, count: int) -> np.ndarray:
        """``count`` numbers in [0, 1)."""
        return (self._bits.random_raw(count) >> np.uint64(11)) * 2.0**-53

    def between(self, low: float, high: float) -> float:
        """One number."""
        return low + (high - low) * float(self.uniform(1)[0])

    def gauss(self, count: int) -> np.ndarray:
        """Near enough to a normal distribution: sums of twelve uniform numbers, variance 1."""
        return self.uniform(12 * count).reshape(12, count).sum(0) - 6


def shape(x: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """Filter (circularly) by a gain for each of FREQUENCY, (frequency,)."""
    return np.fft.irfft(np.fft.rfft(x) * curve, LENGTH)


def low_pass(cutoff: float, order: int = 2) -> np.ndarray:
    """Gain of a Butterworth low-pass; cutoff in Hz."""
    return 1 / np.sqrt(1 + (FREQUENCY / cutoff) ** (2 * order))


def band_pass(low: float, high: float) -> np.ndarray:
    """Gain between two cut-offs in Hz."""
    return low_pass(high) * (1 - low_pass(low))


def slow(draw: Draw, rate: float) -> np.ndarray:
    """A random curve, about ``rate`` turns a second, mean 0 and standard deviation 1."""
    x = shape(draw.gauss(LENGTH), low_pass(rate, 4))
    return (x - x.mean()) / x.std()


def harmonics(draw: Draw, pitch: np.ndarray, count: int, tilt: float) -> np.ndarray:
    """A buzz whose pitch (time,), in Hz, may glide; partial k is 1/k**tilt, give or take."""
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    partials = [
        draw.between(0.5, 1) / k**tilt * np.sin(k * phase + draw.between(0, 2 * np.pi))
        for k in range(1, count + 1)
    ]
    return np.sum(partials, 0)


def strokes(draw: Draw, gap: tuple[float, float], stroke) -> np.ndarray:
    """``stroke(time)``, (time,) of its own, again and again, after gaps of so many seconds."""
    x, start = np.zeros(LENGTH), int(draw.between(0, gap[1]) * RATE)
    while start < LENGTH:
        x[start:] += draw.between(0.4, 1) * stroke(TIME[: LENGTH - start])
        start += int(draw.between(*gap) * RATE)
    return x


# --- heard in training and validation -------------------------------------------------------


def hiss(draw, voices):
    """Stationary: falling spectrum, somewhere between white and pink."""
    tilt = draw.between(0.1, 0.6)
    return shape(draw.gauss(LENGTH), np.maximum(FREQUENCY, 50) ** -tilt)


def rumble(draw, voices):
    """Stationary: all below some hundred Hz."""
    return shape(draw.gauss(LENGTH), band_pass(30, draw.between(150, 500)))


def hum(draw, voices):
    """Tonal: mains and its harmonics, with a little hiss."""
    pitch = np.full(LENGTH, 50.0 if draw.between(0, 1) < 0.5 else 60.0)
    return harmonics(draw, pitch, 24, draw.between(0.4, 1)) + 0.05 * draw.gauss(LENGTH)


def warble(draw, voices):
    """Tonal: a whistle that goes up and down."""
    turns = np.sin(2 * np.pi * draw.between(1, 5) * TIME + draw.between(0, 6))
    pitch = draw.between(600, 1500) * (1 + draw.between(0.05, 0.3) * turns)
    return harmonics(draw, pitch, 3, 2) + 0.02 * draw.gauss(LENGTH)


def clicks(draw, voices):
    """Impulsive: short ticks at random, each a burst of noise."""
    decay = draw.between(150, 400)

    def tick(time):
        return draw.gauss(len(time)) * np.exp(-decay * time)

    ticks = strokes(draw, (0.01, draw.between(0.1, 0.3)), tick)
    return shape(ticks, band_pass(draw.between(300, 1500), 7000)) + 0.005 * draw.gauss(LENGTH)


def babble(draw, voices):
    """Babble: five other voices at once."""
    order = np.argsort(draw.uniform(len(voices)))[:5]
    return sum(np.roll(voices[i], int(draw.between(0, LENGTH))) / voices[i].std() for i in order)


def wind(draw, voices):
    """Moving: low noise in gusts."""
    gusts = np.exp(0.9 * slow(draw, draw.between(1, 3)))
    return gusts * shape(draw.gauss(LENGTH), band_pass(20, draw.between(200, 800)))


def engine(draw, voices):
    """Moving: a motor that turns faster or slower, and its rattle."""
    start, end = draw.between(40, 120), draw.between(40, 120)
    pitch = start + (end - start) * TIME / TIME[-1] + 2 * slow(draw, 4)
    motor = harmonics(draw, pitch, 40, draw.between(0.6, 1.2))
    rattle = shape(draw.gauss(LENGTH), band_pass(200, 3000))
    return motor / motor.std() + draw.between(0.2, 0.6) * rattle / rattle.std()


# --- heard in the test alone ----------------------------------------------------------------


def fan(draw, voices):
    """Stationary: a band of noise, with blades that beat in it."""
    blades = 1 + 0.3 * np.sin(2 * np.pi * draw.between(15, 30) * TIME)
    air = shape(draw.gauss(LENGTH), band_pass(100, draw.between(1000, 2500)))
    return blades * air / air.std() + 0.2 * np.sin(2 * np.pi * draw.between(200, 400) * TIME)


def alarm(draw, voices):
    """Tonal: two beeps in turn."""
    low = draw.between(800, 1400)
    turn = np.floor(draw.between(3, 7) * TIME + draw.between(0, 1))
    pitch = np.where(turn % 2 == 0, low, low * draw.between(1.2, 1.5))
    gap = (turn % 4 < 3).astype(float)
    beeps = harmonics(draw, pitch, 5, 1.5) * shape(gap, low_pass(60))
    return beeps + 0.02 * draw.gauss(LENGTH)


def hammer(draw, voices):
    """Impulsive: blows on metal that ring."""
    partials = [(draw.between(300, 4000), draw.between(15, 60)) for _ in range(6)]

    def blow(time):
        return sum(np.exp(-decay * time) * np.sin(2 * np.pi * f * time) for f, decay in partials)

    return strokes(draw, (0.1, 0.35), blow) + 0.01 * draw.gauss(LENGTH)


def murmur(draw, voices):
    """Babble: all other voices, backwards and through a wall."""
    crowd = sum(np.roll(v[::-1], int(draw.between(0, LENGTH))) / v.std() for v in voices)
    return shape(crowd, low_pass(draw.between(600, 1000)))


def passing(draw, voices):
    """Moving: something with a motor and tyres drives by; Doppler effect and level."""
    speed, distance = draw.between(12, 25), draw.between(4, 8)  # m/s, m
    along = speed * (TIME - draw.between(0.7, 1.3))
    away = np.sqrt(along**2 + distance**2)
    approach = -speed * along / away
    motor = harmonics(draw, draw.between(70, 130) / (1 - approach / 343), 30, 0.8)
    tyres = shape(draw.gauss(LENGTH), band_pass(500, 2500))
    return (motor / motor.std() + tyres / tyres.std()) / away


HEARD = (hiss, rumble, hum, warble, clicks, babble, wind, engine)
UNHEARD = (fan, alarm, hammer, murmur, passing)
KINDS = {kind.__name__: kind for kind in (*HEARD, *UNHEARD)}


def limit(x: np.ndarray) -> np.ndarray:
    """Bend the highest peaks, so that no mixture clips."""
    x = x - x.mean()
    top = 10 ** (CREST / 20) * np.sqrt(np.mean(x**2))
    return x / np.sqrt(1 + (x / top) ** 2)


def examples() -> list[dict]:
    """The rows of examples.csv: split, folder, snr_db, noise, voice, speed, pitch, text."""
    with open(HERE / "examples.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def place(root: Path, row: dict) -> Path:
    """The folder of an example."""
    return root / row["split"] / row["folder"]


def read_voice(row: dict) -> np.ndarray:
    """The integers of a committed voice, (LENGTH,)."""
    return soundfile.read(place(HERE, row) / "voice.wav", dtype="int16")[0].astype(np.int64)


def write(path: Path, x: np.ndarray) -> None:
    """A 16-bit wav of integers that fit."""
    assert np.abs(x).max() < 2**15
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, x.astype(np.int16), RATE, subtype="PCM_16")


def generator(row: dict) -> Draw:
    """The random numbers of one example, whatever the others draw."""
    return Draw(SEED, ("train", "valid", "test").index(row["split"]), int(row["folder"]))


def speak(row: dict) -> np.ndarray:
    """Speech by espeak-ng, at the level that makes the mixture as loud as drawn; integers."""
    sys.path.insert(0, str(HERE.parent))
    from local.base.audio import read, resample

    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        options = ["-v", row["voice"], "-s", row["speed"], "-p", row["pitch"], "-w", file.name]
        subprocess.run(["espeak-ng", *options, "--", row["text"]], check=True)
        x, rate = read(file.name)
    x = resample(x, rate, RATE).astype(float)
    start = int(np.argmax(np.abs(x) > ONSET * np.abs(x).max())) - int(LEAD * RATE)
    x = x[max(start, 0) :][:LENGTH]
    if len(x) < LENGTH:
        raise SystemExit(f"{row['split']}/{row['folder']}: {len(x) / RATE:.2f} s, too short a text")
    x -= x.mean()
    share = 1 / (1 + 10 ** (-float(row["snr_db"]) / 10))
    level = 10 ** (generator(row).between(*LEVELS) / 20) * np.sqrt(share)
    return np.rint(x * 2**15 * level / np.sqrt(np.mean(x**2)))


def make(out: Path) -> None:
    """Write everything but the voices' own sound, which is copied, below ``out``."""
    rows = examples()
    voices = [read_voice(row) for row in rows]
    for row, voice in zip(rows, voices, strict=True):
        others = [v for r, v in zip(rows, voices, strict=True) if r["split"] == row["split"]]
        others = [v for v in others if v is not voice]
        draw = generator(row)
        draw.between(0, 1)  # the level, which the voice has
        noise = limit(KINDS[row["noise"]](draw, others))
        energy = np.sum(voice**2) / 10 ** (float(row["snr_db"]) / 10)
        noise = np.rint(noise * np.sqrt(energy / np.sum(noise**2))).astype(np.int64)
        folder = place(out, row)
        for name, x in (("voice", voice), ("noise", noise)):
            write(folder / f"{name}.wav", x)
        write(folder / f"mix_snr_{row['snr_db']}.wav", voice + noise)
    for split in dict.fromkeys(row["split"] for row in rows):
        lines = [f"{row['folder']},{row['noise']}\n" for row in rows if row["split"] == split]
        (out / split / "groups.csv").write_text("folder,group\n" + "".join(lines))


def main() -> None:
    """Read the options and make the data."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voices", action="store_true", help="first speak the voices anew")
    parser.add_argument("--out", type=Path, default=HERE, metavar="DIR", help="where to write")
    args = parser.parse_args()
    if args.voices:
        for row in examples():
            write(place(HERE, row) / "voice.wav", speak(row))
    make(args.out)


if __name__ == "__main__":
    main()
