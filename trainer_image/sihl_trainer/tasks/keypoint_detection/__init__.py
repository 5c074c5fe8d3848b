"""Keypoint detection: instances whose parts are points."""
