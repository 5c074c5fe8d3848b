"""S3 as the stores of the world speak it: how a bucket is reached, and what its answers mean.

Whoever reads or writes a store builds on it, the trainer and the dashboard; it knows neither jobs
nor records.
"""
