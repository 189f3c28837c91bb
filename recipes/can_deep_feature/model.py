"""The network of can, for the loss that its paper is about."""

from local.model.separators import network_class

ContextAggregation = network_class("can", "ContextAggregation")
