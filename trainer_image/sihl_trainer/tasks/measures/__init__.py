"""Measuring instruments: small states that are updated, merged across ranks, and read at last."""
