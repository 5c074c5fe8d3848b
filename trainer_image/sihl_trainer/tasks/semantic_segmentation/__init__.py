"""Semantic segmentation: a category for each pixel."""
