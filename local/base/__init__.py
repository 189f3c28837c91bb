"""What every room uses: settings, names of things on disk, files, faults as one line, audio.

Anything may import from here. This room imports nothing of winnow but the names of the sources,
and loads neither torch nor asteroid when it is imported.
"""
