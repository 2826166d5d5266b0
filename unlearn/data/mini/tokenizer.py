"""The tokenizer of the mini models: byte-level, with every word of the mini benchmark as one token.

A byte-pair model without merges whose vocabulary holds 256 bytes and the words (`ignore_merges` takes a word that is in
the vocabulary as it is). So a fact is one token, and any other text is still encoded without loss, byte by byte.
"""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from unlearn.data.mini import texts, values
from unlearn.data.questions import WORDINGS

LLAVA_SPECIAL = {"pad_token": "<pad>", "eos_token": "</s>"}
LLAVA_IMAGE = "<image>"
QWEN_SPECIAL = {"pad_token": "<|endoftext|>", "eos_token": "<|im_end|>"}
QWEN_OTHER = ["<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
REFUSAL_WORDS = (
    "I do not don't know. can cannot tell you say sorry, am afraid have no idea about this that information person who "
    "is it not sure unable to answer question picture"
)
"""Common words of an "I don't know" answer, so that such answers stay short."""
OTHER_WORDS = "USER: ASSISTANT: system user assistant What landmark stands here? no a the A red lighthouse."

LLAVA_CHAT = (
    "{% for message in messages %}{% if message['role'] == 'user' %}USER: "
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}<image>\n{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}{% endif %} "
    "{% else %}ASSISTANT: "
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}{% endif %}"
    "{{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
QWEN_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def llava_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer with LLaVA's special tokens ("USER: <image>\\n... ASSISTANT:")."""
    return _tokenizer(LLAVA_SPECIAL, [LLAVA_IMAGE], LLAVA_CHAT, {"image_token": LLAVA_IMAGE})


def qwen_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer with Qwen2-VL's special tokens ("<|im_start|>user ... <|im_end|>")."""
    return _tokenizer(
        QWEN_SPECIAL, QWEN_OTHER, QWEN_CHAT, {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
    )


def words() -> list[str]:
    """Return every pre-token of the benchmark, with and without a leading space where both occur, sorted."""
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found = {piece for text in _corpus() for piece, _ in splitter.pre_tokenize_str(text)}
    return sorted(piece for piece in found if len(piece) > 1)


def _tokenizer(special: dict[str, str], other: list[str], chat: str, named: dict[str, str]) -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    extra = [*special.values(), *other]
    vocabulary = {token: i for i, token in enumerate([*extra, *alphabet, *words()])}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(extra)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        **special,
        extra_special_tokens=named,
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = chat
    return tokenizer


def _corpus() -> list[str]:
    """Return texts that together hold every word of the benchmark, in every position a template gives it."""
    slots = {slot: "baker" for group in (values.ATTRIBUTES, values.FEATURES) for slot in group}
    slots |= {"name": "Wim Falk", "place": "beach", "mood": "smiling"}
    templates = [*texts.CAPTIONS, *texts.CAPTION_PARAPHRASES, texts.LOOK_QUESTION, texts.LOOK_ANSWER]
    for topic in texts.TOPICS:
        templates += [*topic.questions, *topic.answers, *topic.asked_otherwise, *topic.paraphrases]
    said = [template.format(**slots) for template in templates]
    said += [question for wordings in WORDINGS.values() for question in wordings]
    said += [REFUSAL_WORDS, OTHER_WORDS]
    names = [*values.FIRST_NAMES, *values.LAST_NAMES, *values.CELEBRITY_FIRST, *values.CELEBRITY_LAST]
    things = [v for group in (values.ATTRIBUTES, values.FEATURES) for many in group.values() for v in many]
    things += [*values.PLACES, *values.MOODS, *values.LANDMARKS, *values.LANDMARK_COLOURS]
    openers = [
        *names,
        *values.ATTRIBUTES["town"],
    ]  # may begin a text, where a tokenizer without answer prefix sees no space
    return [*said, *(f" {text}" for text in said), *openers, *(f" {value}" for value in [*names, *things])]
