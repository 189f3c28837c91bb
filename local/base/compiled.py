"""Loops as machine code, where numba can be imported."""

import functools
import logging


@functools.cache
def compiled(function):
    """A function of loops as machine code; None where numba cannot be imported."""
    try:
        import numba
    except ImportError as error:
        logging.getLogger(__name__).warning(
            "%s runs without compiled code (same numbers, slower): %s", function.__module__, error
        )
        return None
    # sums may be reordered for vector instructions; NaN and inf stay unchanged
    options = {"fastmath": {"reassoc", "contract", "nsz"}}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder to keep machine code in can be written to
        return numba.njit(**options)(function)
