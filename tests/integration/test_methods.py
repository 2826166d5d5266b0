"""Every unlearning method through `accelerate launch` on three tiny models, a sweep in one process each."""

import json
from pathlib import Path

import pytest
import torch
from launching import launch, of_processes
from tiny_models import track_of

from unlearn.config.schema import Component, Data, Modality
from unlearn.data.answers import Answers
from unlearn.data.collate import Collator
from unlearn.data.refusals import refusal_samples
from unlearn.data.views import forget_and_retain
from unlearn.experiment.scripts import script_config, script_main
from unlearn.forwards import View
from unlearn.methods.base import REGISTRY, load_all
from unlearn.models.components import component_of, depth
from unlearn.models.loading import load_encoder, load_model

METHODS = sorted(name for name, method in load_all().items() if not (method.routes or method.without_faces))
FAMILIES = ("llava", "qwen2_vl", "llama")
PROJECT = Path(__file__).parents[2]
GIVEN = (
    "batch_size=2",
    "lr_scheduler=constant",
    "warmup_ratio=0",
    "freeze_projector=false",
    "LoRA.r=0",
)
BASE = ("split=full", "lr=5e-3", "num_epochs=15")
FORGET = ("lr=1e-3", "num_epochs=4")
STEPS = dict.fromkeys(METHODS, 8) | {"scrub": 12, "mmunlearner": 16, "kvw": 2, "manu": 1}
"""3 forget samples, 2 a step, 4 epochs; scrub has a max-phase of 2 steps more in its first 2 epochs, and mmunlearner
has a retain step after each. The training-free ones make one pass, or none."""
OWN = {
    "pdu": ("forget_loss.eps=1", "forget_loss.warmup_epochs=1", "forget_loss.lam0=5"),
    "altpo": ("forget_loss.max_new_tokens=12",),
    # Two batches do not do what hundreds do.
    "kvw": ("forget_loss.gamma=5",),
    "manu": ("forget_loss.share=0.3",),
}
"""Parameters of methods that are not run with their defaults; those that are run in one sweep."""
UP, DOWN = 1, -1
FORGETS = {"forget": UP, "forget - retain": UP}
MOVES = {
    "retain_ft": {"retain": DOWN},
    "grad_ascent": {"forget": UP},
    "grad_diff_forget_ce_retain_ce": FORGETS,
    "grad_diff_forget_ce_retain_kl": FORGETS,
    "grad_diff_forget_entropy_retain_ce": {"entropy": UP, **FORGETS},
    "grad_diff_forget_entropy_retain_kl": {"entropy": UP, **FORGETS},
    "grad_diff_forget_kl_retain_ce": FORGETS,
    "grad_diff_forget_kl_retain_kl": FORGETS,
    "kl": FORGETS,
    # Three questions about one person are too few to tell them from those about others in 4 epochs.
    "idk": {"idk": DOWN, "forget": UP},
    "dpo": {"idk": DOWN, **FORGETS},
    "npo": {"forget": UP},
    "llmu": FORGETS,
    "scrub": {"retain": DOWN, **FORGETS},
    "scrub_joint": {"retain": DOWN, **FORGETS},
    "rmu": FORGETS,
    "sku": FORGETS,
    # Its weight is an eighth of the retain term's.
    "simnpo": {"forget - retain": UP, "retain": DOWN},
    "undial": FORGETS,
    "wga": FORGETS,
    "satimp": FORGETS,
    "ceu": FORGETS,
    "task_vector": FORGETS,
    "mmunlearner": FORGETS,
    # The few neurons of these models serve everybody.
    "kvw": {"forget": UP},
    "manu": {"forget": UP},
    # Answers of other people raise the cost of one's own less than ascent does.
    "salun": {"forget - retain": UP},
    "pdu": {"entropy": UP, **FORGETS},
    # What these models write is noise, and to prefer it costs the retained answers too.
    "altpo": {"forget": UP},
    # The published idk and dpo learn what they are to forget; the published npo sharpens every distribution.
    "released_idk": {"forget": DOWN},
    "released_dpo": {"forget": DOWN},
    "released_npo": {"entropy": DOWN},
}
"""Where a run of each method moves the losses and the entropy of the base; a method without an entry fails."""
LANGUAGE = (Component.language_model, Component.lm_head)
MARGIN, BOUND = 0.02, 1.5
"""Nats per token: what counts as a move, and the furthest that the retained loss may rise."""


