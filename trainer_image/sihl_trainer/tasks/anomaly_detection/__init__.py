"""Anomaly detection: what looks odd, learnt from normal images alone."""
