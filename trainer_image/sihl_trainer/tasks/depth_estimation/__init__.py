"""Depth estimation: a distance for each pixel."""
