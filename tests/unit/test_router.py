"""A router before a tiny model: what it picks, what its noise depends on, and that nothing else changes by a bit."""

import json
import math
from dataclasses import replace

import pytest
import torch

from unlearn import fingerprint
from unlearn.data.samples import Sample
from unlearn.errors import UserError
from unlearn.evaluation.items import Item
from unlearn.evaluation.scorers import score_items
from unlearn.models.folders import Chain, resolve_chain
from unlearn.models.loading import load_encoder, load_model, resolve_start
from unlearn.models.router import Router, attach, read_router, runs_of, save_router

ANN = Item("a", "Ann", "Is Ann at sea?", None, "Ann sails.", "She sails.", ("Ann sings well.", "No."))
BOB = Item("b", "Bob", "Is Bob at sea, or where else?", None, "Bob sails.", None, ("Bob sings.",))
ROUTER = Router(
    # "nn" is in the one question and not in the other.
    weights={(ord("n"), ord("n")): 10.0},
    bias=-1.0,
    threshold=0.0,
    entities=frozenset({tuple(b"A")}),
    ignored=frozenset({256}),
    noise=2.0,
    seed=3,
)


def test_runs_by_hand():
    assert runs_of([1, 2, 1, 2]) == {(1,), (2,), (1, 2), (2, 1), (1, 2, 1), (2, 1, 2)}
    assert runs_of([]) == set()


def test_the_score_by_hand():
    router = replace(ROUTER, weights={(1,): 2.0, (1, 2): -1.0, (2, 3): 0.5, (9,): 7.0}, ignored=frozenset({5}))
    # 1 2 3 has the runs 1, 2, 3, 12, 23, 123, of which three have weights; 5 is no text and parts nothing.
    for ids in ([1, 2, 3], [1, 5, 2, 3, 5]):
        assert router.score(ids) == pytest.approx(-1 + (2 - 1 + 0.5) / math.sqrt(6))
    assert router.score([]) == router.score([5]) == -1.0
    # What it never saw is no reason to route.
    assert not router.routes([70, 71, 72])


def test_the_tokens_that_are_corrupted():
    router = replace(ROUTER, entities=frozenset({(7,), (8, 9)}), ignored=frozenset({5}))
    assert router.places([5, 7, 1, 7]) == [1, 3]
    # 8 and 9 are an entity together alone; what is no text does not part them.
    assert router.places([8, 9, 1, 9, 8, 5, 9, 8]) == [0, 1, 4, 6]
    assert router.places([5, 1, 2, 5, 9]) == [1, 2, 4]


def test_noise_is_drawn_from_seed_and_prompt_alone():
    ids = list(b"Is Ann Ann at sea?")
    noise = ROUTER.perturbation(ids, 4000)
    assert noise.shape == (2, 4000)
    assert noise.std().item() == pytest.approx(2.0, rel=0.05)
    assert torch.equal(noise, ROUTER.perturbation(ids, 4000))
    torch.rand(3)
    assert torch.equal(noise, ROUTER.perturbation(ids, 4000))
    assert not torch.equal(noise, replace(ROUTER, seed=4).perturbation(ids, 4000))
    assert not torch.equal(noise[:1], ROUTER.perturbation(ids[:-1], 4000)[:1])


@pytest.fixture
def asked(tiny_family):
    """Return a function that scores items with the tiny model, behind `router` if there is one."""
    encoder = load_encoder(tiny_family, None)

    def score(items, router=None):
        model = load_model(tiny_family, None)
        if router is not None:
            attach(model, router)
        return score_items(model, encoder, items, 256, 6)

    return score


def plain(records):
    return [{key: value for key, value in record.items() if key != "routed"} for record in records]


def test_a_routed_prompt_changes_and_its_neighbour_does_not_by_a_bit(asked):
    before, after = asked([ANN, BOB]), asked([ANN, BOB], ROUTER)
    assert [record["routed"] for record in after] == [True, False]
    assert all("routed" not in record for record in before)
    changed, same = plain(after)
    assert same == before[1]
    for part in ("true", "paraphrase"):
        assert changed["answers"][part]["logp"] != before[0]["answers"][part]["logp"]
    assert changed["prompt_hash"] == before[0]["prompt_hash"]


def test_no_noise_and_no_routing_are_the_start_model_bit_for_bit(asked):
    before = asked([ANN, BOB])
    assert plain(asked([ANN, BOB], replace(ROUTER, noise=0.0))) == before
    silent = asked([ANN, BOB], replace(ROUTER, threshold=1e9))
    assert plain(silent) == before
    assert [record["routed"] for record in silent] == [False, False]


def test_numbers_do_not_depend_on_batch_padding_and_answers(asked):
    together = asked([BOB, ANN], ROUTER)[1]
    alone = asked([replace(ANN, wrong=ANN.wrong[1:])], ROUTER)[0]
    for part in ("true", "paraphrase"):
        assert alone["answers"][part]["logp"] == pytest.approx(together["answers"][part]["logp"], rel=1e-4)
    assert alone["generated"] == together["generated"]
    assert alone["routed"]


