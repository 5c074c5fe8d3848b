"""Multiclass classification: one category for an image."""
