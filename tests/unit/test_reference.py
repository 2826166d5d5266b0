"""The frozen teacher: it stays what the model was, sees no dropout, and leaves the model's mode alone."""

from contextlib import nullcontext

import pytest
import torch

from unlearn.config.schema import LoRAConfig
from unlearn.data.collate import Collator
from unlearn.data.samples import Sample
from unlearn.forwards import label_logits
from unlearn.models.loading import load_encoder, load_model
from unlearn.models.lora import add_lora
from unlearn.reference import adapters_off, build, second_model


@pytest.fixture
def batch(tiny_families, picture):
    encoder = load_encoder(tiny_families["llava"], None)
    return Collator(encoder.pad_id)([encoder.encode(Sample("a", "Who?", "Ada Lo", picture, "a"), 128)])


@pytest.fixture
def model(tiny_families):
    model = load_model(tiny_families["llava"], None)
    for layer in model.model.language_model.layers:
        layer.self_attn.attention_dropout = 0.5
    return model


def change(model):
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter))


def adapted(model):
    torch.manual_seed(0)
    return add_lora(model, LoRAConfig(r=2, dropout=0.5))


@pytest.mark.parametrize(
    ("make", "prepare"),
    [(adapters_off, adapted), (lambda model: second_model(model, nullcontext), lambda model: model)],
)
def test_a_teacher_stays_what_the_model_was(make, prepare, model, batch):
    with torch.no_grad():
        before = label_logits(model.eval(), batch).logits.clone()
    student = prepare(model)
    teacher = make(student)
    student.train()
    change(student)
    for _ in range(2):
        with teacher(student) as frozen:
            out = label_logits(frozen, batch).logits
        torch.testing.assert_close(out, before)
        assert not out.requires_grad
        assert student.training
        assert all(m.training for m in student.model.modules() if isinstance(m, torch.nn.Dropout))
    with torch.no_grad():
        assert not torch.allclose(label_logits(student.eval(), batch).logits, before, atol=1e-2)
        with teacher(student):
            pass
    assert not student.training


def test_the_cheaper_exact_one_is_built(model, batch):
    kinds = {build(m, nullcontext).__qualname__.split(".")[0] for m in (model, adapted(model))}
    assert kinds == {"second_model", "adapters_off"}