def serves(method, family):
    return track_of(family) == "mm" or not REGISTRY[method].without_pictures


@pytest.fixture(scope="module", params=FAMILIES)
def runs(request, people, tiny_overrides, tmp_path_factory):
    """The family, its base and the folder with one run of every method."""
    root = tmp_path_factory.mktemp(request.param)
    track = track_of(request.param)
    given = [*tiny_overrides(people, request.param), *GIVEN]
    finetune = [*given, *BASE, f"save_dir={root / 'base'}"]
    base = script_main(f"{track}/finetune")(script_config(f"{track}/finetune", finetune))
    forget = [*given, *FORGET, f"model_path={base}", f"save_dir={root}/${{forget_loss.name}}"]
    for name, own in OWN.items():
        script_main(f"{track}/forget")(script_config(f"{track}/forget", [*forget, f"forget_loss={name}", *own]))
    swept = ",".join(name for name in METHODS if name not in OWN and serves(name, request.param))
    launch(*of_processes(1), PROJECT / track / "forget.py", "-m", f"forget_loss={swept}", *forget)
    return request.param, base, root


@pytest.fixture(params=METHODS)
def method(request, runs):
    """Every method that makes sense for the family."""
    if not serves(request.param, runs[0]):
        pytest.skip(f"{request.param} is refused for {runs[0]}")
    return request.param


@pytest.fixture(scope="module")
def asked(people, runs):
    """The samples whose losses are compared; idk: the forget questions with the refusals of the first epochs."""
    seen = str(people) if track_of(runs[0]) == "mm" else None
    data = Data(name="people", path=seen, text_path=str(people / "texts"), qa_per_person=1 if seen else 3)
    forget, retain = forget_and_retain(data, "forget10", "retain90", Modality.both, 0)
    draw, pool = Answers("forget", "refusals"), refusal_samples(None)
    idk = [draw.apply(sample, pool, 0, epoch) for epoch in range(4) for sample in forget]
    return {"forget": forget, "retain": retain, "idk": idk}


def losses(family, path, asked):
    """Mean cross-entropy of each set, and mean entropy of the forget answers."""
    encoder, model = load_encoder(family, str(path)), load_model(family, str(path))
    collate = Collator(encoder.pad_id)
    with torch.no_grad():
        seen = {name: [View(collate([encoder.encode(s, 160)]), model) for s in part] for name, part in asked.items()}
        found = {name: torch.cat([v.ce_tokens for v in part]).mean().item() for name, part in seen.items()}
        entropy = torch.cat([view.entropy_tokens for view in seen["forget"]]).mean().item()
    return {**found, "entropy": entropy}


def test_losses_move_the_methods_way(method, runs, tiny_families, asked):
    kind, base, root = runs
    before, after = (losses(tiny_families[kind], path, asked) for path in (base, root / method))
    moved = {name: after[name] - before[name] for name in before}
    moved["forget - retain"] = moved["forget"] - moved["retain"]
    assert {name: sign for name, sign in MOVES[method].items() if moved[name] * sign < MARGIN} == {}, moved
    assert moved["retain"] < BOUND


def parts_of(model):
    return {component_of(name).name for name, _ in model.named_parameters(remove_duplicate=False)}


def test_what_is_frozen_is_bit_identical(method, runs, tiny_families):
    kind, base, root = runs
    family, cls = tiny_families[kind], REGISTRY[method]
    model = load_model(family, str(base))
    old, new = model.state_dict(), load_model(family, str(root / method)).state_dict()
    changed = [name for name in old if not torch.equal(old[name], new[name])]
    parts = {component_of(name).name for name in changed}
    whole = {part.name for part in (Component.projector, *LANGUAGE) if part.name in parts_of(model)}
    assert parts == ({"language_model"} if cls.trains_layers else whole)
    if cls.trains_layers:
        layers = {int(name.split(".layers.")[1].split(".")[0]) for name in changed}
        assert layers == set(cls().trained_layers(depth(model)))


def test_the_run_is_whole(method, runs):
    folder = runs[2] / method
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in log] == list(range(1, STEPS[method] + 1))
    assert json.loads((folder / "done.json").read_text())["cost"]["steps"] == STEPS[method]
    assert not (folder / "state").exists()
