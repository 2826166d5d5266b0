"""Whether the study of faces `cv_demo` can be believed: gold gives nothing away, models that did not forget do.

    make cv-demo
    python benchmarks/cv_demo_check.py runs/cv_demo [roots of other seeds]

By U-LIRA with pooled variance, pairs of models left out. Exit status 1 where a promise is not kept, 2 where a study
has no scores.json.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from promises import Check, status

from unlearn.errors import UserError

AREA = "U-LIRA AUC"
WIDEST = 0.15
"""Of gold's interval: with a wider one 0.5 would lie in it whatever gold is."""
SUCCESS = 0.7


def checks(name: str, scores: Mapping[str, Any]) -> Iterator[Check]:
    """Yield the promises of one study from its scores.json."""
    gold, original = (scores["methods"][model] for model in ("gold", "original"))
    low, high = (gold[f"{AREA}{end}"] for end in (" Low", " High"))
    yield Check(f"{name}: lower end of gold's {AREA}", low, "le", 0.5)
    yield Check(f"{name}: upper end of gold's {AREA}", high, "ge", 0.5)
    yield Check(f"{name}: width of gold's interval", high - low, "lt", WIDEST)
    yield Check(f"{name}: {AREA} of the models that did not forget", original[AREA], "gt", SUCCESS)


def promised(roots: Sequence[str]) -> list[Check]:
    """Return the promises of the studies in `roots`. Raises UserError where one has no scores."""
    found = []
    for root in roots:
        file = Path(root) / "scores.json"
        if not file.is_file():
            raise UserError(f"{file} is absent; run `make cv-demo`, or give the root of a study that ended.")
        found += checks(Path(root).name, json.loads(file.read_text(encoding="utf-8")))
    return found


if __name__ == "__main__":
    sys.exit(status(lambda: promised(sys.argv[1:] or ["runs/cv_demo"])))
