"""Brings a dataset from S3 to the pod's disk, and checks it before a GPU waits for it."""
