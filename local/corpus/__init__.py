"""Triplets and corpora on disk: their files, how they lie, and the manifest that stage 0 writes.

Every room above reads them through ``manifest`` alone. It imports only local.base.
"""
