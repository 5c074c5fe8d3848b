"""What is released, and of what it is made."""

from release.errors import ReleaseError

__all__ = ["ReleaseError"]
