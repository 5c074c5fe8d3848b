"""`make demo`: a cluster, the operator, and three training jobs on real images."""
