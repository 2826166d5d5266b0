"""Answers in words: the arg-max token at every step, or drawn tokens, with the picture, until the end token."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from unlearn.data.collate import Collator
from unlearn.data.samples import Encoded
from unlearn.models.encoder import Encoder
from unlearn.vision import Pictures, without_vision


def generate(
    model: nn.Module, encoder: Encoder, prompts: Sequence[Encoded], pictures: Pictures, max_new_tokens: int
) -> list[str]:
    """Return the greedy answer to each prompt, without special tokens.

    prompts   encoded without an answer, item i with picture i of `pictures`
    """
    return _answers(model, encoder, prompts, pictures.inputs(range(len(prompts))), max_new_tokens, [])


def draw(
    model: nn.Module,
    encoder: Encoder,
    prompts: Sequence[Encoded],
    pictures: Pictures,
    max_new_tokens: int,
    seeds: Sequence[Sequence[int]],
) -> list[list[str]]:
    """Return answers to each prompt drawn from the model (T = 1, the whole vocabulary), one for each of its seeds.

    An answer is a function of the model, its prompt and its seed: neither the other rows of the batch nor the state of
    any generator enters it.
    """
    owners = [i for i, own in enumerate(seeds) for _ in own]
    noise = Gumbel([seed for own in seeds for seed in own])
    rows = [prompts[i] for i in owners]
    flat = iter(_answers(model, encoder, rows, pictures.inputs(owners), max_new_tokens, [noise]))
    return [[next(flat) for _ in own] for own in seeds]


class Gumbel:
    """Adds Gumbel noise to next-token logits: their arg-max then is a draw from the softmax (the Gumbel-max trick).

    seeds  one per row. The noise of a row's token t are the t-th numbers of a generator of its own, on the CPU, so
           that every device has the same.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return [B, V] logits with noise -log E, E exponential with mean 1."""
        del input_ids
        size = scores.shape[-1]
        noise = torch.stack([-torch.empty(size).exponential_(generator=g).log() for g in self.generators])
        return scores + noise.to(scores)


def _answers(
    model: nn.Module,
    encoder: Encoder,
    prompts: Sequence[Encoded],
    vision: dict[str, Any],
    max_new_tokens: int,
    processors: list[Any],
) -> list[str]:
    """Return what has the largest logit, step by step, once `processors` have changed the logits.

    The batch is padded on the left, so every answer starts at the same position and is cut out of the token ids there:
    nothing is searched for in a string.
    """
    device = next(model.parameters()).device
    batch = Collator(encoder.pad_id, side="left")([without_vision(p) for p in prompts]).to(device)
    inputs: dict[str, Any] = {**batch.inputs, **vision}
    with _greedy(model, encoder):
        sequences = model.generate(**inputs, max_new_tokens=max_new_tokens, use_cache=True, logits_processor=processors)
    start = batch.inputs["input_ids"].shape[1]
    return [encoder.decode(_until_end(ids, encoder.end_ids)) for ids in sequences[:, start:].tolist()]


def _until_end(ids: list[int], end_ids: Sequence[int]) -> list[int]:
    """Return the ids before the first end token; what follows it is padding of the batch."""
    ends = [i for i, token in enumerate(ids) if token in set(end_ids)]
    return ids[: ends[0]] if ends else ids


@contextmanager
def _greedy(model: nn.Module, encoder: Encoder) -> Iterator[None]:
    """Put a bare generation config in place of the model's own.

    Arguments of `generate` do not suffice: what they leave open is filled from the config that came with the model,
    where Qwen2-VL has a repetition penalty, a temperature and top_k.
    """
    from transformers import GenerationConfig

    saved = model.generation_config
    model.generation_config = GenerationConfig(
        do_sample=False, num_beams=1, pad_token_id=encoder.pad_id, eos_token_id=list(encoder.end_ids)
    )
    try:
        yield
    finally:
        model.generation_config = saved
