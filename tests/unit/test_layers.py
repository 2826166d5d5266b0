"""Imports point one way, and files and functions stay small. Offenders are named."""

import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PACKAGE = PROJECT / "unlearn"

BOTTOM = {"errors", "files", "config.schema", "fingerprint"}
CONFIG = {*BOTTOM, "config.loading", "config.scripts", "config.faces"}
SAMPLES = {"data.samples", "data.questions", "data.answers"}
ROWS = {*SAMPLES, "data.rows", "data.views", "data.pictures", "data.refusals"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "files": set(),
    "fingerprint": set(),
    "cost": set(),
    "config.schema": {"errors"},
    "config.loading": {"errors", "config.schema"},
    "config.scripts": {"config.schema"},
    "config.faces": {"config.schema", "config.scripts"},
    # Data: rows and samples know nothing of models; the loader alone encodes.
    "data.samples": set(),
    "data.questions": set(),
    "data.answers": {*SAMPLES, "errors"},
    "data.plan": SAMPLES,
    "data.collate": SAMPLES,
    "data.refusals": {*SAMPLES, "errors"},
    "data.pictures": {"errors"},
    "data.rows": {*BOTTOM, *SAMPLES, "data.mini"},
    "data.views": {*BOTTOM, *ROWS},
    "data.loader": {*BOTTOM, *SAMPLES, "data.collate", "data.plan", "models.encoder"},
    "data.mini": {*CONFIG, *ROWS, "data.mini", "data.collate", "data.plan", "models", "forwards"},
    # Like data.mini a maker of folders; nothing imports it.
    "tofu_small": {*CONFIG, "data.rows", "entry", "run", "tofu_small"},
    # Models: from samples to tensors, weights and parts.
    "models": {*BOTTOM, *SAMPLES, "config.scripts", "models"},
    "forwards": {"data.samples", "models.components"},
    "reference": {"forwards"},
    "vision": {"data.samples", "data.collate"},
    "generation": {"data.samples", "data.collate", "models.encoder", "vision"},
    "masks": {"forwards"},
    "activations": {"data.samples", "forwards"},
    # Methods see views alone.
    "methods.base": {"activations", "data.answers", "forwards", "masks"},
    "methods": {
        "activations", "data.answers", "errors", "forwards", "masks", "methods.base", "methods.forget_retain",
        "methods.training_free",
    },
    "methods.forget_retain": {"methods.base"},
    "methods.training_free": {"methods.base"},
    "penalty": {"config.schema", "config.scripts"},
    # Metrics are pure functions over records.
    "metrics": {"errors", "files", "config.schema", "fingerprint", "metrics"},
    "metrics.faces": {"config.schema", "errors", "metrics"},
    "evaluation": {
        *CONFIG, *ROWS, "data.collate", "cost", "forwards", "generation", "models", "evaluation", "metrics.harness",
        "metrics.logs", "metrics.manifest", "metrics.rouge", "processes", "provenance", "vision",
    },
    "provenance": {*BOTTOM, "config.loading", "models.folders"},
    "faces": {*CONFIG, *ROWS, "faces", "forwards"},
    "faces.album": {*CONFIG, *ROWS, "faces", "data.mini"},
    "faces.study": {*CONFIG, "faces", "metrics.faces"},
    "faces.runs": {*CONFIG, *ROWS, "faces", "methods.base", "reference", "run", "trainer"},
    "run": {*CONFIG, "data.rows", "provenance"},
    # Processes: how they find each other, what divides a model among them, and what does not go together.
    "processes": {"errors"},
    "limits": {"config.schema", "config.scripts", "errors", "methods.base", "processes"},
    "sharding": {"config.schema", "config.scripts", "processes"},
    "state": {"cost", "errors", "processes"},
    "engine": {
        *CONFIG, *SAMPLES, "limits", "methods.base", "models.components", "processes", "run", "sharding", "state",
    },
    "routing": {*CONFIG, *SAMPLES, "cost", "engine", "models", "run"},
    "survey": {"activations", "data.samples", "forwards", "masks", "methods.base", "processes"},
    "writing": {
        *SAMPLES, "cost", "errors", "files", "forwards", "generation", "methods.base", "models.encoder", "vision",
    },
    "trainer": {
        *CONFIG, *SAMPLES, "data.loader", "data.plan", "cost", "engine", "forwards", "masks", "methods.base", "models",
        "penalty", "processes", "run", "sharding", "state", "survey", "writing",
    },
    # Stresses: between loading and evaluating, so they may train.
    "stress": {
        *CONFIG, *ROWS, "engine", "evaluation.stressed", "methods.finetune", "models", "processes", "run", "stress",
        "trainer",
    },
    "entry": {*CONFIG, "methods.base", "evaluation.tasks", "stress.schemas"},
    "experiment": {
        *CONFIG, "experiment", "entry", "metrics", "run", "report", "data.views", "evaluation.tasks",
        "models.folders",
    },
    "report": {
        *CONFIG, "report", "entry", "metrics", "data.questions", "evaluation.items", "evaluation.tasks",
    },
}  # fmt: skip
"""What a module (or every module of a package) may import of the package; a package's name stands for its modules."""
TRACKS = ("mm", "nlp", "cv")
EVERYTHING = ("Exception", "BaseException")
NO_TORCH = ("metrics", "config", "errors", "files", "entry", "fingerprint", "report")


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if not name.endswith("__init__"):
            yield name, path


