"""Time, FLOP/s and memory of an NPO+KL step and of scoring an item: LLaVA-1.5-7B, random weights, adapters, bf16.

    python benchmarks/gpu_llava_step.py                 on a GPU with 60 GB or more, a few minutes
    python benchmarks/gpu_llava_step.py --size tiny     on anything: whether it runs, and whether both ways agree

Each is measured beside its naive twin: a step with a second model as the teacher and logits at every position; an item
with one forward per candidate answer. Writes benchmarks/results/gpu_llava_step_<size>_<device>.json.
"""

import argparse
import copy
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from llava_naive import LENGTH, batch_of, naive_item, naive_kl, naive_npo
from llava_shape import (
    SHAPES,
    Shape,
    backward_flops,
    decoder_flops,
    forward_flops,
    head_flops,
    new_encoder,
    new_model,
    new_samples,
    tower_flops,
    words,
)

from unlearn.config.schema import LoRAConfig, Scheduler
from unlearn.config.scripts import ForgetConfig
from unlearn.data.samples import IGNORE, Batch, Sample
from unlearn.engine import start_accelerator
from unlearn.evaluation.items import Item
from unlearn.evaluation.scorers import score_items
from unlearn.files import write_json
from unlearn.methods.forget_retain import RetainTerm
from unlearn.methods.npo import NPO
from unlearn.models.encoder import Encoder
from unlearn.models.trainable import make_trainable
from unlearn.provenance import environment
from unlearn.reference import adapters_off
from unlearn.run import Run
from unlearn.trainer import Trainer

