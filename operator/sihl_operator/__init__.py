"""The operator: watches TrainingJobs, pods and nodes, decides by pure functions, acts by few
writes.

    watch -> world -> decide (lifecycle, scheduling, capacity, pod: no clock, no I/O) -> act

Only `kube` and `leader` talk to the API server.
"""
