"""A router before a model whose weights stay: it picks prompts by their words and corrupts their embeddings (ECO).

What it says of a prompt is a function of the prompt's token ids, and so is the noise: neither depends on the batch, the
padding, the process, or the answer that is scored under the prompt.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unlearn.data.questions import stable_integer
from unlearn.errors import UserError
from unlearn.files import write_json
from unlearn.models.folders import BASE_KEY, ROUTER, ROUTER_WEIGHTS, read_json

LONGEST = 3
"""Words of a name come in pieces: runs of up to so many tokens are what a prompt is told by."""
NOTHING = -1
"""Filler of shorter runs in the file."""
NUMBERS = ("bias", "threshold", "noise", "seed")

Run = tuple[int, ...]


def runs_of(ids: Sequence[int]) -> set[Run]:
    """Return every run of 1 to `LONGEST` neighbouring ids, each once."""
    return {tuple(ids[i : i + n]) for n in range(1, LONGEST + 1) for i in range(len(ids) - n + 1)}


@dataclass(frozen=True)
class Router:
    """A linear classifier of prompts by the runs of their tokens, and the noise on those that it picks.

    weights    of the runs that were seen when it was fitted; others count as 0
    threshold  a score above it is routed
    entities   the runs that are corrupted in a routed prompt
    ignored    ids that no text is made of (pictures, turns): neither scored nor corrupted
    noise      standard deviation of the noise, in the unit of the embeddings
    """

    weights: Mapping[Run, float]
    bias: float
    threshold: float
    entities: frozenset[Run]
    ignored: frozenset[int]
    noise: float
    seed: int

    def score(self, ids: Sequence[int]) -> float:
        """Return bias + sum_r w_r / sqrt(number of runs) over the runs r of a prompt's text, a log-odds."""
        found = runs_of([i for i in ids if i not in self.ignored])
        # Exact, so that the order of a set does not matter.
        total = math.fsum(self.weights.get(run, 0.0) for run in found)
        return self.bias + total / math.sqrt(len(found)) if found else self.bias

    def routes(self, ids: Sequence[int]) -> bool:
        """Tell whether a prompt is taken for one about what is to be forgotten."""
        return self.score(ids) > self.threshold

    def places(self, ids: Sequence[int]) -> list[int]:
        """Return the positions of a routed prompt that are corrupted: its entities, or all its text if it has none."""
        text = [place for place, i in enumerate(ids) if i not in self.ignored]
        spans = [text[start : start + n] for n in range(1, LONGEST + 1) for start in range(len(text) - n + 1)]
        found = {place for span in spans if tuple(ids[p] for p in span) in self.entities for place in span}
        return sorted(found) or text

    def perturbation(self, ids: Sequence[int], width: int) -> Tensor:
        """Return [places, width] float32 noise from N(0, noise^2), drawn from (seed, ids)."""
        generator = torch.Generator().manual_seed(stable_integer("router", self.seed, *ids))
        return self.noise * torch.randn(len(self.places(ids)), width, generator=generator)


def attach(model: nn.Module, router: Router) -> None:
    """Put `router` before `model`, in every forward from now on; it is found as `model.router`.

    A prompt is what is attended before the first answer position (`logits_to_keep` as a boolean mask), and everything
    that is attended where there is no such mask. Later steps of a generation see the prompt's keys in the cache.
    """
    model.router = router
    seen: list[Tensor] = []
    model.register_forward_pre_hook(partial(_note_prompts, seen), with_kwargs=True)
    model.get_input_embeddings().register_forward_hook(partial(_corrupt, router, seen))


def _note_prompts(seen: list[Tensor], _model: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any]) -> None:
    """Leave [B, S] in `seen`, true where a prompt stands; nothing where the forward continues one."""
    seen.clear()
    ids = inputs.get("input_ids", args[0] if args else None)
    cache = inputs.get("past_key_values")
    if ids is None or (cache is not None and cache.get_seq_length() > 0):
        return
    attended, answers = inputs.get("attention_mask"), inputs.get("logits_to_keep")
    prompts = torch.ones_like(ids, dtype=torch.bool) if attended is None else attended.bool()
    if isinstance(answers, Tensor) and answers.dtype is torch.bool:
        # The first answer position predicts the first answer token: the prompt's last token stands there.
        prompts = prompts & (answers.cumsum(1) - answers.int() == 0)
    seen.append(prompts)


def _corrupt(
    router: Router, seen: list[Tensor], _embedding: nn.Module, inputs: tuple[Tensor, ...], embedded: Tensor
) -> Tensor | None:
    """Return the embeddings [B, S, d] with noise on the routed rows; None, so as they are, where no row is routed."""
    if not seen:
        return None
    prompts, changed = seen.pop(), None
    for row, ids in enumerate(inputs[0]):
        where = prompts[row].nonzero()[:, 0]
        prompt = ids[where].tolist()
        if router.noise and router.routes(prompt):
            changed = embedded.clone() if changed is None else changed
            noise = router.perturbation(prompt, embedded.shape[-1])
            changed[row, where[router.places(prompt)]] += noise.to(embedded)
    return changed


def save_router(router: Router, folder: Path, base: str) -> None:
    """Write a router to `folder`, the file that makes it a checkpoint last.

    base  folder or Hub id of the model that it stands before; a folder is written down as an absolute path
    """
    from safetensors.torch import save_file

    runs = sorted(router.weights)
    tensors = {
        "runs": _padded(runs),
        "weights": torch.tensor([router.weights[run] for run in runs], dtype=torch.float64),
        "entities": _padded(sorted(router.entities)),
        "ignored": torch.tensor(sorted(router.ignored), dtype=torch.int64),
    }
    (folder / ROUTER).unlink(missing_ok=True)
    save_file(tensors, folder / ROUTER_WEIGHTS, metadata={"format": "pt"})
    place = str(Path(base).resolve()) if Path(base).is_dir() else base
    write_json(folder / ROUTER, {BASE_KEY: place, **{key: getattr(router, key) for key in NUMBERS}})


def _padded(runs: Sequence[Run]) -> Tensor:
    """Return [runs, LONGEST], short ones filled up."""
    rows = [[*run, *[NOTHING] * (LONGEST - len(run))] for run in runs]
    return torch.tensor(rows, dtype=torch.int64).view(-1, LONGEST)


def _unpadded(rows: Tensor) -> list[Run]:
    return [tuple(i for i in row if i != NOTHING) for row in rows.tolist()]


def read_router(folder: Path) -> Router:
    """Return the router in `folder`. Raises UserError for files that lack a part of it."""
    from safetensors.torch import load_file

    numbers, tensors = read_json(folder / ROUTER), load_file(folder / ROUTER_WEIGHTS)
    absent = [key for key in NUMBERS if key not in numbers]
    absent += [key for key in ("runs", "weights", "entities", "ignored") if key not in tensors]
    if absent:
        raise UserError(f'The router in "{folder}" lacks {", ".join(absent)}; restore it or run it again.')
    return Router(
        weights=dict(zip(_unpadded(tensors["runs"]), tensors["weights"].tolist(), strict=True)),
        entities=frozenset(_unpadded(tensors["entities"])),
        ignored=frozenset(tensors["ignored"].tolist()),
        **{key: numbers[key] for key in NUMBERS},
    )
