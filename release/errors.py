"""What stands in the way of a release."""


class ReleaseError(Exception):
    """What is missing or failed, in a line for a person, with the remedy."""
