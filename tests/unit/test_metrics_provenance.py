"""Which models have the same settings, and which never saw what is to be forgotten, as their provenance tells."""

from hand_made import ROOT, base, gold, provenance, unlearned

from unlearn.metrics.provenance import read_provenance


def told(lineage):
    return read_provenance(provenance(lineage), "here")


def test_models_that_differ_in_seeds_alone_have_the_same_settings():
    def settings(lineage):
        return told(lineage).settings()

    first, other_seed, other_base = unlearned(), unlearned(seed=1), [unlearned()[0], *base(seed=2)]
    assert settings(first) == settings(other_seed) == settings(other_base)
    assert told(other_base).seeds == (0, 2)
    elsewhere = [{**first[0], "path": "moved", "fingerprint": "another machine"}, *first[1:]]
    assert settings(elsewhere) == settings(first)
    changes = {
        "lr": unlearned(lr=1e-3),
        "method": unlearned("idk"),
        "start": [unlearned()[0], *gold()],
        "pretrained": [*first[:-1], {**first[-1], "fingerprint": "another"}],
        "data": [change(first[0], "data", {"train": {"samples": 4, "fingerprint": "d1"}}), *first[1:]],
        "family": [change(first[0], "family", {"name": "tiny", "fingerprint": "f1"}), *first[1:]],
        "version": [change(first[0], "version", "2"), *first[1:]],
    }
    found = {name: settings(lineage) for name, lineage in changes.items()}
    assert len({settings(first), *found.values()}) == 1 + len(changes), found


def change(link, key, value):
    return {**link, "run": {**link["run"], key: value}}


def test_gold_is_what_was_finetuned_on_the_retain_split_alone():
    def is_gold(lineage, modality="both"):
        return told(lineage).trained_on("retain90", modality)

    assert is_gold(gold())
    assert is_gold([*gold(1)[:1], *gold()])
    for other in (base(), unlearned(), [ROOT], [*gold()[:1], *base()]):
        assert not is_gold(other)
    assert not is_gold(gold(), "image")
