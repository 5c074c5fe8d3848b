"""Autoencoding: images drawn again from their features, the hidden parts too."""
