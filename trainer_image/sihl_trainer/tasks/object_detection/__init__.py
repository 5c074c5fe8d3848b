"""Object detection: boxes with categories."""
