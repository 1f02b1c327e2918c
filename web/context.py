"""What the request handlers work with, and how they get at it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

from quart import current_app

from historian.queries import History
from host_app.audit import Audit
from host_app.database import Database
from host_app.leader import Leadership
from host_app.service import HostService
from host_app.users import Users
from web.live import LiveHub

STATIC: Final = Path(__file__).parent / "static"
_KEY: Final = "nexus"


@dataclass(frozen=True, slots=True)
class WebOptions:
    """How the console is reached.

    Attributes:
        public_url: as browsers see it when a proxy stands before it, e.g. ``https://plant.example``.
        tls: whether the host itself speaks TLS.
        static: folder of the built page.
        session_s: how long a sign-in lasts.
    """

    public_url: str | None = None
    tls: bool = False
    static: Path = STATIC
    session_s: int = 12 * 3600

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach the console through TLS."""
        return self.tls or (self.public_url or "").startswith("https://")

    @property
    def public_netloc(self) -> str | None:
        """Host and port of ``public_url``."""
        return None if self.public_url is None else urlsplit(self.public_url).netloc.lower()


@dataclass(frozen=True, slots=True)
class WebContext:
    """The parts of the host that the web uses."""

    service: HostService
    users: Users
    audit: Audit
    database: Database
    hub: LiveHub
    options: WebOptions
    leadership: Leadership | None = None
    history: History | None = None

    @property
    def is_standby(self) -> bool:
        """Whether another host is the active one."""
        return self.leadership is not None and not self.leadership.is_active


def set_context(extensions: dict[str, object], context: WebContext) -> None:
    """Attach the context to an application."""
    extensions[_KEY] = context


def context() -> WebContext:
    """Return the context of the current application."""
    return cast("WebContext", current_app.extensions[_KEY])
