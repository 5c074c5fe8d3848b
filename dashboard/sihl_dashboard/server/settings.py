"""What the Deployment is told by its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sihl_api.logs import FORMATS, TEXT
from sihl_dashboard.records import SettingsError

_PREFIX = "SIHL_DASHBOARD_"


@dataclass(frozen=True)
class Settings:
    """Each is `SIHL_DASHBOARD_` and its name.

    Attributes:
        host: HOST, the address to listen at; empty: all, of IPv4 and IPv6.
        port: PORT.
        metrics_port: METRICS_PORT, where probes and Prometheus ask, and no page is.
        stores: STORES, the file that names each namespace's store.
        assets: ASSETS, the folder that has uPlot.
        scratch: SCRATCH, a folder for indexes that may be lost; empty: in memory.
        namespaces: NAMESPACES, whose jobs are watched, with commas between; empty: all.
        accelerator: ACCELERATOR, the name of the resource that is a GPU.
        login: LOGIN, "token", or "proxy" where an authenticating proxy alone is let in.
        user_header: USER_HEADER, in which that proxy names the person.
        groups_header: GROUPS_HEADER, in which it names their groups.
        log_format: LOG_FORMAT, "text", or "json": an object a line.
    """

    host: str = ""
    port: int = 8080
    metrics_port: int = 9466
    stores: Path = Path("/etc/sihl/stores/stores.json")
    assets: Path = Path("/opt/sihl/assets")
    scratch: Path | None = None
    namespaces: tuple[str, ...] = ()
    accelerator: str = "nvidia.com/gpu"
    login: str = "token"
    user_header: str = "X-Forwarded-User"
    groups_header: str = "X-Forwarded-Groups"
    log_format: str = TEXT

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """Read them. Raises SettingsError."""

        def text(name: str, default: object) -> str:
            return environ.get(f"{_PREFIX}{name}", "").strip() or str(default)

        def port(name: str, default: int) -> int:
            found = text(name, default)
            if not (found.isdecimal() and int(found) < 65_536):
                raise SettingsError(f"{_PREFIX}{name} is a port's number")
            return int(found)

        login = text("LOGIN", cls.login)
        if login not in ("token", "proxy"):
            raise SettingsError(f"{_PREFIX}LOGIN is token or proxy")
        log_format = text("LOG_FORMAT", cls.log_format)
        if log_format not in FORMATS:
            raise SettingsError(f"{_PREFIX}LOG_FORMAT is {' or '.join(FORMATS)}")
        scratch = text("SCRATCH", "")
        return cls(
            host=text("HOST", cls.host),
            port=port("PORT", cls.port),
            metrics_port=port("METRICS_PORT", cls.metrics_port),
            stores=Path(text("STORES", cls.stores)),
            assets=Path(text("ASSETS", cls.assets)),
            scratch=Path(scratch) if scratch else None,
            namespaces=tuple(n for n in text("NAMESPACES", "").replace(" ", "").split(",") if n),
            accelerator=text("ACCELERATOR", cls.accelerator),
            login=login,
            user_header=text("USER_HEADER", cls.user_header),
            groups_header=text("GROUPS_HEADER", cls.groups_header),
            log_format=log_format,
        )
