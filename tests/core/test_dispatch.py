"""Which kernel table runs: the best the CPU has, or the one that FASTBP_ISA or choose_isa names."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from instruction_sets import missing_tables, reported_features

core = pytest.importorskip("fastbp._core")

PROGRAM = "import fastbp; print(fastbp.build_info()['isa'])"


def run(isa: str | None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "FASTBP_ISA"}
    if isa is not None:
        environment["FASTBP_ISA"] = isa
    command = [sys.executable, "-c", PROGRAM]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_fastbp_isa_forces_each_table() -> None:
    isas = core.available_isas()
    assert [run(isa).stdout.strip() for isa in isas] == isas


@pytest.mark.parametrize("isa", [None, ""])
def test_the_best_table_runs_unless_forced(isa: str | None) -> None:
    assert run(isa).stdout.strip() == core.available_isas()[-1]


@pytest.mark.parametrize("isa", ["avx1024", "AVX2", "scalar "])
def test_an_unknown_fastbp_isa_is_an_error_that_lists_the_choices(isa: str) -> None:
    result = run(isa)
    assert result.returncode != 0
    message = result.stderr.splitlines()[-1]
    assert message.startswith("ValueError: FASTBP_ISA: expected")
    assert all(name in message for name in core.available_isas())
    assert repr(isa) in message


def test_choosing_an_unknown_table_changes_nothing() -> None:
    before = core.build_info()["isa"]
    with pytest.raises(ValueError, match=r"name: expected .* got 'sse9'"):
        core.choose_isa("sse9")
    assert core.build_info()["isa"] == before


@pytest.mark.skipif(
    os.environ.get("FASTBP_EXPECT_CORE") != "1", reason="a compiler may lack an instruction set"
)
def test_every_instruction_set_that_the_processor_reports_is_built_and_run() -> None:
    assert missing_tables(core.available_isas(), reported_features()) == []


def test_a_table_that_the_processor_could_run_is_missed() -> None:
    features = {"fpu", "avx2", "fma", "avx512f"}
    assert missing_tables(["scalar", "scalar_fma", "avx2"], features, "x86_64") == ["avx512"]
    assert missing_tables(["scalar"], {"asimd"}, "aarch64") == ["neon"]
    assert missing_tables(["scalar"], {"avx2"}, "x86_64") == []
