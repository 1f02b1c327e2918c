"""The console of a host on standby, which takes over when the active host is killed."""

import signal

from playwright.sync_api import Page, expect

from deploy.local.console_client import ConsoleClient
from deploy.local.ports import find_free_port, is_listening
from deploy.local.process import Process, wait_until
from deploy.local.stack import Stack

_START_S = 45


def start_host(stack: Stack, name: str, url: str) -> Process:
    """Start one of several hosts; the first that runs is the active one."""
    _, _, port = url.rpartition(":")
    arguments = ["host", "--ha", "--port", port, "--bind", "127.0.0.1"]
    return stack._roles.start(name, arguments, stack._role_settings())


def test_a_page_of_the_standby_host_waits_and_goes_live_when_it_takes_over(
    stack: Stack, session_cookie: str, page: Page
) -> None:
    stack._roles.end("host")
    active = start_host(stack, "host", stack.console_url)
    ready = ConsoleClient(stack.console_url).is_ready
    wait_until(ready, active, timeout_s=_START_S, what="answer at /readyz")
    port = find_free_port()
    url = f"http://127.0.0.1:{port}"
    standby = start_host(stack, "standby host", url)
    wait_until(lambda: is_listening(port), standby, timeout_s=_START_S, what="listen")
    wait_until(
        lambda: page.request.get(f"{url}/readyz").json()["database"] == "ready",
        standby,
        timeout_s=_START_S,
        what="reach the database",
    )

    name, _, value = session_cookie.partition("=")
    page.context.add_cookies([{"name": name, "value": value, "url": url}])
    page.goto(f"{url}/#/Bottling/Line1/Filler")
    banner = page.get_by_test_id("link-banner")
    expect(banner).to_contain_text("This host is on standby")

    active.stop(signum=signal.SIGKILL)
    expect(banner).to_have_count(0, timeout=45_000)
    expect(page.get_by_role("heading", name="Filler")).to_be_visible()
    expect(page.get_by_test_id("host")).to_contain_text("online")
    stack._roles.end("standby host")
