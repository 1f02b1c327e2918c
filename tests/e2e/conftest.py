"""The whole suite, running, and a browser in front of its console."""

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    expect,
    sync_playwright,
)

from deploy.local.console_build import build_console, needs_console
from deploy.local.settings import Settings
from deploy.local.stack import Ports, Stack

_WAIT_MS = 15_000
# Root needs --no-sandbox; the rest keeps Chromium from calling home.
_BROWSER_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def stack(make_open_folder: Callable[[str], Path]) -> Iterator[Stack]:
    """Run plant, broker, database, historian, host and edge node."""
    if needs_console():
        build_console(Path(sys.prefix), print)
    folder = make_open_folder("stack")
    running = Stack(
        settings=Settings(
            database_url=None,
            mqtt_url=None,
            mqtt_username=None,
            mqtt_password=None,
            topic_prefix=None,
            host_id="nexus",
            console_password="a password for this run",
        ),
        ports=Ports(0, 0, 0),
        broker=None,
        folder=folder,
        log_level="info",
        say=lambda _: None,
        stopping=threading.Event(),
    )
    try:
        running.start()
        yield running
    finally:
        running.stop()
        running.close()


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    """Start one Chromium for a module; an event loop of its own runs until it is closed."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=chromium_path, args=_BROWSER_ARGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def session_cookie(stack: Stack, browser: Browser) -> str:
    """Sign in once for all tests: the host lets nobody try more than a few times a minute."""
    context = browser.new_context()
    answer = context.request.post(
        f"{stack.console_url}/api/v1/session",
        data={"username": "admin", "password": stack.settings.console_password},
    )
    assert answer.ok, answer.text()
    (cookie,) = context.cookies()
    context.close()
    return f"{cookie['name']}={cookie['value']}"


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Give a browser that nobody has used before."""
    fresh = browser.new_context(viewport={"width": 1440, "height": 900})
    fresh.set_default_timeout(_WAIT_MS)
    expect.set_options(timeout=_WAIT_MS)
    yield fresh
    fresh.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """Give an empty page on which no script may fail and no policy be broken."""
    fresh = context.new_page()
    failures: list[str] = []
    fresh.on("pageerror", lambda error: failures.append(str(error)))
    fresh.on(
        "console",
        lambda said: failures.append(said.text) if "Content Security Policy" in said.text else None,
    )
    yield fresh
    assert failures == []
