"""Quadrilateral detection: four corners with a category."""
