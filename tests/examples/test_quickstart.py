"""The notebook runs from the first cell to the last in a fresh kernel, with small settings."""

import pathlib

import nbclient
import nbformat
import pytest

pytestmark = pytest.mark.integration

NOTEBOOK = pathlib.Path(__file__).parents[2] / "examples" / "quickstart.ipynb"
SETTINGS = 'PRESET, ENV_STEPS = "memory", 60_000'


def texts(cell):
    """What a cell has printed and shown."""
    shown = [output.get("text") or output["data"].get("text/plain") for output in cell.outputs]
    return "".join(shown)


def test_it_is_kept_without_outputs():
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def test_it_runs(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert SETTINGS in code[0].source
    code[0].source = code[0].source.replace(SETTINGS, 'PRESET, ENV_STEPS = "debug", 400')
    client = nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    by_source = {cell.source.splitlines()[0]: cell for cell in code}
    training = texts(by_source[next(line for line in by_source if "RepeatFirstEasy" in line)])
    assert (
        "100%" in training and "env steps 400/400" in training and len(training.splitlines()) < 40
    )
    evaluated = texts(by_source["run.evaluate(episodes=10).mean_return"])
    assert -1 <= float(evaluated.removeprefix("np.float64(").rstrip(")")) <= 1
    # Three runs: by name, from an object and from a function.
    assert len(list(tmp_path.glob("runs/**/summary.json"))) == 3
