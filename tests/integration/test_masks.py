"""Methods on a part of the weights, through mm/forget.py's main: what is held is bit-identical to the start."""

import json

import pytest
import torch

from unlearn.errors import UserError
from unlearn.models.loading import load_model

FULL = (
    "lr=3e-3", "batch_size=2", "num_epochs=2", "lr_scheduler=constant", "warmup_ratio=0", "freeze_projector=false",
    "LoRA.r=0", "model_family.dtype=float64",
)  # fmt: skip
HARD = ("weight_decay=0.5", "l1_lambda=0.01", "max_grad_norm=0.1")
NPO = ("forget_loss=npo", "forget_loss.retain_term=kl")


def weights(family, path=None):
    return load_model(family, path and str(path)).state_dict()


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def fresh(family):
    """A model in float64, and its parameters by name that train: all but the vision tower's."""
    model = load_model(family, None).double()
    seeing = ("vision_tower", "visual")
    kept = {n: p for n, p in model.named_parameters() if "merger" in n or not any(s in n for s in seeing)}
    return model, kept


def slopes(model, kept, encoder, sample, mean=False):
    """The gradient of the cross-entropy of a sample's answer, by the library's own loss."""
    from unlearn.data.collate import Collator

    batch = Collator(0)([encoder.encode(sample, 160)])
    count = 1 if mean else int((batch.labels != -100).sum())
    loss = model(**batch.inputs, labels=batch.labels).loss * count
    grads = torch.autograd.grad(loss, list(kept.values()), allow_unused=True)
    return {name: torch.zeros_like(p) if g is None else g for (name, p), g in zip(kept.items(), grads, strict=True)}


def salient(family, samples, share):
    """SalUn's mask, by sorting all entries."""
    from unlearn.models.loading import load_encoder

    model, kept = fresh(family)
    encoder = load_encoder(family, None)
    found = [slopes(model, kept, encoder, sample) for sample in samples]
    total = {name: sum(one[name] for one in found).abs() for name in kept}
    ranked = torch.cat([t.flatten() for t in total.values()]).sort(descending=True).values
    bound = ranked[int(share * len(ranked)) - 1]
    return {name: t >= bound for name, t in total.items()}


@pytest.mark.parametrize("kind", ["llava", "qwen2_vl"])
@pytest.mark.parametrize("method", [NPO, ("forget_loss=salun", "forget_loss.saliency=0.1")])
def test_salient_weights_move_and_the_others_are_bit_identical(method, kind, script, tiny_families, sides, tmp_path):
    share = ("forget_loss.saliency=0.1",) if method is NPO else ()
    out = script("forget", *method, *share, *FULL, *HARD, f"save_dir={tmp_path / 'run'}", family=kind)
    family = tiny_families[kind]
    masks, old, new = salient(family, sides["forget"], 0.1), weights(family), weights(family, out)
    moved = {name: old[name] != new[name] for name in old}
    assert [name for name, mask in masks.items() if (moved[name] & ~mask).any()] == []
    assert sum(int((moved[name] & mask).sum()) for name, mask in masks.items()) > 0.95 * sum(
        int(mask.sum()) for mask in masks.values()
    )
    assert not any(moved[name].any() for name in old if "vision_tower" in name)


def test_with_all_weights_salient_a_method_is_what_it_is_without_a_mask(script, tiny_families, tmp_path):
    plain, masked = (
        script("forget", *NPO, *FULL, *HARD, f"save_dir={tmp_path / str(share)}", f"forget_loss.saliency={share}")
        for share in ("null", "1.0")
    )
    assert log_of(plain) == log_of(masked)
    one, other = (weights(tiny_families["llava"], out) for out in (plain, masked))
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.mark.parametrize(("share", "words"), [("0", "allowed is above 0 to 1"), ("1.1", "allowed is above 0 to 1")])
def test_a_share_out_of_range_is_refused(share, words, script, tmp_path):
    with pytest.raises(UserError, match=rf"forget_loss\.saliency is {share}.*{words}"):
        script("forget", *NPO, f"forget_loss.saliency={share}", *FULL, f"save_dir={tmp_path / 'run'}")


@pytest.mark.parametrize("method", [("forget_loss=salun",), (*NPO, "forget_loss.saliency=0.5")])
def test_a_mask_of_fresh_adapters_is_refused_with_the_reason(method, script, tmp_path, monkeypatch):
    monkeypatch.setattr("unlearn.models.loading.load_model", lambda *_: pytest.fail("weights were read"))
    with pytest.raises(UserError, match=r"fresh adapter's B is 0, so its A has gradient exactly 0 .*set LoRA\.r=0"):
        script("forget", *method, *FULL, "LoRA.r=4", f"save_dir={tmp_path / 'run'}")


def test_salun_without_its_mask_is_refused(script, tmp_path):
    with pytest.raises(UserError, match="saliency is null, but without a mask it is not SalUn"):
        script("forget", "forget_loss=salun", "forget_loss.saliency=null", *FULL, f"save_dir={tmp_path / 'run'}")
