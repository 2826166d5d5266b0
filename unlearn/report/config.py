"""The typed configuration of a report."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from unlearn.config.schema import MISSING, Metrics, option, out_of_range
from unlearn.errors import unknown


@dataclass
class ReportConfig:
    """Keys of `python -m unlearn.report`."""

    models: dict[str, str] = option(dict, "name of each row: folder of the model's run, with eval_results in it")
    pretrained: str = option("pretrained", "the one of `models` that was never finetuned, where it is among them")
    base: str = option("base", "the one of `models` that was to forget")
    golds: list[str] = option(lambda: ["gold"], "those of `models` that never saw what is forgotten, one per seed")
    metrics: Metrics = option(Metrics.correct, "correct | released: what CLEAR's published code computes instead")
    sweep: str | None = option(None, "folder of a sweep, whose chosen models are added; null: settings are not tuned")
    stresses: list[str] = option(list, "stresses under which all but pretrained were evaluated (eval_results_<name>)")
    people: int = option(3, "people of each role whose answers the page shows; 0: none, and no dataset is read")
    save_dir: str = option(MISSING, "folder of the tables, the figures and report.html")
    submitted_by: str = option("anonymous", 'entry of the column "Submitted By"')

    def problems(self) -> list[str]:
        """Return what is wrong with the keys."""
        if not self.models:
            return ["models is empty; name each row and its run's folder, +models.gold=... +models.npo=... ."]
        found = [] if self.golds else ["golds is empty; name at least one model that never saw what is forgotten."]
        named = [("base", self.base), *(("golds", name) for name in self.golds)]
        found += [str(unknown(key, name, list(self.models))) for key, name in named if name not in self.models]
        if len({*self.golds, self.base, self.pretrained}) < len(self.golds) + 2:
            given = f"base={self.base}, golds={self.golds}, pretrained={self.pretrained}"
            found.append(f"{given} name a model twice; each model of `models` is one of these or a method.")
        found += self._shared_folders()
        if len(set(self.stresses)) < len(self.stresses):
            found.append(f"stresses is [{', '.join(self.stresses)}]; name each of them once.")
        if self.people < 0:
            found.append(out_of_range("people", self.people, "0 or above"))
        return found

    def _shared_folders(self) -> Iterator[str]:
        """A run under two names would be compared with itself: as two golds it makes their spread look small."""
        names: dict[Path, list[str]] = defaultdict(list)
        for name, folder in self.models.items():
            names[Path(folder).resolve()].append(name)
        for name, *others in names.values():
            if others:
                yield f"models names {self.models[name]} {name} and {', '.join(others)}; give every run one name."
