"""A run without training: a router is fitted on the prompts of both sides and written before the start model (ECO)."""

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.special import expit
from torch import nn

from unlearn.config.scripts import ForgetConfig
from unlearn.cost import Meter
from unlearn.data.questions import stable_integer
from unlearn.data.samples import Sample
from unlearn.engine import start_run
from unlearn.errors import UserError
from unlearn.models.encoder import Encoder
from unlearn.models.router import Router, Run, runs_of, save_router
from unlearn.run import Run as RunFolder

log = logging.getLogger(__name__)

HELD_OUT = 5
"""Every so many-th prompt of a side chooses the threshold and is not fitted on."""

Ids = tuple[int, ...]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Classifier:
    """Weights of runs, bias, and the score above which a prompt is routed."""

    weights: Mapping[Run, float]
    bias: float
    threshold: float


def route(
    cfg: ForgetConfig,
    sets: dict[str, list[Sample]],
    model: nn.Module,
    encoder: Encoder,
    accelerator: Accelerator,
    run: RunFolder,
    base: str,
) -> None:
    """Fit a router on the samples to be forgotten and to be kept, and end `run` with it before the model `base`.

    Every process fits, so that all of them stop where it cannot be done; nothing is written then.
    """
    with Meter(model) as meter:
        router = _fitted(cfg, sets, model, encoder)
        cost = meter.cost()
    start_run(run, cfg, accelerator, model.requires_grad_(False), sets)
    if accelerator.is_main_process:
        save_router(router, run.folder, base)
        run.end({"cost": {**asdict(cost), "steps": 0, "resumed_at": 0}})
        log.info("saved to %s", run.folder)
    accelerator.wait_for_everyone()


def _fitted(cfg: ForgetConfig, sets: dict[str, list[Sample]], model: nn.Module, encoder: Encoder) -> Router:
    method = cfg.method()
    ignored = {i for i, token in encoder.tokenizer.added_tokens_decoder.items() if token.special}
    forget, retain = (prompts(sets[side], encoder, ignored) for side in ("forget", "retain"))
    return Router(
        **vars(fit(forget, retain, cfg.seed, method.l2)),
        entities=entities(forget, retain, method.entity_z),
        ignored=frozenset(ignored),
        noise=method.sigma * root_mean_square(model, forget),
        seed=cfg.seed,
    )


def prompts(samples: Sequence[Sample], encoder: Encoder, ignored: set[int]) -> list[Ids]:
    """Return the text ids of every prompt once, in the order of the samples; what a picture shows does not count."""
    first = {(sample.question, sample.image is None): sample for sample in reversed(samples)}
    encoded = [encoder.encode_prompt(sample).input_ids for sample in reversed(first.values())]
    return list(dict.fromkeys(tuple(i for i in ids if i not in ignored) for ids in encoded))


def fit(forget: Sequence[Ids], retain: Sequence[Ids], seed: int, l2: float) -> Classifier:
    """Return the classifier of the prompts. Raises UserError for less than two prompts on either side.

    The sides keep their sizes in the loss, so that a prompt of unknown words is one of the many that are to be kept.
    """
    if min(len(forget), len(retain)) < 2:
        raise UserError(
            f"forget_loss=eco tells prompts apart and needs two or more of either side; given are {len(forget)} to be "
            f"forgotten and {len(retain)} to be kept."
        )
    (fitted, chosen), (kept, spared) = (split(side, seed) for side in (forget, retain))
    vocabulary = sorted(set().union(*map(runs_of, [*fitted, *kept])))
    index = {run: i for i, run in enumerate(vocabulary)}
    weights, bias = logistic(features([*fitted, *kept], index), np.repeat([1.0, -1.0], [len(fitted), len(kept)]), l2)
    scores = [features(part, index) @ weights + bias for part in (chosen, spared)]
    return Classifier(dict(zip(vocabulary, weights.tolist(), strict=True)), bias, best_threshold(*scores))