RESULTS = Path(__file__).parent / "results"
NEEDED = (5, 21)
"""The transformers that compute logits at marked positions alone."""
PEAKS = {"H100 PCIe": 756e12, "H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12}
"""FLOP/s of dense bfloat16 products, from the makers' data sheets."""
WARM_UP = 2
"""Steps and items that are not counted: memory is taken and kernels are chosen in them."""


@dataclass
class Measured:
    """One way of doing a step or an item.

    flops     of one of them, by arithmetic
    values    what it computed, to compare both ways
    forwards  passes through the model and its teacher, of one of them
    """

    flops: float
    forwards: float = 0
    seconds: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    peak_memory_bytes: int = 0

    def row(self) -> dict[str, Any]:
        """Return what is written down."""
        median = statistics.median(self.seconds[WARM_UP:])
        peak = peak_flops()
        return {
            "median_seconds": median,
            "seconds": self.seconds,
            "tflop": self.flops / 1e12,
            "tflop_per_second": self.flops / median / 1e12,
            "percent_of_peak": None if peak is None else 100 * self.flops / median / peak,
            "peak_memory_bytes": self.peak_memory_bytes,
            "forwards": self.forwards,
        }


@dataclass
class Bench:
    """A shape with everything that its runs share."""

    shape: Shape
    encoder: Encoder
    device: torch.device
    count: int
    batch: int

    def timed(self, work: Callable[[], Any], into: Measured) -> Any:
        """Run `work` and note its seconds and the peak of memory so far."""
        self.synchronize()
        started = time.perf_counter()
        result = work()
        self.synchronize()
        into.seconds.append(time.perf_counter() - started)
        if self.device.type == "cuda":
            into.peak_memory_bytes = torch.cuda.max_memory_allocated()
        return result

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def tidy(self) -> None:
        """Give memory back between two ways."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def lengths(self) -> tuple[int, int]:
        """Return the tokens of a sample and of its answer, end token included."""
        encoded = self.encoder.encode(new_samples(self.shape, 1, "length")[0], LENGTH)
        return len(encoded.input_ids), sum(label != IGNORE for label in encoded.labels)


class TimedTrainer(Trainer):
    """The training loop itself, with a clock around each step."""

    def _step(self, batches: tuple[dict[str, Batch], ...], number: int) -> dict[str, float]:
        step = super()._step
        terms = self.bench.timed(lambda: step(batches, number), self.measured)
        self.measured.values.append(terms["loss"])
        return terms


def measure_step(bench: Bench, folder: Path) -> dict[str, Measured]:
    """Return the step of the trainer and of its naive twin, on the same samples from the same weights."""
    cfg = _config(bench, folder)
    sets = {name: new_samples(bench.shape, bench.count * bench.batch, name) for name in ("forget", "retain")}
    ours, twin = (Measured(_step_flops(bench, whole)) for whole in (False, True))
    trainer, accelerator = _trainer(bench, cfg, sets, folder)
    trainer.bench, trainer.measured = bench, ours
    cost = trainer.train()
    ours.forwards, order = cost["forwards"] / cost["steps"], [step.ids for _, step in trainer.steps]
    accelerator.free_memory()
    del trainer, accelerator
    bench.tidy()
    _naive_steps(bench, cfg, [{name: [sets[name][i] for i in ids[name]] for name in ids} for ids in order], twin)
    bench.tidy()
    return {"ours": ours, "twin": twin}


def _config(bench: Bench, folder: Path) -> ForgetConfig:
    return ForgetConfig(
        model_family=bench.encoder.family, forget_loss=NPO(retain_term=RetainTerm.kl), batch_size=bench.batch, lr=1e-4,
        max_length=LENGTH, lr_scheduler=Scheduler.constant, LoRA=LoRAConfig(r=8, alpha=32), save_dir=str(folder),
    )  # fmt: skip


def _trainer(
    bench: Bench, cfg: ForgetConfig, sets: dict[str, list[Sample]], folder: Path
) -> tuple[TimedTrainer, Accelerator]:
    run, method = Run(folder, "benchmark"), cfg.method()
    accelerator = start_accelerator(run, cfg, method)
    model = make_trainable(new_model(bench.shape, bench.encoder, bench.device), cfg)
    trainer = TimedTrainer(cfg, method, sets, model, bench.encoder, adapters_off(model), accelerator, run)
    return trainer, accelerator


def _step_flops(bench: Bench, whole: bool) -> float:
    """Return the FLOP of a step: two views, each through model and teacher, and back through the model.

    whole  the output layer runs at every position
    """
    length, answer = bench.lengths()
    rows = length if whole else answer
    forward, backward = (f(bench.shape, length, rows) for f in (forward_flops, backward_flops))
    return bench.batch * 2 * (2 * forward + backward)


def _naive_steps(bench: Bench, cfg: ForgetConfig, order: list[dict[str, list[Sample]]], into: Measured) -> None:
    """Train a model with adapters against a second one, with logits at all positions, sums and means by hand."""
    model = new_model(bench.shape, bench.encoder, bench.device)
    teacher = copy.deepcopy(model).requires_grad_(False)
    model = make_trainable(model, cfg).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=cfg.lr, weight_decay=cfg.weight_decay)

    def step(batches: dict[str, Batch]) -> float:
        with torch.autocast(bench.device.type, torch.bfloat16, enabled=bench.shape.dtype.name == "bfloat16"):
            loss = naive_npo(model, teacher, batches["forget"]) + naive_kl(model, teacher, batches["retain"])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, cfg.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    for samples in order:
        batches = {name: batch_of(bench.encoder, rows, bench.device) for name, rows in samples.items()}
        into.values.append(bench.timed(lambda batches=batches: step(batches), into))
    into.forwards = 4


def measure_items(bench: Bench) -> dict[str, Measured]:
    """Return the scoring of an item and its naive twin; on both sides a greedy answer of one token is written too."""
    model = new_model(bench.shape, bench.encoder, bench.device)
    items = [_item(bench.shape, sample) for sample in new_samples(bench.shape, bench.count, "item")]
    length, answer = bench.lengths()
    prompt = forward_flops(bench.shape, length - answer, 1) - tower_flops(bench.shape)
    ours, twin = Measured(tower_flops(bench.shape) + prompt, 2), Measured(prompt + tower_flops(bench.shape))
    ours.flops += bench.shape.answers * (sum(decoder_flops(bench.shape, length)) + head_flops(bench.shape, answer))
    twin.flops += bench.shape.answers * forward_flops(bench.shape, length, length)
    for item in items:
        record = bench.timed(lambda item=item: score_items(model, bench.encoder, [item], LENGTH, 1)[0], ours)
        ours.values += [sum(entry["logp"]) for entry in _answers(record)]
    bench.tidy()
    for item in items:
        twin.values += bench.timed(lambda item=item: naive_item(model, bench.encoder, item, bench.device), twin)
    twin.forwards = bench.shape.answers + 1
    return {"ours": ours, "twin": twin}


def _item(shape: Shape, sample: Sample) -> Item:
    wrong = tuple(words(shape.answer, f"{sample.uid}wrong{k}") for k in range(shape.answers - 1))
    return Item(sample.uid, sample.group, sample.question, sample.image, sample.answer, None, wrong)


def _answers(record: dict[str, Any]) -> list[dict[str, Any]]:
    return [record["answers"]["true"], *record["answers"]["wrong"]]


def peak_flops() -> float | None:
    """Return the peak of this device, None where it is not known."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return next((peak for part, peak in PEAKS.items() if all(word in name for word in part.split())), None)


def report(name: str, ways: dict[str, Measured]) -> dict[str, Any]:
    """Print both ways of one kind of work and return them with their difference in values."""
    rows = {way: measured.row() for way, measured in ways.items()}
    for way, row in rows.items():
        share = "" if row["percent_of_peak"] is None else f"  {row['percent_of_peak']:5.1f}% of peak"
        print(
            f"{name:5} {way:5} {row['median_seconds']:9.4f} s  {row['tflop']:9.3g} TFLOP  "
            f"{row['tflop_per_second']:8.3g} TFLOP/s{share}  {row['peak_memory_bytes'] / 1e9:6.1f} GB  "
            f"{row['forwards']:g} forwards"
        )
    pairs = zip(ways["ours"].values, ways["twin"].values, strict=True)
    apart = max(abs(a - b) / max(abs(b), 1.0) for a, b in pairs)
    print(f"{name:5} greatest relative difference of values {apart:.2g}")
    speedup = rows["twin"]["median_seconds"] / rows["ours"]["median_seconds"]
    return {**rows, "speedup": speedup, "greatest_relative_difference": apart}


def main(arguments: Sequence[str], results: Path = RESULTS) -> int:
    """Measure, print, write the file and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=sorted(SHAPES), default="7b")
    parser.add_argument("--count", type=int, default=10, help=f"steps and items, of which {WARM_UP} are not counted")
    parser.add_argument("--batch-size", type=int, default=2, help="samples of a view in a step")
    given = parser.parse_args(arguments)
    installed = tuple(int(part) for part in version("transformers").split(".")[:2])
    problems = [
        f"transformers {version('transformers')} is installed, and 5.21 or newer is needed; install req.txt."
        for _ in range(installed < NEEDED)
    ]
    if given.size == "7b" and not torch.cuda.is_available():
        problems.append("The 7b size needs a CUDA device and there is none; try --size tiny.")
    if given.count <= WARM_UP:
        problems.append(f"--count is {given.count}; allowed is more than {WARM_UP}, which are not counted.")
    if problems:
        print(f"error: {' '.join(problems)}", file=sys.stderr)
        return 2
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as folder:
        shape = SHAPES[given.size]
        bench = Bench(shape, new_encoder(shape, Path(folder)), device, given.count, given.batch_size)
        (Path(folder) / "run").mkdir()
        found = {"step": report("step", measure_step(bench, Path(folder) / "run"))}
        found["item"] = report("item", measure_items(bench))
    facts = {"size": given.size, "batch_size": given.batch_size, "tokens": bench.lengths()[0], **environment()}
    kind = torch.cuda.get_device_name().replace(" ", "_") if device.type == "cuda" else "cpu"
    results.mkdir(parents=True, exist_ok=True)
    write_json(results / f"gpu_llava_step_{given.size}_{kind}.json", {**facts, **found})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
