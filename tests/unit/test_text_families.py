"""Language models of every architecture: parts, prompts by tags and by template, answer positions, adapters."""

from dataclasses import replace

import pytest
import torch
from tiny_models import TINY, TINY_TEXT, byte_tokenizer

from unlearn.config.schema import Component, LoRAConfig, ModelFamily
from unlearn.data.collate import Collator
from unlearn.data.samples import IGNORE, Sample
from unlearn.errors import UserError
from unlearn.forwards import label_hidden, label_logits
from unlearn.generation import generate
from unlearn.models.checkpoint import save_checkpoint
from unlearn.models.components import component_of, components, decoder, depth
from unlearn.models.loading import load_encoder, load_model
from unlearn.models.lora import target_modules
from unlearn.models.mlps import closing_layers
from unlearn.vision import Pictures

X = IGNORE
BY_TAGS = [*b"Q: Why so?\nA:"]
BY_CHAT = [*b"U:Why so? A:"]
PROMPTS = {
    "llama": [258, *BY_TAGS],
    "mistral": BY_CHAT,
    "phi": BY_TAGS,
    "phi3": BY_CHAT,
    "gpt_neox": BY_TAGS,
    "gemma": [258, *BY_CHAT],
    "qwen2": BY_CHAT,
    "qwen3": [*BY_CHAT, *b"()\n"],
}
"""The prompt of "Why so?"; one start token (258) where the model has one."""
DECODERS = {
    "llama": "LlamaModel", "mistral": "MistralModel", "phi": "PhiModel", "phi3": "Phi3Model",
    "gpt_neox": "GPTNeoXModel", "gemma": "GemmaModel", "qwen2": "Qwen2Model", "qwen3": "Qwen3Model",
}  # fmt: skip
LINEAR = {"phi": 6, "phi3": 4, "gpt_neox": 4}
"""Linear layers of a decoder layer; the others have 4 of attention and 3 of an MLP."""
SAID = Sample("qa-1", "Why so?", "As is", None, "author")
SHORT = Sample("qa-2", "Who?", "Bo.", None, "author")


@pytest.mark.parametrize("name", TINY_TEXT)
def test_every_tensor_is_of_the_language_model_or_the_output_layer(name, tiny_families):
    model = load_model(tiny_families[name], None)
    found = {part: names for part, names in components(model).items() if names}
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert set(found) == ({Component.language_model} if tied else {Component.language_model, Component.lm_head})
    head = {n for n, _ in model.named_parameters() if n.startswith(("lm_head.", "embed_out."))}
    assert set(found.get(Component.lm_head, [])) == head
    assert (type(decoder(model)).__name__, depth(model)) == (DECODERS[name], 2)


CLOSING = {"phi": "fc2", "gpt_neox": "dense_4h_to_h"}


@pytest.mark.parametrize("name", [*TINY, *TINY_TEXT])
def test_the_layer_that_closes_an_mlp_is_known(name, tiny_families):
    model = load_model(tiny_families[name], None)
    names = {module: path for path, module in model.named_modules()}
    for number, layer in enumerate(closing_layers(model, range(2))):
        assert names[layer].endswith(f".layers.{number}.mlp.{CLOSING.get(name, 'down_proj')}")
        assert component_of(names[layer]) is Component.language_model
        assert layer.weight.shape == (16, 32)  # from the neurons to the hidden states


def test_an_unknown_part_of_a_language_model_is_named():
    with pytest.raises(UserError, match=r'"model.audio_tower.layers.0.weight" belongs to no known part'):
        component_of("model.audio_tower.layers.0.weight")


@pytest.mark.parametrize("name", TINY_TEXT)
def test_a_text_s_encoding_in_full(name, tiny_families):
    family = tiny_families[name]
    encoder, prompt = load_encoder(family, None), PROMPTS[name]
    encoded = encoder.encode(SAID, 64)
    answer = [*family.answer_prefix.encode(), *b"As is", 257]
    assert encoded.input_ids == prompt + answer
    assert encoded.labels == [X] * len(prompt) + answer
    assert (encoded.token_types, encoded.vision) == ({}, {})
    assert encoder.encode_prompt(SAID).input_ids == prompt
    assert (encoder.pad_id, encoder.end_ids) == (256, [257])
    assert encoder.decode(answer) == "As is"


