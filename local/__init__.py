"""What all recipes of winnow share, file by file in the order of the stages.

prepare -> train -> evaluate -> report -> compare
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: recipes are found below it."""

SOURCES = ("voice", "noise")
"""The sources of every mixture, in the order of every tensor (batch, source, time)."""
