"""``nexus bench publisher`` runs as it is documented and tells what it promises."""

import json

from click.testing import CliRunner

from bench.publisher import main


def test_the_publisher_benchmark_tells_its_figures_beside_its_baseline() -> None:
    done = CliRunner().invoke(main, ["--seconds", "0.1", "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.output.splitlines()[-1])
    assert result["bench"] == "publisher"
    figures = result["figures"]
    assert figures["nothing_changes_tags_per_s"] > figures["tags_per_s"] > 0
    assert result["baseline"]["protobuf_tags_per_s"] > 0
    assert result["ratio"].keys() == {name.removesuffix("_per_s") for name in figures}
