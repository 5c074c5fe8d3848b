"""Bytes and geometry, and no task: documents, images, letterbox, names."""
