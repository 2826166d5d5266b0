"""The naive twins of gpu_llava_step.py: a teacher of its own, logits everywhere, one forward an answer."""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from unlearn.data.collate import Collator
from unlearn.data.samples import IGNORE, Batch, Sample
from unlearn.evaluation.items import Item
from unlearn.models.encoder import Encoder

LENGTH = 1024
"""Most tokens of a sample."""


def batch_of(encoder: Encoder, samples: list[Sample], device: torch.device) -> Batch:
    """Return samples as a batch on the device."""
    return Collator(encoder.pad_id)([encoder.encode(sample, LENGTH) for sample in samples]).to(device)


def _all_log_probs(model: nn.Module, batch: Batch) -> Tensor:
    """[B, S - 1, V] the next-token distributions."""
    return model(**batch.inputs, use_cache=False).logits[:, :-1].float().log_softmax(-1)


def naive_npo(model: nn.Module, teacher: nn.Module, batch: Batch, beta: float = 0.1) -> Tensor:
    """Return -(2 / beta) E[log sigmoid(-beta (log pi - log pi_ref))] over sequences."""
    targets = batch.labels[:, 1:]
    logps = []
    for net in (model, teacher):
        with torch.set_grad_enabled(net is model):
            tokens = _all_log_probs(net, batch).gather(-1, targets.clamp(min=0)[..., None])[..., 0]
            logps.append((tokens * (targets != IGNORE)).sum(1))
    return -(2 / beta) * logsigmoid(-beta * (logps[0] - logps[1])).mean()


def naive_kl(model: nn.Module, teacher: nn.Module, batch: Batch) -> Tensor:
    """Return E[KL(pi_ref || pi)] over answer tokens."""
    mask = batch.labels[:, 1:] != IGNORE
    with torch.no_grad():
        theirs = _all_log_probs(teacher, batch)
    divergence = (theirs.exp() * (theirs - _all_log_probs(model, batch))).sum(-1)
    return (divergence * mask).sum() / mask.sum()


@torch.no_grad()
def naive_item(model: nn.Module, encoder: Encoder, item: Item, device: torch.device) -> list[float]:
    """Return the log-probability of every answer, from a forward of its own with logits at all positions."""
    found = []
    sample = Sample(item.uid, item.question, item.answer, item.image, item.group)
    for text in item.answers():
        batch = batch_of(encoder, [replace(sample, answer=text)], device)
        targets = batch.labels[:, 1:]
        tokens = _all_log_probs(model, batch).gather(-1, targets.clamp(min=0)[..., None])[..., 0]
        found.append((tokens * (targets != IGNORE)).sum().item())
    prompt = Collator(encoder.pad_id)([encoder.encode_prompt(sample)]).to(device)
    model.generate(**prompt.inputs, max_new_tokens=1, do_sample=False)
    return found
