"""What every room uses: settings, paths, files, one-line errors, audio.

Anything may import from here. This room imports nothing of winnow but the names of the sources,
and loads neither torch nor asteroid when it is imported.
"""
