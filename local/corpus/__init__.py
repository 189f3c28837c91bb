"""Triplets on disk: their files, the tree they lie in, and the manifest that stage 0 writes.

Every room above reads triplets through ``manifest`` alone. It imports only local.base.
"""
