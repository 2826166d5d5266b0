"""Score items: per-token statistics of every answer, and the greedy answer, in one record per item."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from unlearn.data.collate import Collator
from unlearn.data.samples import Encoded, Sample
from unlearn.errors import NonFiniteLossError
from unlearn.evaluation.gradients import gradient_norms
from unlearn.evaluation.items import Item
from unlearn.forwards import LabelLogits, label_logits
from unlearn.generation import generate
from unlearn.models.encoder import Encoder
from unlearn.models.router import Router
from unlearn.vision import Pictures, without_vision

SIGNIFICANT_DIGITS = 7
"""Digits of a number in a record: a float32 has 7.2, so none is lost and none is noise of its conversion."""

CHUNK = 512
"""Answer tokens whose statistics are taken at a time: 512 x 152k (Qwen2-VL's vocabulary) x 4 bytes = 311 MB a copy."""


@torch.no_grad()
def score_items(
    model: nn.Module,
    encoder: Encoder,
    items: Sequence[Item],
    max_length: int,
    max_new_tokens: int,
    blind: bool = False,
    gradient: bool = False,
) -> list[dict[str, Any]]:
    """Return one record per item: all answers of all items are rows of one batch, each picture is encoded once.

    blind     every record also has the greedy answer to the question without the picture (CLEAR's published ROUGE)
    gradient  every record also has the norm of the gradient of the true answer's loss (`gradient_norms`)

    Behind a router every record tells whether its prompt was routed. The model must be in eval mode. Raises UserError
    for a sample longer than `max_length` and NonFiniteLossError for a model that gives no finite probabilities.
    """
    encoded = [_encode(encoder, item, max_length) for item in items]
    prompts = [prompt for prompt, _ in encoded]
    pictures = Pictures(model, [prompt.vision for prompt in prompts], next(model.parameters()).device)
    scores = _score_answers(model, encoder, items, [rows for _, rows in encoded], pictures)
    generated = generate(model, encoder, prompts, pictures, max_new_tokens)
    records = [_record(*parts) for parts in zip(items, prompts, scores, generated, strict=True)]
    if blind:
        for record, answer in zip(
            records, _blind_answers(model, encoder, items, generated, max_new_tokens), strict=True
        ):
            record["generated_blind"] = answer
    if gradient:
        norms = gradient_norms(model, encoder.pad_id, [rows[0] for _, rows in encoded])
        for record, norm in zip(records, norms, strict=True):
            record["gradient_norm"] = _rounded(norm)
    router: Router | None = getattr(model, "router", None)
    if router is not None:
        for record, prompt in zip(records, prompts, strict=True):
            record["routed"] = router.routes(prompt.input_ids)
    return records


def _blind_answers(
    model: nn.Module, encoder: Encoder, items: Sequence[Item], generated: Sequence[str], max_new_tokens: int
) -> list[str]:
    """Return the greedy answers without pictures; where there is none, it is the answer that was `generated`."""
    pictured = [i for i, item in enumerate(items) if item.image is not None]
    answers = list(generated)
    if pictured:
        prompts = [encoder.encode_prompt(replace(_sample(items[i], ""), image=None)) for i in pictured]
        nothing = Pictures(model, [prompt.vision for prompt in prompts], next(model.parameters()).device)
        for i, answer in zip(pictured, generate(model, encoder, prompts, nothing, max_new_tokens), strict=True):
            answers[i] = answer
    return answers


def _encode(encoder: Encoder, item: Item, max_length: int) -> tuple[Encoded, list[Encoded]]:
    """Return the item's prompt, and the prompt with each of its answers; no answer is ever cut."""
    prompt = encoder.encode_prompt(_sample(item, ""))
    rows = [encoder.encode(_sample(item, text), max_length, cut_answer=False) for text in item.answers()]
    length = len(prompt.input_ids)
    assert all(row.input_ids[:length] == prompt.input_ids for row in rows), f"{item.uid}: prompts differ"
    return prompt, rows


def _score_answers(
    model: nn.Module, encoder: Encoder, items: Sequence[Item], rows: Sequence[Sequence[Encoded]], pictures: Pictures
) -> list[list[dict[str, Any]]]:
    """Return per item the scores of `item.answers()`, in that order."""
    owners = [i for i, of_item in enumerate(rows) for _ in of_item]
    texts = [text for item in items for text in item.answers()]
    batch = Collator(encoder.pad_id, side="right")([without_vision(row) for of_item in rows for row in of_item])
    batch = batch.to(next(model.parameters()).device)
    batch = replace(batch, inputs={**batch.inputs, **pictures.inputs(owners)})
    scores: list[list[dict[str, Any]]] = [[] for _ in items]
    for i, text, values in zip(owners, texts, answer_scores(label_logits(model, batch), len(texts)), strict=True):
        if not all(map(math.isfinite, values["logp"])):
            raise NonFiniteLossError(
                f"The model gives no finite probability to {items[i].uid}; its weights are broken."
            )
        scores[i].append({"text": text, **values})
    return scores


def answer_scores(out: LabelLogits, rows: int) -> list[dict[str, list[float]]]:
    """Return logp, mu, sigma and hit of each of the batch's rows: lists over its answer tokens, end token last."""
    chunks = zip(out.logits.split(CHUNK), out.targets.split(CHUNK), strict=True)
    columns = [torch.cat(parts) for parts in zip(*(token_statistics(*chunk) for chunk in chunks), strict=True)]
    # The answer tokens of a row stand together and the rows in order, as a boolean mask takes them.
    lengths = torch.bincount(out.rows, minlength=rows).tolist()
    logp, mu, sigma, hit = (column.cpu().split(lengths) for column in columns)
    return [
        {"logp": _all_rounded(a), "mu": _all_rounded(b), "sigma": _all_rounded(c), "hit": d.int().tolist()}
        for a, b, c, d in zip(logp, mu, sigma, hit, strict=True)
    ]


def token_statistics(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return logp, mu, sigma, hit, each [N], of next-token logits [N, V] and the tokens [N] that came.

    With l(v) = log p(v) under the model's own next-token distribution p:
        mu = sum_v p(v) l(v),  sigma^2 = sum_v p(v) (l(v) - mu)^2  (Min-K%++, Zhang et al. 2024, arXiv:2404.02936)
    hit: the token is the most probable one.
    """
    log_probs = logits.log_softmax(-1)
    probs = log_probs.exp()
    # A token of probability 0 adds nothing; 0 x -inf would add NaN.
    finite = log_probs.masked_fill(probs == 0, 0)
    mu = (probs * finite).sum(-1)
    variance = (probs * (finite - mu[:, None]).square()).sum(-1)
    logp = log_probs.gather(-1, targets[:, None])[:, 0]
    return logp, mu, variance.sqrt(), logits.argmax(-1) == targets


def _record(item: Item, prompt: Encoded, scores: list[dict[str, Any]], generated: str) -> dict[str, Any]:
    rest = iter(scores)
    true = next(rest)
    paraphrase = next(rest) if item.paraphrase is not None else None
    return {
        "uid": item.uid,
        "group": item.group,
        "prompt_hash": _prompt_hash(prompt, item.image),
        "answers": {"true": true, "paraphrase": paraphrase, "wrong": list(rest)},
        "prompt": item.question,
        "generated": generated,
    }


def _prompt_hash(prompt: Encoded, image: bytes | None) -> str:
    """Return the hash of the prompt's token ids and of the picture: equal where two models were asked the same."""
    digest = hashlib.sha256(",".join(map(str, prompt.input_ids)).encode())
    digest.update(image or b"")
    return digest.hexdigest()[:16]


def _sample(item: Item, answer: str) -> Sample:
    return Sample(item.uid, item.question, answer, item.image, item.group)


def _all_rounded(values: Tensor) -> list[float]:
    return [_rounded(value) for value in values.tolist()]


def _rounded(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
