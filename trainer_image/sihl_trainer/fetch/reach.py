"""How a dataset's store is asked: for how long, with which keys, and what its faults mean.

Each is told as what it means for the job: its fields are wrong (`BadConfig`), the store refuses its
keys (`Refused`) or is away (`Unavailable`), or an object changed under our hands (`Changed`) or
cannot be read (`BadData`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from obstore import exceptions

from sihl_api.dataset import S3Location
from sihl_api.runtime import ExitCode
from sihl_s3.access import Identity, Keys
from sihl_s3.answers import Fault, FaultError, Kind
from sihl_s3.client import Connection
from sihl_trainer.errors import BadConfig, BadData, Refused, TrainerError, Unavailable
from sihl_trainer.fetch.location import access_of
from sihl_trainer.fetch.mover import Mover
from sihl_trainer.record.retry import persist

T = TypeVar("T")

PATIENCE = 120.0
"""Seconds that a store may be away before the fetch gives up."""
AT_FIRST = 30.0
"""The same of one that has not answered yet: the pod has nothing to lose, and holds its GPUs."""
BRIEFLY = 5.0
"""The same where asking again soon is of little use, but for a name server that was busy."""
THREADS = 16


class Changed(TrainerError):  # noqa: N818 (as in `errors`)
    """An object is not the one that was listed; a later attempt lists again."""

    exit_code = ExitCode.UNAVAILABLE


class Reach:
    """A way to a store. Thread-safe.

    Args:
        location: Which, and how it is reached.
        keys: None reads anonymously.
        patience: Seconds that the store may be away before a request counts as failed; one that
            has answered may also refuse for so long, since new keys are a while on their way.
        renewed: The keys as the Secret has them by now; asked when the store refuses.

    Attributes:
        connection: Asks, by the keys that are known last.
        mover: Reads bytes, likewise.

    Raises:
        BadConfig: The location is no store's.
    """

    def __init__(
        self,
        location: S3Location,
        keys: Keys | Identity | None,
        patience: float,
        renewed: Callable[[], Keys | Identity | None],
    ) -> None:
        self._location = location
        self._patience = patience
        self._renewed = renewed
        self._renewing = threading.Lock()
        self._answered = False
        self._use(keys)

    def ask(self, what: str, request: Callable[[], T]) -> T:
        """What the store answers, asked again for as long as there is patience.

        Args:
            what: For a person, as after "to": `list images/`.
            request: Asks once.

        Raises:
            TrainerError: What a fault means for the job.
        """
        patience = self._patience if self._answered else min(self._patience, AT_FIRST)
        deadline = time.monotonic() + patience
        soon = time.monotonic() + min(self._patience, BRIEFLY)

        def ask() -> T:
            nonlocal deadline
            try:
                found = request()
            except FaultError as error:
                if error.fault.at_once:
                    deadline = soon
                raise self._explained(error.fault, what) from error
            except (exceptions.PreconditionError, FileNotFoundError) as error:
                raise _changed(what) from error  # the latter is obstore's name for a missing object
            self._answered = True
            return found

        def persistently() -> T:
            try:
                return ask()
            except Refused as refused:
                if not self._renew() and not self._answered:
                    raise
                raise Unavailable(refused.reason, refused.message) from refused

        return persist(persistently, f"To {what}", lambda: deadline)

    def _renew(self) -> bool:
        """Whether the Secret has other keys by now, which are used from here on."""
        with self._renewing:
            keys = self._renewed()
            if keys == self._keys:
                return False
            self._use(keys)
            return True

    def _use(self, keys: Keys | Identity | None) -> None:
        self._keys = keys
        try:
            self.connection = Connection(
                access_of(self._location, keys), attempts=2, connections=THREADS
            )
        except FaultError as error:
            raise self._explained(error.fault, "") from error
        self.mover = Mover(self.connection)

    @property
    def where(self) -> str:
        """The store, for a person."""
        return f"bucket {self._location.bucket} at {self._location.endpoint}"

    def _explained(self, fault: Fault, what: str) -> TrainerError:
        """What a fault means for the job."""
        reason = f"Dataset{fault.name}"
        text = f"{self.where} {fault.when(what)}: {fault.remedy}"
        match fault.kind:
            case Kind.MISSING:
                return _changed(what)
            case Kind.DENIED:
                return self._denied(fault, what)
            case Kind.NO_BUCKET:
                text = f"there is no {self.where}: correct the dataset's bucket or endpoint"
                return BadConfig(reason, text)
            case Kind.SETTING:
                return BadConfig(reason, f"{text}, in the dataset's location")
            case Kind.OBJECT:
                return BadData(reason, text)
            case Kind.OBSTRUCTED:
                return Refused(reason, text)
            case Kind.AWAY | Kind.UNCHANGED:
                check = "check the dataset's endpoint and region, and that the store is well"
                return Unavailable(reason, text if fault.remedy else f"{text}{check}")

    def _denied(self, fault: Fault, what: str) -> TrainerError:
        text = f"{self.where} refused to {what} ({fault.detail}): "
        credentials = self._location.credentials
        if credentials is None:
            text += "give the dataset credentials, a Secret or the pod's service account: it was "
            text += "read anonymously"
            return BadConfig("DatasetAccessDenied", text)
        if not self._answered and self.connection.is_paid_by_reader():
            text += "it is one whose readers pay (requester pays), which is not supported: copy it"
            return BadConfig("DatasetRequesterPays", text)
        if isinstance(self._keys, Identity):
            text += fault.remedy or (
                f"grant {self._keys.who} read and list, or correct the dataset's bucket"
            )
            return Refused("DatasetAccessDenied", text)
        secret = f"Secret {credentials.secret_name}"
        text += (
            f"{fault.remedy} ({secret})"
            if fault.remedy
            else f"correct accessKeyId and secretAccessKey in {secret}, grant them read and list, "
            "or correct the dataset's bucket"
        )
        return Refused("DatasetAccessDenied", text)


def _changed(what: str) -> Changed:
    return Changed(
        "DatasetChanged",
        f"the dataset changed while it was fetched (asked to {what}): it is fetched anew; leave it "
        "as it is meanwhile",
    )
