"""The console's REST interface as the demo uses it: is it ready, how many nodes does it see."""

import http.cookiejar
import json
import urllib.error
import urllib.request
from http import HTTPStatus


class ConsoleClient:
    """Talks to one host application.

    Args:
        url: where the console is, without a slash at the end.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        # A proxy of the machine has no business between two processes on it.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)

    def is_ready(self) -> bool:
        """Tell whether the host serves and has its database and broker."""
        try:
            with self._opener.open(f"{self._url}/readyz", timeout=2) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def sign_in(self, username: str, password: str) -> bool:
        """Open a session; tell whether the host let us in.

        Raises:
            urllib.error.URLError: unreachable, or it failed.
        """
        body = json.dumps({"username": username, "password": password}).encode()
        headers = {"Content-Type": "application/json", "Origin": self._url}
        request = urllib.request.Request(  # noqa: S310  # http on loopback
            f"{self._url}/api/v1/session", data=body, headers=headers
        )
        try:
            self._opener.open(request, timeout=5).close()
        except urllib.error.HTTPError as exc:
            # The host sets the password while it already answers.
            if exc.code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.SERVICE_UNAVAILABLE}:
                return False
            raise
        return True

    def count_nodes_online(self) -> int:
        """Return how many edge nodes the host sees online.

        Raises:
            urllib.error.URLError: not signed in or unreachable.
        """
        with self._opener.open(f"{self._url}/api/v1/nodes", timeout=5) as response:
            nodes = json.load(response)["nodes"]
        return sum(bool(node["online"]) for node in nodes)
