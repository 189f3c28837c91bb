"""What run.sh and separate.sh need before Python's packages stand: the environment and options.

It imports what of `base` needs the standard library only.
"""