def embedded(family, ids, router=None, **inputs):
    """Return the embeddings [S, d] that a forward of the tiny model computes of one row."""
    model, found = load_model(family, None), []
    if router is not None:
        attach(model, router)
    model.get_input_embeddings().register_forward_hook(lambda _m, _i, out: found.append(out[0]))
    with torch.no_grad():
        model(input_ids=torch.tensor([ids]), **inputs)
    return found[0]


def test_the_entity_tokens_of_the_prompt_get_the_noise_and_no_others(tiny_families):
    family = tiny_families["llava"]
    prompt = load_encoder(family, None).encode_prompt(Sample("a", ANN.question, "", None, "g")).input_ids
    assert prompt == [*b"U:Is Ann at sea? A:"]
    ids = [*prompt, *b" Ann"]
    answers = torch.tensor([[place >= len(prompt) - 1 for place in range(len(ids))]])
    clean = embedded(family, ids)
    scored, alone = embedded(family, ids, ROUTER, logits_to_keep=answers), embedded(family, prompt, ROUTER)
    # The A of the question and that before the answer, and not that of the answer.
    assert (scored != clean).any(1).nonzero()[:, 0].tolist() == [5, 17]
    torch.testing.assert_close(scored[[5, 17]] - clean[[5, 17]], ROUTER.perturbation(prompt, 16), atol=1e-6, rtol=0)
    # To score an answer and to generate one begin with the same prompt.
    assert torch.equal(scored[: len(prompt)], alone)


def test_padding_is_no_part_of_a_prompt(tiny_families):
    family = tiny_families["llava"]
    ids = [*b"U:Is Ann at sea? A:"]
    attended = torch.tensor([[0, 0, *[1] * len(ids)]])
    padded = embedded(family, [257, 257, *ids], ROUTER, attention_mask=attended)
    assert torch.equal(padded[2:], embedded(family, ids, ROUTER))
    assert torch.equal(padded[:2], embedded(family, [257, 257]))


def test_a_picture_s_prompt_is_routed_by_its_words(tiny_families, picture):
    family = tiny_families["llava"]
    encoder = load_encoder(family, None)
    seen, blind = (
        encoder.encode_prompt(Sample("a", ANN.question, "", image, "g")).input_ids for image in (picture, None)
    )
    assert len(seen) > len(blind)
    assert ROUTER.score(seen) == ROUTER.score(blind)
    assert [seen[place] for place in ROUTER.places(seen)] == [*b"AA"]


def written(folder, base):
    folder.mkdir()
    save_router(ROUTER, folder, base)
    return folder


def test_a_router_is_read_back_and_stands_before_its_base(tiny_families, tmp_path):
    family = tiny_families["llava"]
    folder = written(tmp_path / "eco", family.hub_id)
    assert read_router(folder) == ROUTER
    assert resolve_chain(str(folder)) == Chain(family.hub_id, (), folder)
    model, start = load_model(family, str(folder)), load_model(family, None)
    assert model.router == ROUTER
    assert all(map(torch.equal, model.state_dict().values(), start.state_dict().values()))
    # The tokenizer is the base's.
    assert load_encoder(family, str(folder)).source == family.hub_id


def test_the_fingerprint_is_of_the_router_and_not_of_where_the_base_lies(tiny_families, tmp_path):
    a, b = written(tmp_path / "a", tiny_families["llava"].hub_id), written(tmp_path / "b", "some/model")
    assert fingerprint.of_model([str(a)]) == fingerprint.of_model([str(b)])
    save_router(replace(ROUTER, threshold=0.5), b, "some/model")
    assert fingerprint.of_model([str(a)]) != fingerprint.of_model([str(b)])


def test_nothing_trains_behind_a_router(tiny_families, tmp_path):
    family = tiny_families["llava"]
    folder = written(tmp_path / "eco", family.hub_id)
    with pytest.raises(UserError, match=rf'has a router and no weights of its own: those are of "{family.hub_id}"'):
        resolve_start(family, str(folder))


def broken(folder, key):
    content = json.loads((folder / "router.json").read_text())
    del content[key]
    (folder / "router.json").write_text(json.dumps(content))


DAMAGES = {
    "router.safetensors is missing": lambda f: (f / "router.safetensors").unlink(),
    'router.json" is not readable JSON': lambda f: (f / "router.json").write_text("{"),
    "names no base model": lambda f: broken(f, "base_model_name_or_path"),
    "lacks threshold; restore it": lambda f: broken(f, "threshold"),
}


@pytest.mark.parametrize("message", DAMAGES)
def test_a_damaged_router_is_refused(tiny_families, tmp_path, message):
    folder = written(tmp_path / "eco", tiny_families["llava"].hub_id)
    DAMAGES[message](folder)
    with pytest.raises(UserError, match=message):
        load_model(tiny_families["llava"], str(folder))
