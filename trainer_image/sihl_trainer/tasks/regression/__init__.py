"""Regression: one number for an image."""
