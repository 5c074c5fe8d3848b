"""How the API server is reached: its address, whom to believe, and as whom; from files read anew.

A pod's token is replaced every hour, a cluster's certificate authority every few years; a process
that keeps what it read at its start is then refused, or believes nobody any more.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kubernetes import client, config
from kubernetes.config import ConfigException

log = logging.getLogger(__name__)

_READ_SECONDS = 60.0
_DOUBTED_SECONDS = 1.0


class Access:
    """What a call needs beside its path.

    Args:
        monotonic: Seconds that only grow.

    Raises:
        ConfigException: There is no configuration of a pod's, nor a kubeconfig.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._read_at = self._due = 0.0
        self._files: tuple[bytes, ...] | None = None
        self._read()

    def doubt(self) -> None:
        """What was read last may not hold any more: the next call reads anew."""
        self._due = min(self._due, self._read_at + _DOUBTED_SECONDS)

    def refresh(self) -> None:
        """Read anew what was read a while ago; what cannot be read stays as it was."""
        if self._monotonic() < self._due:
            return
        try:
            self._read()
        except (ConfigException, OSError, ssl.SSLError) as error:
            self._due = self._monotonic() + _DOUBTED_SECONDS
            log.warning("how to reach the API server cannot be read anew: %s", error)

    @property
    def authorization(self) -> dict[str, str]:
        """The header that says as whom."""
        return {"Authorization": self._token} if self._token else {}

    def _read(self) -> None:
        configuration = _configuration()
        files = _files(configuration)
        if files != self._files:  # else connections would be made anew
            self.tls = _tls(configuration)
            self._files = files
        self.host = str(configuration.host)
        self._token = _token(configuration)
        self._read_at = self._monotonic()
        self._due = self._read_at + _READ_SECONDS


def _configuration() -> Any:
    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)
    except ConfigException:
        config.load_kube_config(client_configuration=configuration)
    return configuration


def _token(configuration: Any) -> str:
    # Releases of the client after 36.0 keep it under the first name, earlier ones under the second.
    return configuration.get_api_key_with_prefix("BearerToken", "authorization") or ""


def _files(configuration: Any) -> tuple[bytes, ...]:
    """What a TLS context is made of."""
    paths = configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file
    return tuple(Path(path).read_bytes() if path else b"" for path in paths)


def _tls(configuration: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(Path(configuration.cert_file), configuration.key_file)
    return context
