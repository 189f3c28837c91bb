"""A stage as a child process, with a log of its output."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from local.base.errors import UserError

LOG = "tune.log"


def run_stage(
    stage: str, arguments: list[str], log: Path, environment: dict | None = None
) -> str | None:
    """Run ``local.<stage>`` as a child; append its output to ``log``.

    Args:
        stage: a program of ``local``.
        arguments: its words.
        log: of all that it prints.
        environment: further variables for it.

    Returns:
        None, or where it failed the line that says why, or else the last one.

    Raises:
        KeyboardInterrupt: the user stopped it, or this; the child has ended.
        SystemExit: this was told to end, by `kill` or a batch system; the child has ended.
        UserError: the log cannot be written.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        file = open(log, "a+b")  # noqa: SIM115 -- closed below
    except OSError as error:
        raise UserError(f"{log}: cannot be written: {error.strerror}") from None
    with file:
        start = file.seek(0, os.SEEK_END)
        command = [sys.executable, "-m", f"local.{stage}", *arguments]
        before = signal.signal(signal.SIGTERM, _terminate)
        child = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT,
                                 env=os.environ | (environment or {}))  # fmt: skip
        try:
            code = child.wait()
        finally:
            # stopped here but not there, as by `kill`: its files so far are complete
            child.terminate()
            child.wait()
            signal.signal(signal.SIGTERM, before)
        if code == 130:
            raise KeyboardInterrupt
        if not code:
            return None
        file.seek(start)
        text = file.read().decode(errors="replace").replace("\r", "\n")
    # a bar of progress may be drawn once more behind that line, and stand before it
    said = re.findall(rf"winnow {stage}: .*", text) or text.split("\n")
    lines = [line.strip() for line in said if line.strip()]
    return f"{lines[-1] if lines else f'exit code {code}'} (see {log})"


def _terminate(number, frame):
    raise SystemExit(128 + number)  # so that the child is ended too
