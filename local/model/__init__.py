"""One separator, whole: built from settings, saved, loaded by name, made fast, applied.

Programs, training, scoring and separation build and load here and nowhere else. It imports only
local.base.
"""
