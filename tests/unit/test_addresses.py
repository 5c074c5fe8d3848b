"""What listens in a pod listens at its addresses of both families."""

from __future__ import annotations

import http.client
import socket

import pytest
from prometheus_client import CollectorRegistry

from sihl_api.runtime import ProgressReport
from sihl_operator.main import _in_url
from sihl_trainer.http import ProgressServer

FAMILIES = ["127.0.0.1", *(["::1"] if socket.has_dualstack_ipv6() else [])]


@pytest.mark.parametrize("address", FAMILIES)
def test_a_jobs_progress_is_asked_over_either_family(address: str) -> None:
    report = ProgressReport.model_construct(stage="Training")
    with ProgressServer(lambda: report, CollectorRegistry(), port=0) as server:
        connection = http.client.HTTPConnection(address, server.port, timeout=30)
        connection.request("GET", "/metrics")
        assert connection.getresponse().status == 200


@pytest.mark.parametrize(("address", "host"), [("10.0.0.7", "10.0.0.7"), ("fd00::7", "[fd00::7]")])
def test_an_address_of_ipv6_has_brackets_in_a_url(address: str, host: str) -> None:
    assert _in_url(address) == host
