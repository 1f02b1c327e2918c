"""docs/reference/interop.md speaks of the versions that the tests run."""

import json
import re

import pytest

from tests.interop.installation import PEERS, ROOT, TCK_VERSION


def _python_version(package: str) -> str:
    lock = (PEERS / f"requirements-peer-{package}.lock").read_text()
    name = package.replace("-", "[-_]")
    found = re.search(rf"^{name}==(\S+)", lock, re.MULTILINE)
    assert found, f"{package} is not in its lock file"
    return found.group(1)


def _node_version(package: str) -> str:
    lock = json.loads((PEERS / "node/package-lock.json").read_text())
    version: str = lock["packages"][f"node_modules/{package}"]["version"]
    return version


def _tahu_version() -> str:
    found = re.search("<tahu.version>(.*)</tahu.version>", (PEERS / "tahu/pom.xml").read_text())
    assert found
    return found.group(1)


def _hivemq_version() -> str:
    found = re.search(
        "<hivemq.version>(.*)</hivemq.version>", (PEERS / "hivemq/pom.xml").read_text()
    )
    assert found
    return found.group(1)


@pytest.mark.parametrize(
    ("peer", "version"),
    [
        ("`tahu-host` and `tahu-edge`", _tahu_version()),
        ("`sparkplug-payload`", _node_version("sparkplug-payload")),
        ("`sparkplug-client`", _node_version("sparkplug-client")),
        ("`pysparkplug`", _python_version("pysparkplug")),
        ("`mqtt-spb-wrapper`", _python_version("mqtt-spb-wrapper")),
        ("HiveMQ Community Edition", _hivemq_version()),
        ("`sparkplug-tck`", TCK_VERSION),
    ],
)
def test_the_page_names_the_version_under_test(peer: str, version: str) -> None:
    page = (ROOT / "docs/reference/interop.md").read_text()

    assert re.search(rf"^\|[^|]*{peer} \| {re.escape(version)} \|", page, re.MULTILINE)


def test_npm_lock_file_names_no_registry() -> None:
    assert "resolved" not in (PEERS / "node/package-lock.json").read_text()
