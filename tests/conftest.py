"""What holds for all tests: how many threads they use, and that no clock fails them."""

import os

from hypothesis import settings

# Before torch is loaded: threads that spin while they wait slow down everything beside them.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A machine that is slow for a moment is no failure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
