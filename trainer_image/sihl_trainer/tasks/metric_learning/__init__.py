"""Metric learning: embeddings that lie close together where the identity is the same."""
