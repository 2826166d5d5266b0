"""From finished batches to result files: records per task, the log that TOFU's and CLEAR's tools read, the manifest."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from unlearn.evaluation.parts import BatchKey, Finished
from unlearn.evaluation.plan import AGGREGATED, Plan, of_rows, read_manifest
from unlearn.evaluation.tasks import role_under
from unlearn.files import write_json, write_jsonl
from unlearn.metrics.logs import aggregated_from_records
from unlearn.metrics.manifest import FORMAT, MANIFEST, METRICS_VERSION
from unlearn.provenance import of_family, software


def write_results(plan: Plan, finished: Mapping[BatchKey, Finished]) -> None:
    """Write all result files into `plan.out` and remove the part files.

    The manifest is taken away first and written last: a folder with a manifest holds the files that belong to it.
    """
    records = merged_records(plan, finished)
    _clear(plan)
    for name, rows in records.items():
        write_jsonl(plan.out / f"{name}.jsonl", rows)
    aggregated = {name: aggregated_from_records(rows) for name, rows in records.items()}
    write_json(plan.out / AGGREGATED, aggregated)
    write_json(plan.out / MANIFEST, _manifest(plan, records, finished.values()))
    plan.parts.remove()


def merged_records(plan: Plan, finished: Mapping[BatchKey, Finished]) -> dict[str, list[dict[str, Any]]]:
    """Return the records of every task, each item once, sorted by uid."""
    by_uid: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in plan.items}
    for (task, _), part in finished.items():
        by_uid[task].update({record["uid"]: record for record in part.records})
    return {name: [rows[uid] for uid in sorted(rows)] for name, rows in by_uid.items()}


def _clear(plan: Plan) -> None:
    """Remove the results that stood here before, if any: they were allowed to go when the plan was made."""
    manifest = read_manifest(plan.out)
    if manifest is None:
        return
    (plan.out / MANIFEST).unlink()
    (plan.out / AGGREGATED).unlink(missing_ok=True)
    for name in manifest.get("tasks", {}):
        (plan.out / f"{name}.jsonl").unlink(missing_ok=True)


def _manifest(plan: Plan, records: Mapping[str, list[Any]], finished: Iterable[Finished]) -> dict[str, Any]:
    settings = plan.settings
    tasks = {
        task.name: {
            "version": task.version,
            "role": role_under(task, settings.forget_modality).value,
            "choice": task.choice,
            "modality": task.modality.value,
            "label": task.label,
            "probe_of": task.probe_of,
            "expected": len(plan.items[task.name]),
            "scored": len(records[task.name]),
            "fingerprint": plan.task_fingerprints[task.name],
            "rows": of_rows(task, settings.data, settings.forget_split, plan.items[task.name]),
            "members": task.members,
        }
        for task in settings.tasks
    }
    return {
        "format": FORMAT,
        "metrics_version": METRICS_VERSION,
        "metrics": settings.metrics.value,
        "forget_split": settings.forget_split,
        "retain_split": settings.retain_split,
        "forget_modality": settings.forget_modality.value,
        "seed": settings.seed,
        "stress": None if settings.stress is None else settings.stress.facts,
        "tasks": tasks,
        "provenance": _provenance(plan),
        "cost": cost(finished),
        "fingerprint": plan.fingerprint,
    }


def _provenance(plan: Plan) -> dict[str, Any]:
    """Return what the results were made with and from: software, model family, and the model's lineage."""
    settings = plan.settings
    return {
        **software(),
        "family": of_family(settings.model_family),
        "lineage": plan.lineage,
    }


def cost(finished: Iterable[Finished]) -> dict[str, float]:
    """Return wall seconds, peak memory and forward passes of the scoring (loading the model is not part of it).

    Processes run side by side, so a start takes as long as its slowest process; the starts of an interrupted
    evaluation add up. The peak is that of the process that needed most.
    """
    seconds: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    peak, forwards = 0, 0
    for part in finished:
        seconds[part.attempt][part.rank] += part.seconds
        peak = max(peak, part.peak_memory_bytes)
        forwards += part.forwards
    wall = sum(max(ranks.values()) for ranks in seconds.values())
    return {"wall_seconds": round(wall, 3), "peak_memory_bytes": peak, "forwards": forwards}
