"""`kubectl sihl`: training jobs on the command line.

What is printed, what a `--set` does and which exit code a job's end has are decided by functions
of values; `cluster` alone speaks with the API server, `store` alone says where records lie.
"""
