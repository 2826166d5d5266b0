"""Greedy answers: the arg-max token at every step, with the picture, until the end token."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from unlearn.data.collate import Collator
from unlearn.data.samples import Encoded
from unlearn.evaluation.vision import Pictures, without_vision
from unlearn.models.encoder import Encoder


def generate(
    model: nn.Module, encoder: Encoder, prompts: Sequence[Encoded], pictures: Pictures, max_new_tokens: int
) -> list[str]:
    """Return the greedy answer to each prompt, without special tokens.

    prompts   encoded without an answer, item i with picture i of `pictures`

    The batch is padded on the left, so every answer starts at the same position and is cut out of the token ids there:
    nothing is searched for in a string.
    """
    device = next(model.parameters()).device
    batch = Collator(encoder.pad_id, side="left")([without_vision(p) for p in prompts]).to(device)
    inputs: dict[str, Any] = {**batch.inputs, **pictures.inputs(range(len(prompts)))}
    with _greedy(model, encoder):
        sequences = model.generate(**inputs, max_new_tokens=max_new_tokens, use_cache=True)
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
