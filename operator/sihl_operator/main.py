"""`sihl-operator`: kopf, and the process that it carries."""

from __future__ import annotations

import argparse
import gc
import logging
import sys
from typing import Any

import kopf

from sihl_api.logs import JSON, log_as_json
from sihl_api.trainingjob import GROUP, PLURAL, VERSION
from sihl_api.version import installed_version
from sihl_operator.jobwatch import settle
from sihl_operator.process import Operator
from sihl_operator.settings import read_settings

_GARBAGE_THRESHOLD = 50_000
"""Objects between two collections: thousands of jobs are millions of objects, and no garbage."""


def registry(operator: Operator) -> kopf.OperatorRegistry:
    """kopf's handlers: it watches the jobs, and carries the process's start, probes and end."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.startup(registry=handlers)
    async def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        settle(settings)
        await operator.start()

    @kopf.on.cleanup(registry=handlers)
    async def stop(**_: Any) -> None:
        await operator.stop()

    @kopf.on.login(registry=handlers)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return operator.job_watch.login()

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=handlers)
    async def saw(event: kopf.RawEvent, **_: Any) -> None:
        operator.reflector.see("job", event["type"], event["object"])

    @kopf.on.probe(id="loop", registry=handlers)
    def alive(**_: Any) -> str:
        fault = operator.fault()
        if fault:
            raise kopf.PermanentError(fault)
        return "ok"

    return handlers


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address  # IPv6


def main() -> int:
    """Run until asked to end; 2 with a line on standard error where the settings are at fault."""
    _parser().parse_args()
    try:
        settings = read_settings()
        if settings.log_format == JSON:
            log_as_json(settings.log_level)
        logging.basicConfig(
            level=settings.log_level, format="%(asctime)s %(levelname)s %(message)s"
        )
    except ValueError as error:
        print(f"sihl-operator: {error}", file=sys.stderr)
        return 2
    gc.set_threshold(_GARBAGE_THRESHOLD, 20, 50)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)  # a line for each probe
    kopf.run(
        registry=registry(Operator(settings)),
        standalone=True,
        clusterwide=not settings.watch_namespaces,
        namespaces=settings.watch_namespaces,
        liveness_endpoint=f"http://{_in_url(settings.liveness_address)}:{settings.liveness_port}/healthz",
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    """All else is said by the environment."""
    parser = argparse.ArgumentParser(prog="sihl-operator", description=__doc__)
    parser.add_argument("--version", action="version", version=f"%(prog)s {installed_version()}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