MODULES = dict(modules())


def imported(path, top_level=False):
    """Yield the full name of everything that a file imports (`from a import b` as a.b where that is a module)."""
    tree = ast.parse(path.read_text())
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole.removeprefix("unlearn.") in MODULES else node.module


def covers(allowed, name):
    return any(name == entry or name.startswith(f"{entry}.") for entry in allowed)


def rule_of(name):
    """Return the most special entry of ALLOWED."""
    matching = [entry for entry in ALLOWED if covers([entry], name)]
    assert matching, f"unlearn/{name.replace('.', '/')}.py has no layer: add it to ALLOWED"
    return max(matching, key=len)


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_one_way(name):
    allowed = ALLOWED[rule_of(name)]
    inner = [i.removeprefix("unlearn.") for i in imported(MODULES[name]) if i.startswith("unlearn.")]
    assert [i for i in inner if not covers(allowed, i)] == [], f"{name} may import {sorted(allowed)}"


def test_the_layers_have_no_cycle():
    """Modules alone, packages' inner imports included."""
    graph = {
        name: {i.removeprefix("unlearn.") for i in imported(path, top_level=True) if i.startswith("unlearn.")}
        for name, path in MODULES.items()
    }
    done: set[str] = set()

    def visit(name, trail):
        assert name not in trail, f"import cycle {' -> '.join([*trail, name])}"
        if name not in done:
            for inner in graph.get(name, ()):
                visit(inner, [*trail, name])
            done.add(name)

    for name in graph:
        visit(name, [])


@pytest.mark.parametrize("name", [n for n in MODULES if n.split(".")[0] in NO_TORCH])
def test_light_modules_import_no_engine(name):
    heavy = {"torch", "transformers", "peft", "accelerate", "datasets"}
    early = imported(MODULES[name], top_level=True)
    assert heavy.isdisjoint(i.split(".")[0] for i in early)
    if name.startswith("metrics"):
        assert heavy.isdisjoint(i.split(".")[0] for i in imported(MODULES[name]))


def scripts():
    return [*sorted(p for track in TRACKS for p in (PROJECT / track).glob("*.py")), PROJECT / "aggregate_eval_stat.py"]


@pytest.mark.parametrize("path", scripts(), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_entry_scripts_are_a_narrative(path):
    tree = ast.parse(path.read_text())
    assert len(path.read_text().splitlines()) <= 120
    functions = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert functions == ["main"]
    assert ast.get_docstring(tree)
    early = {i.split(".")[0] for i in imported(path, top_level=True)}
    assert early.isdisjoint({"torch", "transformers", "peft", "accelerate", "datasets"})


@pytest.mark.parametrize("name", ["finetune", "forget", "eval"])
def test_the_tracks_tell_one_story(name):
    """What one track's script learns the other's must too; pictures are all that they differ in."""

    def body(track):
        main = (PROJECT / track / f"{name}.py").read_text().partition("def main(")[2]
        return [line for line in main.splitlines()[2:-1] if "pictures" not in line]

    assert body("nlp") == body("mm")


def files():
    return [*MODULES.values(), *scripts()]


def test_files_and_functions_stay_small():
    found = []
    for path in files():
        text = path.read_text()
        name = path.relative_to(PROJECT)
        if len(text.splitlines()) > 300:
            found.append(f"{name} has {len(text.splitlines())} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno + 1 > 60:
                found.append(f"{name}: {node.name} has {node.end_lineno - node.lineno + 1} lines")
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "print":
                found.append(f"{name}:{node.lineno} prints")
            if isinstance(node, ast.ExceptHandler) and ast.unparse(node.type or ast.Name("Exception")) in EVERYTHING:
                found.append(f"{name}:{node.lineno} catches everything")
    assert found == []


def test_every_file_says_what_it_is():
    lacking = [str(p) for p in files() if not ast.get_docstring(ast.parse(p.read_text()))]
    assert lacking == []
