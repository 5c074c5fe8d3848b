"""The dashboard's server: who asks, what they may see, and what the records and the cluster tell.

Nothing is kept but what can be read again: `records` answers from the store, `cluster` mirrors the
API server's jobs and nodes, `hub` knows what changed. Every route says in `routes` what a person
must be allowed before its handler runs.
"""
