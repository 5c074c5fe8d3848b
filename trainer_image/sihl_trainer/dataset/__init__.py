"""Datasets: metadata, what feeds each head, order, augmentation, samples, batches."""
