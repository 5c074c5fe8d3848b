"""Datasets: metadata, annotations, conversions between tasks, images, order, batches."""
