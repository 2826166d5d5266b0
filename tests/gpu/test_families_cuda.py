"""4-bit weights on a CUDA device: the values of the CPU, and adapters that train on them."""

import dataclasses

import pytest
import torch
from tiny_models import TINY, png

from unlearn.config.schema import DType, LoRAConfig
from unlearn.config.scripts import FinetuneConfig
from unlearn.data.collate import Collator
from unlearn.data.samples import Sample
from unlearn.forwards import View
from unlearn.models.components import decoder
from unlearn.models.loading import load_encoder, load_model
from unlearn.models.quantization import quantize
from unlearn.models.trainable import make_trainable

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.fixture(params=list(TINY))
def family(request, tiny_families, tmp_path):
    TINY[request.param].write(tmp_path / "wide", width=64)
    return dataclasses.replace(tiny_families[request.param], hub_id=str(tmp_path / "wide"), dtype=DType.bfloat16)


def test_codes_mean_what_they_mean_on_the_cpu(family, monkeypatch):
    from bitsandbytes.functional import dequantize_4bit

    decoded = []
    for cuda in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        model = load_model(family, None)
        quantize(model)
        weight = decoder(model).layers[1].mlp.down_proj.weight
        assert weight.device.type == ("cuda" if cuda else "cpu")
        decoded.append(dequantize_4bit(weight.data, weight.quant_state).float().cpu())
    assert (decoded[0] - decoded[1]).abs().mean() < 0.01 * decoded[1].abs().mean()


def test_adapters_train_on_codes(family):
    cfg = FinetuneConfig(family, None, save_dir="", LoRA=LoRAConfig(r=4, load_in_4bit=True))
    encoder, model = load_encoder(family, None), make_trainable(load_model(family, None), cfg).to("cuda")
    rows = [encoder.encode(Sample("a", "Who?", "Ada", png(), "a"), 64)]
    batch = Collator(encoder.pad_id)(rows).to("cuda")
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    losses = []
    for _ in range(6):
        with torch.autocast("cuda", torch.bfloat16):
            loss = View(batch, model).ce_tokens.mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.05
