"""What a report is about: its models, how far each is from gold, and the sweep that chose their settings."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from unlearn.config.schema import Metrics
from unlearn.errors import UserError
from unlearn.metrics.distance import Comparison, Distances, compare
from unlearn.metrics.harness import check_same_harness
from unlearn.metrics.manifest import Manifest, TaskInfo
from unlearn.metrics.people import Half, half
from unlearn.metrics.samples import Score, sample_scores
from unlearn.metrics.scores import Floats
from unlearn.report.config import ReportConfig
from unlearn.report.runs import Kind, Model, read_model
from unlearn.report.sweep import Sweep, read_sweep


@dataclass(frozen=True)
class Study:
    """Models and their comparison.

    models      with their whole evaluations, in the order of the tables
    compared    the same with the items that they are compared on: all, or the half that no setting was chosen on
    comparison  of `compared` with the golds
    manifest    of the first gold's evaluation, hence of all that compare with it
    """

    models: tuple[Model, ...]
    compared: tuple[Model, ...]
    comparison: Comparison
    manifest: Manifest
    metrics: Metrics
    sweep: Sweep | None

    @property
    def infos(self) -> Mapping[str, TaskInfo]:
        """What is known of the tasks."""
        return self.manifest.tasks

    @property
    def golds(self) -> list[Model]:
        """The models that never saw what is forgotten."""
        return [model for model in self.models if model.kind is Kind.gold]

    def distances(self, model: Model) -> Distances | None:
        """Return how far a model is from gold, a gold from the others; None for a gold that is alone."""
        return {**self.comparison.golds, **self.comparison.models}.get(model.name)

    def samples(self, model: Model) -> dict[str, Mapping[Score, Floats]]:
        """Return the per-sample scores in [0, 1] of one of `compared`, by task."""
        return {name: sample_scores(task, self.infos[name]) for name, task in model.log.tasks.items()}


def read_study(cfg: ReportConfig) -> Study:
    """Return the models of a report and their distances to gold.

    Raises UserError where an evaluation is absent, of another tool or not to be compared with the others.
    """
    sweep = None if cfg.sweep is None else read_sweep(Path(cfg.sweep))
    models = _models(cfg, sweep)
    check_same_harness([model.log for model in models])
    manifest = next(_manifest(model) for model in models if model.kind is Kind.gold)
    compared = models if sweep is None else [_on_report_half(model, sweep.seed) for model in models]
    golds = {model.name: model.log for model in compared if model.kind is Kind.gold}
    others = {model.name: model.log for model in compared if model.kind is not Kind.gold}
    comparison = compare(others, golds, base=cfg.base)
    return Study(tuple(models), tuple(compared), comparison, manifest, cfg.metrics, sweep)


def _models(cfg: ReportConfig, sweep: Sweep | None) -> list[Model]:
    """Return the models of the config in its order, then those that the sweep chose."""
    kinds = {cfg.pretrained: Kind.pretrained, cfg.base: Kind.base, **dict.fromkeys(cfg.golds, Kind.gold)}
    folders = {name: Path(folder) for name, folder in cfg.models.items()}
    for chosen in sweep.chosen if sweep is not None else ():
        if chosen.method in folders:
            raise UserError(f"{chosen.method} is in models and chosen by sweep={cfg.sweep}; leave one of them out.")
        folders[chosen.method] = chosen.folder
    return [read_model(name, kinds.get(name, Kind.unlearned), folder) for name, folder in folders.items()]


def _on_report_half(model: Model, seed: int) -> Model:
    return replace(model, log=half(model.log, Half.report, seed))


def _manifest(gold: Model) -> Manifest:
    if gold.log.manifest is None:
        raise UserError(
            f"{gold.log_path} has no manifest.json beside it, so what was evaluated is not known; a report needs "
            f"evaluations of mm/eval.py (aggregate_eval_stat.py compares logs of other tools)."
        )
    return gold.log.manifest
