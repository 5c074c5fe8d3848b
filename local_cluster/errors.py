"""What the starter says when something is missing or does not come up."""


class ClusterError(Exception):
    """Names what failed, where to look, and what to do."""
