"""What separators are built of: STFT, masks, spectral gains, noise estimators, a U-Net's layers.

Recipes import from here. It imports only local.base.
"""
