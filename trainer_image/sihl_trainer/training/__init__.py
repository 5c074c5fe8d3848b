"""Learning: the loop, its schedule, evaluation, checkpoints, and the worker process around it."""
