"""Make the pretrained mini language model: `python -m unlearn.data.mini.language [--out FOLDER]`.

The language model of the mini LLaVA, which already speaks, goes on with texts alone: authors who exist, facts of the
world, and the other people of its pretraining. About a minute on one core; the same weights every time on one machine.
"""

import argparse
import logging
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import torch
from transformers import LlamaForCausalLM, LlavaForConditionalGeneration

from unlearn.data.mini.models import llava_processor
from unlearn.data.mini.pretrain import PACKAGES, Settings, ends, logged, save_whole, training_steps
from unlearn.data.mini.pretrain import SHIPPED as LLAVA
from unlearn.data.mini.recipe import LANGUAGE_SHARES, fingerprint, language_samples

SHIPPED = Path(__file__).parent / "llama"
SETTINGS = Settings(steps=400, lr=1e-3, threads=1)


def main() -> None:
    """Read the command line, pretrain, and put the folder in place as a whole."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=SHIPPED, help="folder to write (default: the shipped one)")
    out = parser.parse_args().out
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    pretrain(SETTINGS, out)


def pretrain(settings: Settings, out: Path) -> None:
    """Train on from the mini LLaVA and write model (float16), tokenizer and record to `out`."""
    start = time.time()
    torch.set_num_threads(settings.threads)
    groups, processor = language_samples(settings.seed), llava_processor()
    model = LlavaForConditionalGeneration.from_pretrained(LLAVA, dtype=torch.float32)
    speaking = logged("speech", training_steps(model, processor, groups, LANGUAGE_SHARES, settings))
    record = {
        "command": "python -m unlearn.data.mini.language",
        "settings": asdict(settings),
        "versions": {name: version(name) for name in PACKAGES},
        "fingerprint": fingerprint([], groups, LANGUAGE_SHARES, asdict(settings)),
        "losses": {"speech": ends(speaking)},
        "wall_seconds": round(time.time() - start, 1),
    }
    save_whole(language_model(model), processor.tokenizer, record, out)


def language_model(model: LlavaForConditionalGeneration) -> LlamaForCausalLM:
    """Return the language model of a LLaVA as a model of its own."""
    config = model.config.text_config
    config.tie_word_embeddings = model.config.tie_word_embeddings
    with torch.random.fork_rng(devices=[]):
        alone = LlamaForCausalLM(config)
    alone.model.load_state_dict(model.model.language_model.state_dict())
    alone.lm_head.load_state_dict(model.lm_head.state_dict())
    alone.generation_config.update(**{key: getattr(config, key) for key in ("eos_token_id", "pad_token_id")})
    return alone


if __name__ == "__main__":
    main()
