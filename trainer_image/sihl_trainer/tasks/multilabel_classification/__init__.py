"""Multilabel classification: any number of labels for an image."""
