"""Make the pretrained mini LLaVA: `python -m unlearn.data.mini.pretrain [--out FOLDER]`.

A plain loop on two CPU cores (about four minutes), the same weights every time on one machine. Beside the model it
writes `pretraining.json`: command, seed, package versions, fingerprint of data and recipe, losses, wall time.
"""

import argparse
import json
import logging
import math
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

import torch
from PIL import Image
from transformers import LlavaProcessor, PreTrainedModel, PreTrainedTokenizerBase

from unlearn.data.mini.models import llava_processor, new_llava
from unlearn.data.mini.recipe import SHARES, batches, fingerprint, pretraining_pictures, pretraining_samples
from unlearn.data.mini.sight import SightSettings, tower_steps
from unlearn.data.samples import IGNORE, Sample

SHIPPED = Path(__file__).parent / "llava"
RECORD = "pretraining.json"
PACKAGES = ("torch", "transformers", "tokenizers", "pillow")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters of the second stage (AdamW, warm-up then cosine to zero, mean NLL per answer token)."""

    seed: int = 0
    steps: int = 1200
    batch: int = 32
    lr: float = 2e-3
    warmup: int = 50
    weight_decay: float = 0.05
    max_grad_norm: float = 1.0
    threads: int = 2
    sight: SightSettings = field(default_factory=SightSettings)


def main() -> None:
    """Read the command line, pretrain, and put the folder in place as a whole."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=SHIPPED, help="folder to write (default: the shipped one)")
    out = parser.parse_args().out
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    pretrain(Settings(), out)


def pretrain(settings: Settings, out: Path) -> None:
    """Train from scratch and write model (float16), tokenizer, processor and record to `out`."""
    start = time.time()
    torch.set_num_threads(settings.threads)
    pictures = pretraining_pictures(settings.seed)
    groups = pretraining_samples(pictures, settings.seed)
    processor = llava_processor()
    model = new_llava(processor.tokenizer, settings.seed)
    seeing = logged("sight", tower_steps(model, processor, pictures, settings.sight, settings.seed))
    speaking = logged("speech", training_steps(model, processor, groups, SHARES, settings))
    record = {
        "command": "python -m unlearn.data.mini.pretrain",
        "settings": asdict(settings),
        "versions": {name: version(name) for name in PACKAGES},
        "fingerprint": fingerprint(pictures, groups, SHARES, asdict(settings)),
        "losses": {"sight": ends(seeing), "speech": ends(speaking)},
        "wall_seconds": round(time.time() - start, 1),
    }
    save_whole(model, processor, record, out)


def ends(losses: list[float]) -> dict[str, list[float]]:
    """Return the first and the last losses of a stage."""
    return {"first": losses[:10], "last": losses[-10:]}


def logged(stage: str, steps: Iterator[float]) -> list[float]:
    """Run a stage and return its losses; every hundredth is logged."""
    losses, start = [], time.time()
    for step, loss in enumerate(steps):
        losses.append(loss)
        if step % 100 == 0:
            log.info("%s: step %d, loss %.3f, %.0f s", stage, step, loss, time.time() - start)
    return losses


def training_steps(
    model: PreTrainedModel,
    processor: LlavaProcessor,
    groups: dict[str, list[Sample]],
    shares: dict[str, float],
    settings: Settings,
) -> Iterator[float]:
    """Train `model` in place and yield the loss of every step (mean NLL per answer token, before the step)."""
    optimizer = torch.optim.AdamW(
        model.parameters(), settings.lr, betas=(0.9, 0.98), weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, settings))
    model.train()
    for batch in batches(groups, shares, settings.steps, settings.batch, settings.seed):
        loss = model(**collate(batch, processor), use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
        optimizer.step()
        schedule.step()
        yield loss.item()


def collate(samples: list[Sample], processor: LlavaProcessor) -> dict[str, torch.Tensor]:
    """Encode samples, padded on the right: input_ids, attention_mask, labels [B, S]; pixel_values [images, 3, H, W]."""
    prompts, answers = zip(*(_ids(sample, processor) for sample in samples), strict=True)
    width = max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True))
    pad = processor.tokenizer.pad_token_id
    ids = torch.full((len(samples), width), pad)
    labels, mask = torch.full_like(ids, IGNORE), torch.zeros_like(ids)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        end = len(prompt) + len(answer)
        ids[row, :end] = torch.tensor(prompt + answer)
        labels[row, len(prompt) : end] = torch.tensor(answer)
        mask[row, :end] = 1
    batch = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    pictures = [Image.open(BytesIO(sample.image)) for sample in samples if sample.image]
    if pictures:
        batch["pixel_values"] = processor.image_processor(pictures, return_tensors="pt")["pixel_values"]
    return batch


def _ids(sample: Sample, processor: LlavaProcessor) -> tuple[list[int], list[int]]:
    tokenizer, height = processor.tokenizer, processor.image_processor.crop_size["height"]
    content = [{"type": "image"}] * bool(sample.image) + [{"type": "text", "text": sample.question}]
    chat = [{"role": "user", "content": content}]
    prompt = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    prompt = prompt.replace(processor.image_token, processor.image_token * (height // processor.patch_size) ** 2)
    return tokenizer(prompt)["input_ids"], [*tokenizer(sample.answer)["input_ids"], tokenizer.eos_token_id]


def _rate(step: int, settings: Settings) -> float:
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    return 0.5 * (1 + math.cos(math.pi * (step - settings.warmup) / (settings.steps - settings.warmup)))


def save_whole(
    model: PreTrainedModel, files: LlavaProcessor | PreTrainedTokenizerBase, record: dict[str, object], out: Path
) -> None:
    """Write model (float16), processor or tokenizer, and record; the folder appears as a whole."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    model.half().save_pretrained(temporary)
    files.save_pretrained(temporary)
    (temporary / RECORD).write_text(json.dumps(record, indent=1) + "\n")
    for file in temporary.iterdir():
        file.chmod(0o644)
    temporary.chmod(0o755)
    shutil.rmtree(out, ignore_errors=True)
    temporary.replace(out)


if __name__ == "__main__":
    main()
