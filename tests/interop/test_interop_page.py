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


def _node_version(package: str, folder: str = "node") -> str:
    lock = json.loads((PEERS / folder / "package-lock.json").read_text())
    version: str = lock["packages"][f"node_modules/{package}"]["version"]
    return version


def _maven_version(name: str) -> str:
    pom = (PEERS / name / "pom.xml").read_text()
    found = re.search(f"<{name}.version>(.*)</{name}.version>", pom)
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
        ("`tahu-host` and `tahu-edge`", _maven_version("tahu")),
        ("`sparkplug-payload`", _node_version("sparkplug-payload")),
        ("`sparkplug-client`", _node_version("sparkplug-client")),
        ("`pysparkplug`", _python_version("pysparkplug")),
        ("`mqtt-spb-wrapper`", _python_version("mqtt-spb-wrapper")),
        ("HiveMQ Community Edition", _hivemq_version()),
        ("`sparkplug-tck`", TCK_VERSION),
        ("`node-opcua`", _node_version("node-opcua", "opcua")),
        ("Eclipse Milo, `milo-sdk-server`", _maven_version("milo")),
        ("`modbus-serial`", _node_version("modbus-serial", "modbus")),
        ("`jsmodbus`", _node_version("jsmodbus", "modbus")),
    ],
)
def test_the_page_names_the_version_under_test(peer: str, version: str) -> None:
    page = (ROOT / "docs/reference/interop.md").read_text()

    assert re.search(rf"^\|[^|]*{peer} \| {re.escape(version)} \|", page, re.MULTILINE)


@pytest.mark.parametrize("folder", ["node", "modbus", "opcua"])
def test_npm_lock_file_names_no_registry(folder: str) -> None:
    assert '"resolved"' not in (PEERS / folder / "package-lock.json").read_text()
