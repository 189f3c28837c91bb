"""The network of blstm_complex with layers that look back only."""

from local.model.separators import network_class

ComplexMaskLSTM = network_class("blstm_complex", "ComplexMaskLSTM")
