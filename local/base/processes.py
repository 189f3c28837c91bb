"""Whether a process still runs, by its number, start time and machine.

A number alone is not enough: after a while, and in a container at once, the system gives it to
another process. local/shell/environment.sh, which works before there is a Python, does the same in
bash.
"""

import functools
import hashlib
import os
import platform
import subprocess
from pathlib import Path

SAME = {"LC_ALL": "C", "TZ": "UTC"}  # one form of a date, whoever asks


@functools.cache
def machine() -> str:
    """This machine's name as 8 hex digits, which any file's name can hold."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def started(pid: int) -> str | None:
    """When a process of this machine began, in digits and letters of the system's own.

    None: there is no such process, or this user may not see it.
    """
    if not Path("/proc/self/stat").exists():  # not Linux
        command = ["ps", "-o", "lstart=", "-p", str(pid)]
        said = subprocess.run(command, capture_output=True, text=True, env=os.environ | SAME)
        return "".join(filter(str.isalnum, said.stdout)) or None
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return "ended" if fields[0] in "ZX" else fields[19]  # a zombie does nothing


def runs(pid: int, since: str) -> bool:
    """Whether this machine's process that began at ``since`` still runs.

    A process hidden from this user counts as running.
    """
    found = started(pid)
    if found is not None:
        return found == since
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
