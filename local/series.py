"""Several experiments, one after the other: each is trained and then scored.

Stages 1 and 2 do the work, each a program of its own: what is done they do not do again, what was
interrupted they continue, and the memory of one is not there in the next.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from local import experiment


class Experiment(NamedTuple):
    """What stages 1 and 2 are asked for.

    Attributes:
        data: name of the data set.
        model: the recipe.
        preset: of its settings, or None.
        tag: what tells it from others, or None.
        settings: dotted key of conf.yml -> value, as on a command line.
    """

    data: str
    model: str
    preset: str | None
    tag: str | None
    settings: dict[str, str]

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return experiment.exp_dir(self.data, self.model, self.preset, self.tag)

    @property
    def log(self) -> Path:
        """What the stages said when they were last run."""
        return self.folder.parent / "series" / f"{self.folder.name}.txt"

    def command(self, stage: str) -> list[str]:
        """The words of ``python -m local.<stage>``, without settings."""
        names = {"--model": self.model, "--name": self.data, "--preset": self.preset,
                 "--tag": self.tag}  # fmt: skip
        words = [f"{option}={name}" for option, name in names.items() if name]
        return [sys.executable, "-m", f"local.{stage}", *words]


def carry_out(of: Experiment, metrics: str) -> str | None:
    """Train and score one experiment.

    Args:
        of: the experiment.
        metrics: those of stage 2, with commas between.

    Returns:
        the line that says why it failed; None: it is done.
    """
    of.log.parent.mkdir(parents=True, exist_ok=True)
    commands = [
        [*of.command("train"), *(f"--{key}={value}" for key, value in of.settings.items())],
        [*of.command("evaluate"), f"--metrics={metrics}"],
    ]
    with open(of.log, "wb") as log:
        for command in commands:
            status = _run(command, log)
            if status:
                return _last_line(of.log) if status > 0 else f"ended by signal {-status}"
    return None


def _run(command: list[str], log) -> int:
    """The exit status of a program that writes to ``log``."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
    ) as program:
        try:
            return program.wait()
        except KeyboardInterrupt:  # the program got it too: let it end in its own way
            program.wait()
            raise


def _last_line(log: Path) -> str:
    lines = re.split(r"[\r\n]+", log.read_text(encoding="utf-8", errors="replace").strip())
    return lines[-1] or f"it said nothing; see {log}"
