"""The command line does what it is asked and refuses what it does not know."""

import importlib.metadata
import subprocess
import sys

import pytest

import fastbp
from fastbp import cli, demo


@pytest.fixture
def seeds(monkeypatch):
    """Run no demo; return the list of seeds that demos were asked for."""
    asked = []
    monkeypatch.setattr(demo, "run", asked.append)
    return asked


@pytest.mark.parametrize(
    ("arguments", "seed"), [([], 0), (["demo"], 0), (["demo", "--seed", "7"], 7)]
)
def test_no_command_is_the_demo_and_the_default_seed_is_0(seeds, arguments, seed):
    assert cli.main(arguments) == 0
    assert seeds == [seed]


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["--nonsense"],
        ["demo", "--nonsense"],
        ["info", "more"],
        ["demo", "--seed", "x"],
        ["demo", "--seed", "-1"],
        ["demo", "--seed", str(2**64)],
    ],
)
def test_unknown_arguments_print_a_usage_line_and_exit_with_2(seeds, capsys, arguments):
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert exit_.value.code == 2
    assert capsys.readouterr().err.startswith("usage: fastbp")
    assert seeds == []


def test_an_interrupt_ends_the_command_with_130(monkeypatch):
    def interrupt(seed):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run", interrupt)
    assert cli.main([]) == 130


def test_info_shows_version_instruction_sets_threads_and_build(capsys, core):
    assert cli.main(["info"]) == 0
    text = capsys.readouterr().out
    assert f"fastbp {fastbp.__version__}" in text
    for word in ("instruction set", "available", "threads", "build", "scalar"):
        assert word in text


def test_python_m_fastbp_is_the_command():
    run = subprocess.run(
        [sys.executable, "-m", "fastbp", "--help"], capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith("usage: fastbp")


def test_the_installed_command_is_the_same_function():
    scripts = importlib.metadata.entry_points(group="console_scripts", name="fastbp")
    if not scripts:
        pytest.skip("fastbp is not installed")
    assert scripts["fastbp"].load() is cli.main
