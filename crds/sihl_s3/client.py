"""A bucket, asked: what comes of a request, or what it means that nothing does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from sihl_s3.access import Access, Identity
from sihl_s3.answers import Fault, FaultError, Kind, fault_of_code
from sihl_s3.boto import new_client
from sihl_s3.lending import Lender
from sihl_s3.listings import Listings
from sihl_s3.transport import fault_of_reading, fault_of_transport

T = TypeVar("T")


class Connection:
    """A bucket's client. Where no region was named, it takes the one that the store names.

    Thread-safe.

    Args:
        access: Where the bucket is, and as whom it is asked.
        attempts: How often one request is tried before it counts as failed.
        connect_timeout: Seconds that the store may take to accept a connection.
        read_timeout: Seconds that it may leave one silent.
        connections: How many at a time.
        validates: Whether boto3 checks each request's parameters.

    Raises:
        FaultError: Something of it can be no store's.
    """

    def __init__(
        self,
        access: Access,
        attempts: int = 3,
        connect_timeout: float = 5,
        read_timeout: float = 30,
        connections: int = 10,
        validates: bool = True,
    ) -> None:
        self.access = access
        self._named = access.region
        self._learning = threading.Lock()
        self._options: dict[str, Any] = {
            "retries": {"mode": "standard", "total_max_attempts": attempts},
            "connect_timeout": connect_timeout,
            "read_timeout": read_timeout,
            "max_pool_connections": connections,
            "parameter_validation": validates,
        }
        self._listings = Listings(self.ask, access.bucket)
        self.lender = Lender(access) if isinstance(access.keys, Identity) else None
        """Who has the keys, where the bucket is asked by a pod's identity."""
        self.client = self._new_client(access)

    def ask(self, request: Callable[[Any], T]) -> T:
        """Do what is asked of the client.

        Once more where the store names the bucket's region, or refuses keys that were lent long
        ago.

        Raises:
            FaultError: It came to nothing.
        """
        used = self.client
        try:
            return told(lambda: request(used), self.access)
        except FaultError as error:
            if not (self._learn(error.fault.region, used) or self._lends_anew(error.fault)):
                raise
        return told(lambda: request(self.client), self.access)

    def pages(self, **query: Any) -> Iterator[dict[str, Any]]:
        """The pages of a listing. Raises FaultError, where it came to nothing."""
        return self._listings.pages(**query)

    def is_paid_by_reader(self) -> bool:
        """Whether a bucket that refuses lets those in who say that they pay for what they ask.

        Its refusal does not tell that from missing rights. The request costs a few millionths.
        """
        try:
            self.client.list_objects_v2(
                Bucket=self.access.bucket, MaxKeys=1, RequestPayer="requester"
            )
        except Exception:  # whatever it is, the refusal is told as it was
            return False
        return True

    def _lends_anew(self, fault: Fault) -> bool:
        return fault.kind is Kind.DENIED and self.lender is not None and self.lender.forget()

    def _new_client(self, access: Access) -> Any:
        lent = self.lender.resolver if self.lender else None
        return new_client(access, self._options, lent)

    def _learn(self, region: str, used: Any) -> bool:
        """Whether there is a client for this region by now, and it is not the one that was used."""
        if self._named or not region:
            return False
        with self._learning:
            if self.client is used and region != self.access.signing_region:
                within = self.access.within(region)
                with suppress(FaultError):  # a name that no client takes is told as it is
                    self.client, self.access = self._new_client(within), within
            return self.client is not used


def told(request: Callable[[], T], access: Access) -> T:
    """Ask boto3 for it; an error of its becomes what it means.

    Raises:
        FaultError: It came to nothing.
    """
    try:
        return request()
    except Exception as error:
        if fault := _fault(error, access):
            raise FaultError(fault) from error
        raise


def _fault(error: BaseException, access: Access) -> Fault | None:
    if isinstance(error, FaultError):
        return error.fault
    cause = error.__cause__ or error.__context__
    if type(error).__name__ in ("S3UploadFailedError", "RetriesExceededError") and cause:
        return _fault(cause, access)  # boto3 wraps what went wrong while it moved a file
    if isinstance(error, ClientError):
        said, meta = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
        code, message = str(said.get("Code", "")), str(said.get("Message", ""))
        return fault_of_code(
            code or str(meta.get("HTTPStatusCode", "")),
            message,
            str(error.operation_name),
            meta.get("HTTPHeaders", {}),
            access,
        )
    if isinstance(error, BotoCoreError | HTTPClientError | OSError):
        return fault_of_transport(error, access)
    if type(error).__name__ in ("ResponseParserError", "RetriesExceededError"):
        return fault_of_transport(error, access)
    if isinstance(error, LookupError | ValueError | TypeError):
        return fault_of_reading(error)
    return None
