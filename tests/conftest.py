"""How many threads tests may use: they run beside each other, and with workers of their own."""

import os

# Before torch is loaded: threads that spin while they wait slow down everything beside them.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OMP_NUM_THREADS", "1")
