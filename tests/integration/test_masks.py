"""Methods on a part of the weights, through mm/forget.py's main: what is held is bit-identical to the start."""

import json

import pytest
import torch

from unlearn.config.schema import Data, Modality
from unlearn.data.views import forget_and_retain
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


def fresh(family, sees=False):
    """A model in float64, and its parameters by name that train: all, or all but the vision tower's."""
    model = load_model(family, None).double()
    tower = () if sees else ("vision_tower", "visual")
    kept = {n: p for n, p in model.named_parameters() if "merger" in n or not any(s in n for s in tower)}
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


class KilledError(Exception):
    """Stands for a kill signal."""


def states(script, given, folder, steps, monkeypatch, **where):
    """The trained weights after each of the first steps, of a run that is killed and resumed after every one."""
    from safetensors.torch import load_file

    from unlearn.trainer import Trainer

    real, found = Trainer._step, []
    for last in range(1, steps + 1):

        def step(self, batches, number, last=last):
            if number > last:
                raise KilledError
            return real(self, batches, number)

        monkeypatch.setattr(Trainer, "_step", step)
        with pytest.raises(KilledError):
            script("forget", *given, "save_state_every=1", f"save_dir={folder}", **where)
        found.append(load_file(folder / "state" / "trained.safetensors"))
    monkeypatch.setattr(Trainer, "_step", real)
    return found


def matters(family, sides):
    """MMUnlearner's mask: means over single samples, those with a picture alone for what sees."""
    from unlearn.models.loading import load_encoder

    model, kept = fresh(family, sees=True)
    encoder, means = load_encoder(family, None), {}
    for side, samples in sides.items():
        squares = [(s, {n: g**2 for n, g in slopes(model, kept, encoder, s, mean=True).items()}) for s in samples]
        for name in kept:
            seeing = any(part in name for part in ("vision", "visual", "projector"))
            reaching = [one[name] for s, one in squares if s.image is not None or not seeing]
            means[side, name] = sum(reaching) / len(reaching)
    return {name: (means["forget", name] + 1e-15) / (means["retain", name] + 1e-15) >= 1 for name in kept}


@pytest.mark.parametrize("kind", ["llava", "qwen2_vl"])
def test_ascent_moves_what_matters_more_to_the_forget_set(kind, script, tiny_families, people, tmp_path, monkeypatch):
    """Steps 1 and 3 go up, on weights of the mask alone; 2 goes down, on all; every one is another start of the run.

    So the mask is that of the start weights although weights have moved, and the optimiser's states have slopes of all.
    """
    given = ("forget_loss=mmunlearner", *FULL, *HARD, "freeze_vision_module=false", "forget_modality=image")
    data = Data(name="people", path=str(people), text_path=str(people), qa_per_person=1)
    forget, retain = forget_and_retain(data, "forget10", "retain90", Modality.image, 0)
    assert all(s.image for s in forget)
    assert not all(s.image for s in retain)
    family, folder = tiny_families[kind], tmp_path / "run"
    first, second, third = states(script, given, folder, 3, monkeypatch, family=kind)
    masks, start = matters(family, {"forget": forget, "retain": retain}), weights(family)
    assert [row["phase"] for row in log_of(folder)] == ["ascent", "retain", "ascent"]
    assert set(masks) == set(first)
    for before, after in ((start, first), (second, third)):
        moved = {name: before[name] != after[name] for name in masks}
        assert sum(int((moved[name] & ~mask).sum()) for name, mask in masks.items()) == 0
        assert sum(int((~moved[name] & mask).sum()) for name, mask in masks.items()) < 0.05 * sum(
            int(mask.sum()) for mask in masks.values()
        )
    outside = sum(int((first[name] != second[name])[~mask].sum()) for name, mask in masks.items())
    assert outside > 0.9 * sum(int((~mask).sum()) for mask in masks.values())
    for part in ("vision", "projector") if kind == "llava" else ("visual.blocks", "merger"):
        assert any(part in name and mask.any() and not mask.all() for name, mask in masks.items())


def test_a_second_mask_is_refused(script, tmp_path):
    given = ("forget_loss=mmunlearner", "forget_loss.saliency=0.5", *FULL)
    with pytest.raises(UserError, match="mmunlearner has a mask of its own; leave it out"):
        script("forget", *given, f"save_dir={tmp_path / 'run'}")
