"""Checkpoints: adapter, merged and full, sharded or not, one on another; what is refused before weights are read."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

from unlearn.config.schema import Component, DType, LoRAConfig
from unlearn.errors import UserError
from unlearn.models.checkpoint import save_checkpoint
from unlearn.models.components import decoder
from unlearn.models.folders import Chain, resolve_chain
from unlearn.models.loading import load_encoder, load_model
from unlearn.models.lora import add_lora

PARTS = [Component.language_model, Component.vision_tower]


def trained(family, start=None, seed=0):
    """Return an adapted model as after training: both adapter matrices random."""
    torch.manual_seed(seed)
    model = add_lora(load_model(family, start), LoRAConfig(r=2, components=PARTS)).eval()
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            parameter.data = torch.randn_like(parameter) / 4
    return model


def logits(model):
    with torch.no_grad():
        return model(input_ids=torch.tensor([[*b"U:Hi there"]])).logits


def weights(model):
    return dict(model.state_dict())


def assert_equal_weights(first, second):
    assert weights(first).keys() == weights(second).keys()
    assert [n for n, t in weights(first).items() if not torch.equal(t, weights(second)[n])] == []


def names(folder):
    return {file.name for file in folder.iterdir()}


def test_an_adapter_and_its_merged_twin_load_as_the_same_weights(tiny_family, tmp_path):
    model, encoder = trained(tiny_family), load_encoder(tiny_family, None)
    kept = {name: tensor.clone() for name, tensor in weights(model).items()}
    save_checkpoint(model, encoder, tmp_path / "adapter", tiny_family.hub_id, merge=False)
    save_checkpoint(model, encoder, tmp_path / "merged", tiny_family.hub_id, merge=True)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in weights(model).items())
    adapter, merged = (load_model(tiny_family, str(tmp_path / name)) for name in ("adapter", "merged"))
    assert_equal_weights(adapter, merged)
    torch.testing.assert_close(logits(adapter), logits(model), rtol=0, atol=1e-5)
    assert not torch.allclose(logits(adapter), logits(load_model(tiny_family, None)), atol=1e-2)
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= names(tmp_path / "adapter")
    assert not {"config.json", "model.safetensors"} & names(tmp_path / "adapter")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names(tmp_path / "merged")


def test_an_adapter_on_an_adapter_on_full_weights(tiny_family, tmp_path):
    encoder, first = load_encoder(tiny_family, None), tmp_path / "first"
    full = load_model(tiny_family, None)
    decoder(full).norm.weight.data += 1
    save_checkpoint(full, encoder, tmp_path / "full", "unused", merge=False)
    base = trained(tiny_family, str(tmp_path / "full"))
    save_checkpoint(base, encoder, first, str(tmp_path / "full"), merge=False)
    unlearned = trained(tiny_family, str(first), seed=1)
    save_checkpoint(unlearned, encoder, tmp_path / "second", str(first), merge=False)
    again = load_model(tiny_family, str(tmp_path / "second"))
    torch.testing.assert_close(logits(again), logits(unlearned), rtol=0, atol=1e-5)
    assert not torch.allclose(logits(again), logits(base), atol=1e-2)
    assert resolve_chain(str(tmp_path / "second")) == Chain(str(tmp_path / "full"), (first, tmp_path / "second"))
    save_checkpoint(again, encoder, tmp_path / "third", "unused", merge=False)
    assert_equal_weights(load_model(tiny_family, str(tmp_path / "third")), again)


def test_sharded_weights_load_as_the_same_weights(tiny_family, tmp_path):
    model, encoder = trained(tiny_family), load_encoder(tiny_family, None)
    save_checkpoint(model, encoder, tmp_path / "one", tiny_family.hub_id, merge=True)
    save_checkpoint(model, encoder, tmp_path / "many", tiny_family.hub_id, merge=True, shard_size="20KB")
    assert len([name for name in names(tmp_path / "many") if name.endswith(".safetensors")]) > 2
    assert_equal_weights(
        load_model(tiny_family, str(tmp_path / "one")), load_model(tiny_family, str(tmp_path / "many"))
    )


def test_a_checkpoint_takes_the_place_of_another_and_leaves_the_run_s_files(tiny_family, tmp_path):
    model, encoder, folder = trained(tiny_family), load_encoder(tiny_family, None), tmp_path / "run"
    folder.mkdir()
    (folder / "log.jsonl").write_text("{}\n")
    save_checkpoint(model, encoder, folder, tiny_family.hub_id, merge=True, shard_size="20KB")
    save_checkpoint(model, encoder, folder, tiny_family.hub_id, merge=False)
    assert [name for name in names(folder) if name.startswith(("model", "config", "."))] == []
    assert (folder / "log.jsonl").read_text() == "{}\n"
    assert resolve_chain(str(folder)).adapters == (folder,)
    save_checkpoint(model, encoder, folder, tiny_family.hub_id, merge=True)
    assert resolve_chain(str(folder)) == Chain(str(folder))


def test_a_broken_save_leaves_no_half_checkpoint(tiny_families, tmp_path, monkeypatch):
    model, encoder = trained(tiny_families["llava"]), load_encoder(tiny_families["llava"], None)
    monkeypatch.setattr("unlearn.models.checkpoint._write_processor", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        save_checkpoint(model, encoder, tmp_path / "run", "base", merge=True)
    assert names(tmp_path / "run") == set()


def test_processor_files_travel_unchanged(tiny_family, tmp_path):
    source = Path(tiny_family.hub_id)
    encoder = load_encoder(tiny_family, None)
    save_checkpoint(trained(tiny_family), encoder, tmp_path / "run", tiny_family.hub_id, merge=False)
    for name in names(tmp_path / "run") - {"adapter_config.json", "adapter_model.safetensors"}:
        assert (tmp_path / "run" / name).read_bytes() == (source / name).read_bytes()
    assert load_encoder(tiny_family, str(tmp_path / "run")).source == str(tmp_path / "run")


def test_equal_adapters_are_equal_files(tiny_families, tmp_path):
    family = tiny_families["llava"]
    for name in ("a", "b"):
        save_checkpoint(trained(family), load_encoder(family, None), tmp_path / name, family.hub_id, merge=False)
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert config["target_modules"] == sorted(config["target_modules"])
    for name in names(tmp_path / "a"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_bfloat16_bases_are_rounded_once(tiny_families, tmp_path):
    family = dataclasses.replace(tiny_families["llava"], dtype=DType.bfloat16)
    model, encoder = trained(family), load_encoder(family, None)
    save_checkpoint(model, encoder, tmp_path / "adapter", family.hub_id, merge=False)
    save_checkpoint(model, encoder, tmp_path / "merged", family.hub_id, merge=True)
    first, second = (load_model(family, str(tmp_path / name)) for name in ("adapter", "merged"))
    assert {p.dtype for p in first.parameters()} == {torch.bfloat16}
    assert_equal_weights(first, second)


def test_float32_masters_are_saved_in_the_family_s_precision_and_shared_ones_once(tiny_family, tmp_path):
    from safetensors.torch import load_file

    family = dataclasses.replace(tiny_family, dtype=DType.bfloat16)
    model = load_model(family, None).float()
    save_checkpoint(model, load_encoder(family, None), tmp_path / "run", "unused", merge=False)
    saved = load_file(tmp_path / "run" / "model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.bfloat16}
    assert len(saved) == len(list(model.parameters()))
    again = load_model(family, str(tmp_path / "run"))
    assert_equal_weights(again, model.to(torch.bfloat16))
    shared = again.lm_head.weight is again.get_input_embeddings().weight
    assert shared == (family.name in ("tiny_qwen2_vl", "tiny_qwen3_vl", "tiny_gemma3"))


def test_a_loaded_model_can_train_whole_and_leaves_the_generator_alone(tiny_families, tmp_path):
    family = tiny_families["llava"]
    save_checkpoint(trained(family), load_encoder(family, None), tmp_path / "run", family.hub_id, merge=False)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    model = load_model(family, str(tmp_path / "run"))
    assert torch.equal(torch.rand(3), expected)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not model.training
    assert not hasattr(model, "peft_config")


@pytest.fixture
def adapter(tiny_families, tmp_path):
    """An adapter folder on a copy of the tiny LLaVA, both of which may be damaged."""
    family = tiny_families["llava"]
    shutil.copytree(family.hub_id, tmp_path / "base")
    family = dataclasses.replace(family, hub_id=str(tmp_path / "base"))
    save_checkpoint(trained(family), load_encoder(family, None), tmp_path / "run", family.hub_id, merge=False)
    return tmp_path / "run"


def set_base(adapter, base):
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "base_model_name_or_path": base}))


def cut(file):
    file.write_bytes(file.read_bytes()[:-10])


DAMAGES = {
    "absent": (shutil.rmtree, r'model_path ".*run" does not exist; give the folder of a finished run'),
    "no config": (lambda a: (a / "adapter_config.json").unlink(), "is no checkpoint: it has neither config.json"),
    "broken config": (lambda a: cut(a / "adapter_config.json"), 'adapter_config.json" is not readable JSON'),
    "no adapter": (lambda a: (a / "adapter_model.safetensors").unlink(), "adapter_model.safetensors is missing"),
    "cut adapter": (
        lambda a: cut(a / "adapter_model.safetensors"),
        'adapter_model.safetensors" is damaged or cut short',
    ),
    "no base named": (lambda a: set_base(a, None), "names no base model"),
    "moved base": (
        lambda a: (a.parent / "base").rename(a.parent / "elsewhere"),
        r'checkpoint ".*run" stands on ".*base", which does not exist; .*/adapter_config.json to where it is',
    ),
    "own base": (lambda a: set_base(a, str(a)), "has itself as its base"),
    "base without weights": (lambda a: (a.parent / "base" / "model.safetensors").unlink(), r'base" has no weights'),
    "cut base": (lambda a: cut(a.parent / "base" / "model.safetensors"), 'model.safetensors" is damaged or cut short'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_refused_before_weights_are_read(adapter, damage):
    resolve_chain(str(adapter))
    break_it, message = DAMAGES[damage]
    break_it(adapter)
    with pytest.raises(UserError, match=message):
        resolve_chain(str(adapter))


def test_a_missing_shard_is_named(tiny_families, tmp_path):
    family = tiny_families["llava"]
    model, encoder = load_model(family, None), load_encoder(family, None)
    save_checkpoint(model, encoder, tmp_path / "run", "unused", merge=False, shard_size="20KB")
    resolve_chain(str(tmp_path / "run"))
    shard = sorted(tmp_path.glob("run/model-00002*"))[0]
    shard.unlink()
    with pytest.raises(UserError, match=f"is incomplete: {shard.name} is missing"):
        resolve_chain(str(tmp_path / "run"))


def test_the_base_may_be_given_relative_to_the_adapter(adapter, tiny_families):
    set_base(adapter, "../base")
    assert resolve_chain(str(adapter)) == Chain(str(adapter / "../base"), (adapter,))


def test_a_base_on_the_hub_is_left_to_loading(adapter):
    set_base(adapter, "some-org/some-model")
    assert resolve_chain(str(adapter)).root == "some-org/some-model"


def test_weights_that_would_start_at_random_are_refused(tiny_families, tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_families["llava"].hub_id, tmp_path / "run")
    file = tmp_path / "run" / "model.safetensors"
    tensors = load_file(file)
    gone = next(name for name in tensors if "lm_head" in name)
    save_file({n: t for n, t in tensors.items() if n != gone}, file, metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 weights, e.g. lm_head.weight"):
        load_model(tiny_families["llava"], str(tmp_path / "run"))


def test_an_adapter_that_does_not_fit_its_base_is_refused(tiny_families, tmp_path):
    qwen, llava = tiny_families["qwen2_vl"], tiny_families["llava"]
    save_checkpoint(trained(qwen), load_encoder(qwen, None), tmp_path / "run", llava.hub_id, merge=False)
    with pytest.raises(UserError, match=r'The adapter in ".*run" does not fit its base'):
        load_model(llava, str(tmp_path / "run"))


def test_tensors_missing_from_an_adapter_are_refused(tiny_families, adapter):
    from safetensors.torch import load_file, save_file

    file = adapter / "adapter_model.safetensors"
    tensors = load_file(file)
    tensors.pop(min(tensors))
    save_file(tensors, file)
    with pytest.raises(UserError, match=r"does not fit its base: 1 tensors, e.g. .*lora_A"):
        load_model(tiny_families["llava"], str(adapter))


def test_an_absent_pretrained_folder_is_named(tiny_families, tmp_path):
    family = dataclasses.replace(tiny_families["llava"], hub_id=str(tmp_path / "nowhere"))
    for load in (load_model, load_encoder):
        with pytest.raises(UserError, match=r'The pretrained model ".*nowhere" does not exist'):
            load(family, None)


def test_a_processor_without_image_part_is_named(tiny_families, tmp_path):
    from transformers import GPT2Config

    # Of a type without processor AutoProcessor returns the tokenizer alone.
    shutil.copytree(tiny_families["qwen2_vl"].hub_id, tmp_path / "run")
    GPT2Config().save_pretrained(tmp_path / "run")
    with pytest.raises(UserError, match=r'".*run" has a tokenizer but no image processor; tiny_qwen2_vl needs both'):
        load_encoder(tiny_families["qwen2_vl"], str(tmp_path / "run"))


def test_pixel_limits_scale_pictures_and_need_a_family_that_has_them(tiny_families, picture):
    from unlearn.data.samples import Sample

    sample = Sample("u", "Who?", "Bo", picture, "g")
    family = dataclasses.replace(tiny_families["qwen2_vl"], min_pixels=1024, max_pixels=1024)
    assert load_encoder(family, None).encode(sample, 99).vision["image_grid_thw"].tolist() == [[1, 8, 8]]
    for key in ("min_pixels", "max_pixels"):
        family = dataclasses.replace(tiny_families["llava"], **{key: 1024})
        with pytest.raises(UserError, match=f"tiny_llava has no such limit for its pictures; leave {key} out"):
            load_encoder(family, None)