def split(side: Sequence[Ids], seed: int) -> tuple[list[Ids], list[Ids]]:
    """Return the prompts that are fitted on, and every fifth (one at least) in an order drawn from the seed."""
    ordered = sorted(side, key=lambda ids: stable_integer("held out", seed, *ids))
    held = math.ceil(len(ordered) / HELD_OUT)
    return ordered[held:], ordered[:held]


def features(side: Sequence[Ids], index: Mapping[Run, int]) -> csr_matrix:
    """Return [prompts, runs]: 1 / sqrt(number of its runs) where a prompt has a run, as `Router.score` has it."""
    found = [runs_of(ids) for ids in side]
    cells = [
        (row, index[run], 1 / math.sqrt(len(runs)))
        for row, runs in enumerate(found)
        for run in sorted(runs)
        if run in index
    ]
    rows, columns, values = zip(*cells, strict=True) if cells else ((), (), ())
    return csr_matrix((values, (rows, columns)), shape=(len(side), len(index)))


def logistic(x: csr_matrix, y: Floats, l2: float) -> tuple[Floats, float]:
    """Return w and b that minimise mean log(1 + exp(-y (x w + b))) + l2/2 |w|^2 for labels y of -1 and 1."""

    def loss(point: Floats) -> tuple[float, Floats]:
        w, b = point[:-1], point[-1]
        margin = y * (x @ w + b)
        slope = -y * expit(-margin) / len(y)
        return np.logaddexp(0, -margin).mean() + l2 / 2 * w @ w, np.append(x.T @ slope + l2 * w, slope.sum())

    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 1000}).x
    return found[:-1], float(found[-1])


def best_threshold(forget: Floats, retain: Floats) -> float:
    """Return the cut between neighbouring scores of the highest F1 of "above it"; of several the highest cut."""
    scores = np.unique(np.concatenate([forget, retain]))
    cuts = np.concatenate([[scores[0] - 1], (scores[1:] + scores[:-1]) / 2])
    hits = np.array([(forget > cut).sum() for cut in cuts])
    f1 = [2 * hit / (hit + (retain > cut).sum() + len(forget)) for hit, cut in zip(hits, cuts, strict=True)]
    return float(cuts[np.flatnonzero(np.equal(f1, max(f1)))[-1]])


def entities(forget: Sequence[Ids], retain: Sequence[Ids], least_z: float) -> frozenset[Run]:
    """Return the shortest runs that tell the sides apart: by `least_z` standard errors, and with no such run inside.

    A name whose words are all its own is found word by word, one whose words others have too as the words together.
    """
    counts = [Counter(run for ids in side for run in runs_of(ids)) for side in (forget, retain)]
    found: set[Run] = set()
    for run in sorted(counts[0], key=lambda run: (len(run), run)):
        of_forget, of_retain = (count[run] for count in counts)
        z = log_odds_z(of_forget, len(forget) - of_forget, of_retain, len(retain) - of_retain)
        if z > least_z and not found & runs_of(run):
            found.add(run)
    return frozenset(found)


def log_odds_z(a: int, b: int, c: int, d: int) -> float:
    """Return the log odds ratio log(a d / (b c)) in standard errors, sqrt(1/a + 1/b + 1/c + 1/d), 1/2 added to each.

    a, c  prompts of either side that have a run
    b, d  those that have it not (Haldane 1956; Agresti 2002, section 3.1)
    """
    a, b, c, d = (count + 0.5 for count in (a, b, c, d))
    return math.log(a * d / (b * c)) / math.sqrt(1 / a + 1 / b + 1 / c + 1 / d)


def root_mean_square(model: nn.Module, forget: Sequence[Ids]) -> float:
    """Return the root mean square of the entries of the embeddings of the forget prompts' tokens, each taken once."""
    import torch

    embedding = model.get_input_embeddings()
    ids = torch.tensor(sorted(set().union(*forget)), device=embedding.weight.device)
    with torch.no_grad():
        return float(embedding(ids).double().square().mean().sqrt())
