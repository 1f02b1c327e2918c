"""The official compatibility kit: an extension of HiveMQ that grades whoever connects.

It starts the broker with the kit, starts a test, answers what the kit asks of a person and reads
the verdicts; what the client under test does meanwhile is the tests' business. The kit works on
port 1883 and knows no other.
"""

import os
import queue
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.interop import installation
from tests.interop.peer import Peer

PORT = 1883
_TRIES = 3
_CONFIGURATION = f"""<?xml version="1.0"?>
<hivemq>
  <listeners>
    <tcp-listener><port>{PORT}</port><bind-address>127.0.0.1</bind-address></tcp-listener>
  </listeners>
  <anonymous-usage-statistics><enabled>false</enabled></anonymous-usage-statistics>
</hivemq>
"""
_VERDICT = re.compile(
    r"^(Monitor:)?([A-Za-z0-9-]+): (PASS|FAIL|MAYBE|NOT EXECUTED)(.*)$", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the kit says at the end of one test, by statement, without ``tck-id-``.

    A statement that both the test and the kit's monitor grade has the worse of the two.
    """

    passed: frozenset[str]
    failed: Mapping[str, str]
    maybe: Mapping[str, str]
    not_executed: frozenset[str]


class Kit:
    """HiveMQ with the kit's extension, until the block ends.

    Args:
        extension: The kit's folder, as its build unpacks it: ``hivemq-extension.xml`` and a jar.
        folder: Takes the broker's files and its log.
    """

    def __init__(self, extension: Path, folder: Path) -> None:
        self._extension = extension
        self._folders = (folder / f"kit-{number}" for number in range(1, _TRIES + 1))
        self._start_broker()

    def _start_broker(self) -> None:
        folder = next(self._folders)
        for part in ("conf", "data", "extensions"):
            (folder / part).mkdir(parents=True)
        (folder / "conf/config.xml").write_text(_CONFIGURATION)
        shutil.copytree(self._extension, folder / "extensions" / self._extension.name)
        self._said: queue.Queue[tuple[str, str]] = queue.Queue()
        class_path = installation.maven_peer("hivemq")
        # The kit writes into the directory that it was started in.
        argv = ["env", "-C", str(folder), "java"]
        argv += ["-Dlogback.configurationFile=kit-logging.xml", "-cp", class_path]
        # The kit waits for its own broker on the broker's threads, of which there are as many as
        # processors: with two it runs into time-outs of its own.
        argv += ["-XX:ActiveProcessorCount=8", "interop.KitBroker", str(folder)]
        self._broker = Peer("the kit", argv, log=folder / "kit.log", environment=os.environ)
        try:
            self._broker.wait("ready", timeout_s=90)
            self._client = self._connect()
        except AssertionError:
            self._stop_broker()
            raise

    def _stop_broker(self) -> None:
        self._broker.kill()  # nothing of it is kept, and its own end takes long
        self._broker.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._stop_broker()

    def start(self, profile: str, test: str, *parameters: str) -> None:
        """Start a test: ``edge`` or ``host``, the class's name, its parameters.

        A kit that gets stuck while it makes the test is thrown away for another.
        """
        while True:
            self._publish("TEST_CONTROL", " ".join(("NEW_TEST", profile, test, *parameters)))
            try:
                # The broker hands the order out after the test was made.
                self._wait("TEST_CONTROL", test, timeout_s=20)
            except AssertionError:
                self._client.disconnect()
                self._client.loop_stop()
                self._stop_broker()
                self._start_broker()
            else:
                return

    def end(self) -> None:
        """End a test that waits for more than there is."""
        self._publish("TEST_CONTROL", "END_TEST")

    def wait_prompt(self, text: str = "", timeout_s: float = 30) -> str:
        """Wait until the kit asks a person for something, and return what."""
        return self._wait("CONSOLE_PROMPT", text, timeout_s)

    def answer(self, *, is_so: bool) -> None:
        """Answer as the person would who looked."""
        self._publish("CONSOLE_REPLY", "PASS" if is_so else "FAIL")

    def verdicts(self, timeout_s: float = 60) -> Verdicts:
        """Wait for the end of the test and return what it found."""
        return parse_summary(self._wait("RESULT", "OVERALL", timeout_s))

    def _wait(self, topic: str, text: str, timeout_s: float) -> str:
        deadline = time.monotonic() + timeout_s
        heard: list[tuple[str, str]] = []
        while True:
            try:
                found, payload = self._said.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                said = "\n".join(f"{t}: {p}" for t, p in heard)
                raise AssertionError(f"the kit said no {topic} {text!r}, but\n{said}") from None
            if found == topic and text in payload:
                return payload
            heard.append((found, payload))

    def _publish(self, topic: str, payload: str) -> None:
        self._client.publish(f"SPARKPLUG_TCK/{topic}", payload, qos=1).wait_for_publish(10)

    def _connect(self) -> paho.Client:
        subscribed: queue.Queue[None] = queue.Queue()
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id="kit-operator")
        client.on_connect = lambda client, *_: client.subscribe("SPARKPLUG_TCK/#", qos=1)
        client.on_subscribe = lambda *_: subscribed.put(None)
        client.on_message = lambda _c, _d, message: self._said.put(
            (message.topic.removeprefix("SPARKPLUG_TCK/"), message.payload.decode())
        )
        client.connect("127.0.0.1", PORT)
        client.loop_start()
        subscribed.get(timeout=10)
        return client


def parse_summary(summary: str) -> Verdicts:
    """Read the kit's report of one test."""
    found: dict[str, dict[str, str]] = {v: {} for v in ("PASS", "FAIL", "MAYBE", "NOT EXECUTED")}
    for line in re.split(r";\r?\n", summary.partition("\n")[2]):
        if line.startswith("OVERALL"):
            continue
        if match := _VERDICT.match(line.strip()):
            id_ = match.group(2).removeprefix("tck-id-")
            found[match.group(3)][id_] = match.group(4).strip()
    failed, maybe = found["FAIL"], found["MAYBE"]
    maybe = {id_: why for id_, why in maybe.items() if id_ not in failed}
    passed = found["PASS"].keys() - failed.keys() - maybe.keys()
    graded = passed | failed.keys() | maybe.keys()
    return Verdicts(
        frozenset(passed), failed, maybe, frozenset(found["NOT EXECUTED"].keys() - graded)
    )