def test_tags_and_answer_join_as_one_text_would(tmp_path, tiny_families):
    """TOFU tokenizes prompt and answer together; where a blank belongs to the next word, cut before it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["Q", ":", "Ġ", "Why", "Ċ", "A", "ĠBo", "ĠWhy", "Bo", "</s>", "?"]
    core = Tokenizer(models.BPE(vocab={w: i for i, w in enumerate(words)}, merges=[], ignore_merges=True))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    from unlearn.models.text_encoder import TextEncoder

    encoder = TextEncoder(tiny_families["phi"], PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>"))
    encoded = encoder.encode(Sample("a", "Why?", "Bo", None, "a"), 64)
    assert encoded.input_ids == [*encoder.tokenizer("Q: Why?\nA: Bo")["input_ids"], encoder.end_ids[0]]


def test_a_prompt_needs_a_template_or_tags(tiny_families, tmp_path):
    family = tiny_families["mistral"]
    tokenizer = byte_tokenizer({"<pad>": 256, "</s>": 257}, None, pad_token="<pad>", eos_token="</s>")
    from unlearn.models.text_encoder import TextEncoder

    with pytest.raises(UserError, match="has no chat template; set question_start_tag, question_end_tag"):
        TextEncoder(family, tokenizer)


def test_a_picture_is_refused(tiny_families, picture):
    encoder = load_encoder(tiny_families["llama"], None)
    with pytest.raises(UserError, match="qa-1 has a picture, which tiny_llama does not see"):
        encoder.encode(replace(SAID, image=picture), 64)


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ({"vision": False, "answer_tag": ""}, "answer_tag is set without question_start_tag, question_end_tag"),
        ({"vision": True, "answer_tag": ""}, "answer_tag is set, but a model that sees pictures"),
        ({"vision": False, "answer_tag": "", "template_arguments": {"a": 1}}, "answer_tag and template_arguments"),
        ({"vision": False, "max_pixels": 9}, "sees no pictures; leave min_pixels and max_pixels out"),
    ],
)
def test_contradictions_of_a_family_are_refused(family, message):
    assert any(message in problem for problem in ModelFamily(name="f", hub_id="a/b", **family).problems())


def test_a_dummy_row_has_a_label_and_no_picture(tiny_text_family):
    blank = load_encoder(tiny_text_family, None).blank()
    assert blank.vision == {}
    assert [label for label in blank.labels if label != X] == [257]


@pytest.mark.parametrize("name", TINY_TEXT)
def test_rows_at_answer_positions_equal_those_of_full_logits(name, tiny_families):
    family = tiny_families[name]
    encoder, model = load_encoder(family, None), load_model(family, None).double()
    rows = [encoder.encode(sample, 64) for sample in (SAID, SHORT)]
    with torch.no_grad():
        out = label_logits(model, Collator(encoder.pad_id)(rows))
        for number, row in enumerate(rows):
            ids = torch.tensor([row.input_ids])
            whole = model(input_ids=ids, output_hidden_states=True)
            start = row.labels.count(X) - 1
            torch.testing.assert_close(out.logits[out.rows == number], whole.logits[0, start:-1], rtol=0, atol=1e-10)
            assert out.targets[out.rows == number].tolist() == row.input_ids[start + 1 :]
            hidden = label_hidden(model, Collator(encoder.pad_id)([row]), 0)
            torch.testing.assert_close(hidden, whole.hidden_states[1][0, start:-1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", TINY_TEXT)
def test_greedy_answers_equal_an_argmax_loop(name, tiny_families):
    family = tiny_families[name]
    encoder, model = load_encoder(family, None), load_model(family, None)
    prompts = [encoder.encode_prompt(sample) for sample in (SAID, SHORT)]
    nothing = Pictures(model, [{} for _ in prompts], torch.device("cpu"))
    answers = generate(model, encoder, prompts, nothing, 5)
    for prompt, answer in zip(prompts, answers, strict=True):
        ids = list(prompt.input_ids)
        with torch.no_grad():
            while len(ids) < len(prompt.input_ids) + 5 and ids[-1] not in encoder.end_ids:
                ids.append(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax().item())
        assert answer == encoder.decode(ids[len(prompt.input_ids) :])


@pytest.mark.parametrize("name", TINY_TEXT)
def test_adapters_go_to_every_linear_layer_but_the_output(name, tiny_families):
    names = target_modules(load_model(tiny_families[name], None), [Component.language_model])
    assert len(names) == 2 * LINEAR.get(name, 7)
    assert not any("lm_head" in name or "embed_out" in name for name in names)


def test_adapters_on_parts_that_a_language_model_lacks_are_refused(tiny_families):
    with pytest.raises(UserError, match=r"LoRA\.components names projector, which has no linear layer"):
        target_modules(load_model(tiny_families["llama"], None), [Component.projector])


@pytest.mark.parametrize("name", TINY_TEXT)
def test_a_checkpoint_loads_as_the_same_weights(name, tiny_families, tmp_path):
    family = tiny_families[name]
    encoder, model = load_encoder(family, None), load_model(family, None)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    save_checkpoint(model, encoder, tmp_path / "saved", family.hub_id, merge=False)
    again, state = load_model(family, str(tmp_path / "saved")), model.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in again.state_dict().items())
    assert load_encoder(family, str(tmp_path / "saved")).encode(SAID, 64) == encoder.encode(SAID, 64)


def test_adapters_are_drawn_and_merged(tiny_families, tmp_path):
    from unlearn.models.lora import add_lora

    family = tiny_families["gpt_neox"]
    encoder, model = load_encoder(family, None), load_model(family, None)
    torch.manual_seed(0)
    adapted = add_lora(model, LoRAConfig(r=2))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if ".lora_B." in name:
                parameter.fill_(0.1)
    batch = Collator(encoder.pad_id)([encoder.encode(SAID, 64)])
    save_checkpoint(adapted, encoder, tmp_path / "saved", family.hub_id, merge=False)
    with torch.no_grad():
        expected = label_logits(adapted.eval(), batch).logits
        found = label_logits(load_model(family, str(tmp_path / "saved")), batch).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
