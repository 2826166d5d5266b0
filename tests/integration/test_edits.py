"""Training-free methods through mm/forget.py's main: their own weights change as the formula says, and no others."""

import json
import math

import pytest
import torch

from unlearn.data.collate import Collator
from unlearn.errors import UserError
from unlearn.methods.base import load_all
from unlearn.models.loading import load_encoder, load_model

GIVEN = ("batch_size=2", "num_epochs=3", "LoRA.r=0", "model_family.dtype=float64", "weight_decay=0.5")
KVW = ("forget_loss=kvw", "forget_loss.gamma=0.5")
MANU = ("forget_loss=manu", "forget_loss.share=0.1")
METHODS = load_all()


def weights(family, path=None):
    return load_model(family, path and str(path)).state_dict()


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def closing(model):
    return {name: module for name, module in model.named_modules() if name.endswith("mlp.down_proj")}


def inputs(model, encoder, samples):
    """By name of a closing layer, its inputs [N, H] at the positions before answer tokens, sample by sample."""
    found = {}
    hooks = [
        module.register_forward_hook(lambda _m, inputs, _o, name=name: found.setdefault(name, []).append(inputs[0][0]))
        for name, module in closing(model).items()
    ]
    kept = []
    for sample in samples:
        one = Collator(0)([encoder.encode(sample, 160)])
        with torch.no_grad():
            model(**one.inputs)
        kept.append((one.labels[0, 1:] != -100).nonzero()[:, 0])
    for hook in hooks:
        hook.remove()
    return {n: torch.cat([z[where] for z, where in zip(zs, kept, strict=True)]) for n, zs in found.items()}


@pytest.mark.parametrize("kind", ["llava", "qwen2_vl"])
def test_kvw_weakens_batch_by_batch_on_the_model_as_it_is(kind, script, tiny_families, sides, tmp_path):
    from unlearn.data.plan import pass_steps

    out = script("forget", *KVW, *GIVEN, f"save_dir={tmp_path / 'run'}", family=kind)
    family = tiny_families[kind]
    model, encoder = load_model(family, None).double(), load_encoder(family, None)
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    retain = {n: z.abs().mean(0) for n, z in inputs(model, encoder, sides["retain"]).items()}
    means = []
    for step in pass_steps({"forget": 3}, "forget", {"forget": "forget"}, 2, 0, 0):
        seen = inputs(model, encoder, [sides["forget"][i] for i in step.ids["forget"]])
        factors = {}
        for name, z in seen.items():
            pairs = zip(z.abs().mean(0).tolist(), retain[name].tolist(), strict=True)
            factors[name] = [math.exp(-0.5 * max(0, math.log(f + 1e-12) - math.log(r + 1e-12))) for f, r in pairs]
            closing(model)[name].weight.data *= torch.tensor(factors[name], dtype=torch.float64)
        means.append(sum(map(sum, factors.values())) / sum(map(len, factors.values())))
    assert [row["gate"] for row in log_of(out)] == pytest.approx(means)
    new, wanted = weights(family, out), model.state_dict()
    for name in start:
        if name.endswith("mlp.down_proj.weight") and "language_model" in name:
            torch.testing.assert_close(new[name].double(), wanted[name], rtol=1e-6, atol=1e-9)
            assert not torch.equal(new[name].double(), start[name])
        else:
            assert torch.equal(new[name].double(), start[name]), name


@pytest.mark.parametrize("kind", ["llava", "qwen2_vl"])
def test_manu_prunes_neurons_once(kind, script, tiny_families, sides, tmp_path):
    out = script("forget", *MANU, *GIVEN, f"save_dir={tmp_path / 'run'}", family=kind)
    family = tiny_families[kind]
    model, encoder = load_model(family, None).double(), load_encoder(family, None)
    ranked = []
    sets = {side: inputs(model, encoder, samples) for side, samples in sides.items()}
    for name in closing(model):
        for n in range(sets["forget"][name].shape[1]):
            importances = []
            for side in ("forget", "retain"):
                z = sets[side][name][:, n].tolist()
                mean, square = sum(z) / len(z), sum(x * x for x in z) / len(z)
                size, often = sum(map(abs, z)) / len(z), sum(abs(x) > 0.1 for x in z) / len(z)
                importances.append((size, often, math.sqrt(max(0, square - mean**2)), math.sqrt(square)))
            ranked.append((sum(f / (r + 1e-5) for f, r in zip(*importances, strict=True)), name, n))
    pruned = {(name, n) for _, name, n in sorted(ranked, reverse=True)[: int(0.1 * len(ranked))]}
    old, new = weights(family), weights(family, out)
    for name in old:
        columns = [n for part, n in pruned if f"{part}.weight" == name]
        wanted = old[name].clone()
        if columns:
            wanted[:, columns] = 0
        assert torch.equal(new[name], wanted), name
    (row,) = log_of(out)
    assert row["gate"] == pytest.approx(1 - len(pruned) / len(ranked))


@pytest.mark.parametrize(
    "given", [("forget_loss=kvw", "forget_loss.gamma=0"), ("forget_loss=manu", "forget_loss.share=0")]
)
def test_without_strength_nothing_changes(given, script, tiny_families, tmp_path):
    out = script("forget", *given, *GIVEN, f"save_dir={tmp_path / 'run'}")
    old, new = weights(tiny_families["llava"]), weights(tiny_families["llava"], out)
    assert [name for name in old if not torch.equal(old[name], new[name])] == []


def test_the_manifest_names_the_weights_that_may_change(script, tmp_path):
    out = script("forget", *KVW, *GIVEN, f"save_dir={tmp_path / 'run'}")
    trained = json.loads((out / "manifest.json").read_text())["trained"]
    assert len(trained) == 2
    assert all(name.endswith("mlp.down_proj.weight") and "language_model" in name for name in trained)


@pytest.mark.parametrize("method", [KVW, MANU])
@pytest.mark.parametrize(("key", "value"), [("LoRA.r", "4"), ("l1_lambda", "0.1"), ("forget_loss.saliency", "0.5")])
def test_what_would_do_nothing_is_refused(method, key, value, script, tmp_path, monkeypatch):
    monkeypatch.setattr("unlearn.models.loading.load_model", lambda *_: pytest.fail("weights were read"))
    words = rf"^{key} is {value}, but .* trains nothing, no adapter either; set {key}="
    with pytest.raises(UserError, match=words):
        script("forget", *method, *GIVEN, f"{key}={value}", f"save_dir={tmp_path / 'run'}")


@pytest.mark.parametrize("method", [KVW, MANU])
@pytest.mark.parametrize("kind", ["llama", "gpt_neox", "phi"])
def test_language_models_change_in_the_same_places(method, kind, script, tiny_families, tmp_path):
    out = script("forget", *method, *GIVEN, f"save_dir={tmp_path / 'run'}", family=kind)
    old, new = weights(tiny_families[kind]), weights(tiny_families[kind], out)
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    closing = {"llama": "mlp.down_proj", "gpt_neox": "mlp.dense_4h_to_h", "phi": "mlp.fc2"}[kind]
    assert changed
    assert all(name.endswith(f"{closing}.weight") for name in changed)


def test_mmunlearner_is_refused_for_a_model_that_sees_nothing(script, tmp_path, monkeypatch):
    monkeypatch.setattr("unlearn.models.loading.load_model", lambda *_: pytest.fail("weights were read"))
    with pytest.raises(UserError, match=r"mmunlearner makes no sense .* model_family=mini_llama: it tells weights by"):
        script("forget", "forget_loss=mmunlearner", *GIVEN, f"save_dir={tmp_path / 'run'}", family="llama")
