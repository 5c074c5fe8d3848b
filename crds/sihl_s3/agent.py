"""Keys that an agent of the pod's node has for its service account, asked for once."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import MetadataRetrievalError
from botocore.httpsession import URLLib3Session
from botocore.utils import ContainerMetadataFetcher, parse_timestamp

from sihl_s3.access import Keys, PodIdentity
from sihl_s3.answers import FaultError
from sihl_s3.identity import fault_of_agent
from sihl_s3.sts import token_of

TIMEOUT_SECONDS = 5
"""The agent asks the cloud in its turn, which may take longer than botocore's two seconds."""


def keys_of_agent(identity: PodIdentity) -> tuple[Keys, float | None]:
    """Keys, and for how many seconds they last by this node's clock, which is the agent's.

    Botocore's own fetcher asks, by no proxy, and at no address but the agents' own and this
    machine's, unless it is https.

    Raises:
        FaultError: There are none.
    """
    token = token_of(identity)
    fetcher = ContainerMetadataFetcher(URLLib3Session(timeout=TIMEOUT_SECONDS))
    try:
        found = fetcher.retrieve_full_uri(identity.endpoint, headers={"Authorization": token})
        keys = Keys(found["AccessKeyId"], found["SecretAccessKey"], found.get("Token", ""))
        return keys, _lasting(found)
    except MetadataRetrievalError as error:
        said = str(error.kwargs.get("error_msg", error))
        refused = re.search(r"non 200 response (\d+) from container metadata: ?(.*)", said, re.S)
        status, message = (int(refused[1]), refused[2]) if refused else (None, said)
        raise FaultError(fault_of_agent(status, message, identity, token)) from error
    except (ValueError, LookupError, TypeError) as error:
        what = f"is no agent's: {type(error).__name__}: {error}"
        raise FaultError(fault_of_agent(400, what, identity, token)) from error


def _lasting(found: dict[str, Any]) -> float | None:
    ends = found.get("Expiration")
    return max(1.0, (parse_timestamp(ends) - datetime.now(UTC)).total_seconds()) if ends else None
