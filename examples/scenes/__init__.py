"""Composes images of real handwritten digits, with exact annotations for every task.

`source` has the digits and `files` writes what a dataset is made of; `glyphs` and `compose` draw;
`singles`, `scenes`, `text`, `depth` and `anomalies` make the datasets that `examples/digits.py`
offers.
"""
