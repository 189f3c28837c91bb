"""The options of run.sh, and what --help says of them.

Standard library only and any Python from 3.8 on, as local/shell/options.py.
"""

from __future__ import annotations

from typing import NamedTuple

STAGES = ("prepare", "train", "evaluate", "report", "compare")
NAMES = ", ".join(f"{number} {name}" for number, name in enumerate(STAGES))


class Option(NamedTuple):
    """An option: its kind of value (None: it takes none), and the stages whose programs take it."""

    name: str
    kind: str | None
    meaning: str
    stages: tuple[int, ...] = ()


OPTIONS = (
    Option("stage", "STAGE", "first stage to run; default 0"),
    Option("stop-stage", "STAGE", "last stage to run; default 4"),
    Option("model", "NAME", "recipe to run; default convtasnet, alone what ships"),
    Option("preset", "NAME", "some of its settings otherwise: tiny, small, ..."),
    Option("data", "DIR", "triplets or a corpus; default the embedded egs_data"),
    Option("name", "WORD", "name of the data set; default the last part of DIR"),
    Option("voices", "DIR", "instead of --data, a folder per speaker", (0,)),
    Option("noises", "DIR", "noises to mix the voices with", (0,)),
    Option("rooms", "DIR", "impulse responses of rooms for the voices", (0,)),
    Option("snrs", "LIST", "of the mixtures; default -5,0,5,10,15", (0,)),
    Option("tag", "WORD", "tells this experiment from others of the recipe"),
    Option("corpus", "NAME", "layout of DIR; default as it looks, e.g. wham", (0,)),
    Option("channel", "N", "which channel of the files, the first is 0", (0,)),
    Option("max-rejected", "PERCENT", "how much of the data may be rejected", (0,)),
    Option("restart", None, "train anew, forget what was trained", (1,)),
    Option("init", "WEIGHTS", "start from a recipe or file, --refit: anew", (1,)),
    Option("refit", None, "", (1,)),
    Option("metrics", "LIST", "which metrics, such as all,dnsmos", (2,)),
    Option("engine", "fast|museval", "who computes BSS Eval", (2,)),
    Option("jobs", "COUNT", "processes that score at the same time", (2,)),
    Option("scheduler", "ADDRESS", "Dask cluster that scores", (2,)),
    Option("device", "DEVICE", "auto, cpu, cuda or mps", (2, 3, 4)),
    Option("num-examples", "N", "examples per SNR to listen to on the page", (3,)),
    Option("tune", None, "search for settings; with --help: how"),
    Option("python", "PATH", "use this interpreter, install nothing"),
    Option("test", None, "run the tests, with --slow all; after -- for pytest"),
    Option("slow", None, ""),
    Option("list", None, "show the recipes; --help shows this"),
    Option("help", None, ""),
)
"""An option with stages is handed to their programs; one without a meaning of its own is
named in that of another."""
CHOICES = {"model", "data", "voices", "preset"}
"""Options without any of which the weights that ship have a first look at the embedded data."""
FOLDERS = ("voices", "noises", "rooms")
"""Options of stage 0 whose folders are seen from where the user stands."""

TUNE = (
    Option("sampler", "tpe|random|grid", "default tpe; without a range a grid"),
    Option("trials", "N", "end at so many; default 20, of a grid all"),
    Option("hours", "HOURS", "begin no trial after so many hours of trials"),
    Option("objective", "voice|noise|both", "whose SI-SDR; default voice"),
    Option(
        "pruner", "median|hyperband|none", "ends trainings early; default median, of a grid none"
    ),
    Option("files", "COUNT", "score so many mixtures of valid; default all"),
    Option("storage", "URL", "Optuna's; default a file in exp/DATA/tune"),
    Option("evaluate", None, "at the end, score all trials on the test split"),
)
"""Options of local/tune.py, which takes the place of the stages from 1 on."""

HOW = """./run.sh --tune [OPTION]... --SECTION.KEY VALUES...

Search for settings: stage 0, then trials that the validation split judges.
VALUES: 16,32,64 or '16|32|64': each; 0.1..0.9: between the two; log:1e-4..1e-2:
the same over the logarithm; one value: set for all. Keys that go together:
--model.window,model.hop '512,128|1024,256'. Several recipes: --model a,b.
--seed 0,1,2: each trial with all of them. Without VALUES, those in conf.yml.
The same command continues. With --stage 1 the data are there already."""

TOP = """./run.sh [OPTION]... [--SECTION.KEY VALUE]...
Without options: a first look at the weights that ship, on embedded data.
Settings of recipes/*.yml go by their dotted names: --optim.lr 3e-4.
Stages: {}."""
