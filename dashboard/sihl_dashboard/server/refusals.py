"""Why a request is not answered as it was asked, each with the remedy that a person is told."""

from __future__ import annotations


class RefusalError(Exception):
    """An answer of another status than 200.

    Args:
        message: What is wrong, for a person.
        remedy: What to do about it.
    """

    status = 400
    code = "bad-request"

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message, self.remedy = message, remedy


class BadRequestError(RefusalError):
    """What was asked can be none."""


class UnknownPersonError(RefusalError):
    """Nobody has said who asks, or not so that it can be believed."""

    status = 401
    code = "log-in"

    def __init__(self, message: str = "you are not logged in", remedy: str = "log in") -> None:
        super().__init__(message, remedy)


class ForbiddenError(RefusalError):
    """The request is not one that this person's own page made, or the API server forbids it."""

    status = 403
    code = "forbidden"


class NotThereError(RefusalError):
    """There is no such thing, or none that this person may see: nobody is told which."""

    status = 404
    code = "not-found"

    def __init__(
        self,
        message: str = "there is nothing here",
        remedy: str = "check the address; what you may not see looks the same as what is not there",
    ) -> None:
        super().__init__(message, remedy)


class ConflictError(RefusalError):
    """It is taken, or has changed since it was seen."""

    status = 409
    code = "conflict"


class InvalidError(RefusalError):
    """The API server does not take the job."""

    status = 422
    code = "invalid"


class UndecidedError(RefusalError):
    """Nobody can say now; later perhaps. What is undecided is closed."""

    status = 503
    code = "undecided"

    def __init__(self, message: str, remedy: str = "try again in a moment") -> None:
        super().__init__(message, remedy)


class StoreUnreadableError(UndecidedError):
    """The store does not answer, or not to this server."""

    code = "store-away"
