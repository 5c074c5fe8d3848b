"""Panoptic segmentation: a category and an object for each pixel."""
