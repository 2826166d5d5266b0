"""An untrained small Llama and its tokenizer.

The tokenizer is byte-level BPE, so any text is encoded without loss. It is trained on the questions and answers of all
authors, those to be forgotten and those whom no model ever sees alike, and it is one for base and gold: which token
stands for a name says nothing about who was a member of the training set.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from unlearn.tofu_small.authors import Configs, texts
from unlearn.tofu_small.config import HEAD_WIDTH, TofuSmallConfig

PAD, END = "<|pad|>", "<|end|>"
POSITIONS = 512


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer of at most `vocabulary` tokens; a word and its twin after a blank are both learned."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[PAD, END], initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        model_max_length=POSITIONS,
        clean_up_tokenization_spaces=False,
    )


def new_model(tokenizer: PreTrainedTokenizerFast, layers: int, width: int, seed: int) -> LlamaForCausalLM:
    """Return a Llama with random weights that depend on the seed alone, in float32."""
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=3 * width, num_hidden_layers=layers,
        num_attention_heads=width // HEAD_WIDTH, max_position_embeddings=POSITIONS, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, tie_word_embeddings=False,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def write_model(folder: Path, configs: Configs, cfg: TofuSmallConfig) -> None:
    """Write weights, config and tokenizer as a folder that `from_pretrained` loads."""
    tokenizer = train_tokenizer(texts(configs), cfg.vocabulary)
    new_model(tokenizer, cfg.layers, cfg.width, cfg.seed).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
