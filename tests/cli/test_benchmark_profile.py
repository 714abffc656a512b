"""The options of `edgeseg benchmark` that ask where the time goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edgeseg.cli.benchmark import benchmark
from edgeseg.report.record import read_report

QUICK = ("--warm-up-ms", 0, "--duration-s", 0, "--iterations", 3, "--scope", "engine")
USAGE = 2


def run(*words: object) -> Result:
    return CliRunner().invoke(benchmark, [str(word) for word in words])


@pytest.mark.parametrize("name", ["--export-profile", "--exportProfile"])
def test_a_profile_is_written_in_the_report_and_as_trtexec_does(chain: Any, tmp_path: Path, name: str) -> None:
    files = {"--report": tmp_path / "out.json", name: tmp_path / "profile.json"}
    done = run(chain.fp32, *QUICK, *(word for pair in files.items() for word in pair))
    assert done.exit_code == 0, done.output
    (profile,) = read_report(tmp_path / "out.json").profiles
    count, *layers = json.loads((tmp_path / "profile.json").read_text())
    assert count == {"count": 3}
    assert [one["name"] for one in layers] == [one.name for one in profile.layers]


def test_without_the_options_nothing_is_profiled(chain: Any, tmp_path: Path) -> None:
    assert run(chain.fp32, *QUICK, "--report", tmp_path / "out.json").exit_code == 0
    assert read_report(tmp_path / "out.json").profiles == ()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.engine", "--net", "a.onnx"], "--net tells a profile what the layers are: add --profile"),
        (["a.engine", "b.engine", "--export-profile", "p.json"], "holds one engine's profile, 2 are given"),
    ],
)
def test_an_option_that_would_be_ignored_is_a_wrong_use(words: list[str], message: str) -> None:
    done = run(*words)
    assert done.exit_code == USAGE
    assert message in " ".join(done.output.split())


def test_a_profile_does_not_replace_the_net(chain_copy: Path) -> None:
    net, engine = chain_copy / "net.onnx", chain_copy / "net.fp32.engine"
    before = net.read_bytes()
    done = run(engine, *QUICK, "--profile", "--net", net, "--export-profile", net)
    assert done.exit_code == USAGE
    assert net.read_bytes() == before


def test_a_net_of_another_engine_is_refused_before_anything_is_measured(
    edgeseg: Any, chain: Any, tmp_path: Path
) -> None:
    import onnx

    model = onnx.load(chain.onnx)
    model.doc_string = "another"
    onnx.save(model, tmp_path / "other.onnx")
    done = edgeseg("benchmark", chain.fp32, "--profile", "--net", tmp_path / "other.onnx")
    assert done.returncode == USAGE
    assert "is another net than the engines were built of" in done.stderr and done.stdout == ""
