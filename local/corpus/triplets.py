"""Trees of triplets: a voice, a noise and their mixtures in each numbered folder.

::

    <root>/{train,test[,valid]}/<number>/mix_snr_<XX>.wav, voice.wav, noise.wav

A folder may hold several mixtures of its voice and noise; XX is the SNR in dB (5, -5, +5, 0.1,
05). ``scan`` lists the folders of a split; ``look`` checks one of them: names and headers first,
then the samples. The data are never changed.

How far a fault reaches: that of a mixture costs this mixture; that of ``voice.wav`` or
``noise.wav``, or an extra wav (which one is meant?), costs the folder. Two mixtures of a folder at
one SNR (``mix_snr_5.wav``, ``mix_snr_+5.wav``) and two folders of one number (``1``, ``0001``)
would be one example twice: the shortest name stays, the others are duplicates. Hidden files (a
dot first) and files that are no wav are ignored.
"""

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from local import SOURCES
from local.base.file_kind import irregular
from local.base.names import shown
from local.corpus.manifest import Row
from local.corpus.sums import SILENT, Fit, Look, Rejection, alike, check_snr, fit, gram, is_silent
from local.corpus.wav import Fault, Wav

NUMBER = re.compile(r"[0-9]{1,32}")  # names of files on a page are made of it and of XX
MIX = re.compile(r"mix_snr_(?=.{1,32}$)([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))")


def scan(root: Path, split: str) -> tuple[list[str], list[Rejection]]:
    """The folders of a split in numeric order, and the faults of what else is in it.

    Raises:
        OSError: the split cannot be listed.
    """
    folders, rejections = {}, []
    with os.scandir(root / split) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".")]
    for entry in sorted(visible, key=lambda entry: _shortest_first(entry.name)):
        name, what = shown(entry.name), irregular(entry.path)
        if what not in (None, "a folder"):
            if _is_wav(name) or NUMBER.fullmatch(name):
                fault = "no regular file", "a folder", what
                rejections.append(Rejection(split, "", name, *fault))
        elif what is None:
            if _is_wav(name):
                fault = "extra wav file", "wavs in numbered folders", "a wav beside them"
                rejections.append(Rejection(split, "", name, *fault))
        elif not NUMBER.fullmatch(name):
            fault = "folder that is no number", "a number such as 0001", name
            rejections.append(Rejection(split, name, "", *fault))
        elif int(name) in folders:
            fault = "duplicate id", "each number once", f"{folders[int(name)]} and {name}"
            rejections.append(Rejection(split, name, "", *fault))
        else:
            folders[int(name)] = name
    return [folders[number] for number in sorted(folders)], rejections


def look(root: Path, split: str, folder: str, channel: int | None = None) -> Look:
    """The good examples in the folder ``<root>/<split>/<folder>``, and its faults.

    Args:
        channel: which channel of the files to take, counted from 0; None where they have one.

    Returns:
        its examples by SNR (their group is the folder) and its faults.
    """
    place, rejections = root / split / folder, []

    def reject(file: str, *fault: str) -> None:
        rejections.append(Rejection(split, folder, *map(shown, (file, *fault))))

    try:
        wavs = sorted(filter(_is_wav, os.listdir(place)), key=_shortest_first)
    except OSError as error:
        reject("", "unreadable file", "a folder that can be listed", str(error.strerror))
        return Look(1, [], rejections, [])
    sources, mixes = _read_names(wavs, reject)
    files, fits = {}, {}
    if all(_is_mix(rejection.file) for rejection in rejections):
        with contextlib.ExitStack() as stack:
            for file in (*sources, *mixes):
                try:
                    files[file] = stack.enter_context(Wav(place / file, channel))
                except Fault as fault:
                    reject(file, *fault.args)
            fits = _listen(files, sources, mixes, reject)
    examples = []
    for file, found in fits.items():
        xx, wav = mixes[file], files[file]
        paths = [f"{split}/{folder}/{name}" for name in (file, *sources)]
        snr_db = round(found.snr_db, 3) + 0.0  # the sum makes 0 of -0
        gains = found.voice_gain, found.noise_gain, snr_db
        level = float(xx) + 0.0  # as above
        row = Row(f"{folder}_{xx}", level, *paths, wav.rate, wav.frames, *gains, folder)
        examples.append((row, found))
    examples.sort(key=lambda example: example[0].snr_db)
    unclosed = [f"{split}/{folder}/{file}" for file, wav in files.items() if wav.unclosed]
    return Look(max(1, sum(map(_is_mix, wavs))), examples, rejections, unclosed)


def _read_names(wavs: list[str], reject: Callable) -> tuple[list[str], dict[str, str]]:
    """The roles of the wavs: the files of the sources in their order, and mixture -> XX."""
    stems, mixes = {}, {}
    for file in wavs:
        stem = file[: -len(".wav")]
        if stem in SOURCES and stem not in stems:
            stems[stem] = file
        elif not _is_mix(file):
            reject(file, "extra wav file", "voice.wav, noise.wav, mix_snr_XX.wav", file)
        elif not MIX.fullmatch(stem):
            reject(file, "name that cannot be read", "mix_snr_XX.wav, XX in dB", file)
        else:
            xx = MIX.fullmatch(stem)[1]
            same = [other for other, number in mixes.items() if float(number) == float(xx)]
            if same:
                reject(file, "duplicate id", f"one mixture at {float(xx):g} dB", f"{same[0]} too")
            else:
                mixes[file] = xx
    for stem in SOURCES:
        if stem not in stems:
            reject(f"{stem}.wav", "missing file", f"{stem}.wav", "no such file")
    if not any(map(_is_mix, wavs)):
        reject("mix_snr_XX.wav", "missing file", "a mixture", "no such file")
    return [stems[stem] for stem in SOURCES if stem in stems], mixes


def _listen(
    files: dict[str, Wav], sources: list[str], mixes: dict[str, str], reject: Callable
) -> dict[str, Fit]:
    """The mixtures with correct rate, length and samples."""
    if not set(sources) <= set(files):
        return {}
    files = alike(files, reject)
    if not set(sources) <= set(files):
        return {}
    products, faults = gram(files)
    frames = files[sources[0]].frames
    for i, file in enumerate(sources, 1):
        if file not in faults and is_silent(products, i, frames):
            faults[file] = Fault(*SILENT)
    fits = {}
    for i, file in enumerate(files, 1):
        if file in mixes and not faults.keys() & {*sources, file}:
            rows = [1, 2, i]
            try:
                fits[file] = fit(products[np.ix_(rows, rows)], frames)
                check_snr(fits[file], float(mixes[file]))
            except Fault as fault:
                faults[file] = fault
    for file, fault in faults.items():
        reject(file, *fault.args)
    return {file: found for file, found in fits.items() if file not in faults}


def _is_wav(name: str) -> bool:
    return name.lower().endswith(".wav") and not name.startswith(".")


def _is_mix(name: str) -> bool:
    return name.startswith("mix")


def _shortest_first(name: str) -> tuple[int, str]:
    return len(name), name
