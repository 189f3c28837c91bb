"""The network of demucs with layers that look back only."""

from local.model.separators import network_class

Demucs = network_class("demucs", "Demucs")
