"""What ``winnow`` needs: recordings in, voice and noise out, as files, as a stream, or exported.

Programs import from here. It imports local.model and local.base.
"""
