"""The network, its training and evaluation, the bundle, and the Beam model handler."""
