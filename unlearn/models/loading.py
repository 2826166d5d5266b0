"""Load a family's processor (or tokenizer) and weights: from the Hub, or from a checkpoint of this suite or of peft."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from unlearn.config.schema import Attention, ModelFamily
from unlearn.errors import UserError
from unlearn.models.encoder import Encoder
from unlearn.models.folders import (
    ADAPTER_WEIGHTS,
    Chain,
    resolve_chain,
    resolve_pretrained,
)
from unlearn.models.processors import load_processor
from unlearn.models.router import attach, read_router
from unlearn.models.text_encoder import TextEncoder
from unlearn.models.vision_encoder import VisionEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PROCESSOR_FILES = (
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "chat_template.json",
    "chat_template.jinja",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)
"""Files that a processor of transformers may be made of; checkpoints carry them along unchanged."""

SEES_WHOLE_PICTURE = ("gemma3",)
"""Types of models whose image tokens attend to later ones of their picture; flash_attention_2 would drop that mask."""


def resolve(family: ModelFamily, model_path: str | None) -> Chain:
    """Return where the weights come from, `model_path` or else the family's pretrained model, without reading them."""
    return resolve_pretrained(family.hub_id) if model_path is None else resolve_chain(model_path)


def resolve_start(family: ModelFamily, model_path: str | None) -> Chain:
    """Return where the weights of a model come from that is to train. Raises UserError for one behind a router."""
    chain = resolve(family, model_path)
    if chain.router is not None:
        start = chain.newest_first()[1]
        raise UserError(
            f'model_path "{chain.router}" has a router and no weights of its own: those are of "{start}", which forgot '
            f"nothing; train from that model."
        )
    return chain


def read_depth(family: ModelFamily, chain: Chain) -> int:
    """Return the number of decoder layers that the model's config tells; no weight is read."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(chain.root, trust_remote_code=family.trust_remote_code)
    return config.get_text_config().num_hidden_layers


def load_encoder(family: ModelFamily, model_path: str | None) -> Encoder:
    """Return the encoder with the processor that lies with the checkpoint, or else with the nearest of its bases.

    Raises UserError for a processor that is absent, has no image part, or takes no pixel limits where some are set.
    """
    chain = resolve(family, model_path)
    holders = [path for path in chain.newest_first() if (Path(path) / "tokenizer_config.json").exists()]
    source = holders[0] if holders else _download_processor(chain.root)
    try:
        if family.vision:
            return VisionEncoder(family, load_processor(source, chain.root, family), source)
        return TextEncoder(family, _load_tokenizer(source, family), source)
    except (OSError, ValueError, ImportError) as error:
        kind = "processor" if family.vision else "tokenizer"
        raise UserError(
            f'The {kind} in "{source}" cannot be read ({_first_line(error)}); put the {kind} files of the model there.'
        ) from error


def _load_tokenizer(source: str, family: ModelFamily) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(source, trust_remote_code=family.trust_remote_code)


def load_model(family: ModelFamily, model_path: str | None) -> "PreTrainedModel":
    """Return the model in `family.dtype`, in eval mode, with every adapter of `model_path` merged in order.

    A router of `model_path` stands before it. Nothing is frozen. Raises UserError for a checkpoint that is incomplete,
    does not fit, or cannot be downloaded, and for an attention implementation that does not run here or not with this
    model.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    library = AutoModelForImageTextToText if family.vision else AutoModelForCausalLM
    chain = resolve(family, model_path)
    try:
        if family.attn_implementation is Attention.flash_attention_2:
            _check_flash_attention(family, chain.root)
        model, info = library.from_pretrained(
            chain.root,
            dtype=getattr(torch, family.dtype.name),
            attn_implementation=family.attn_implementation.name,
            trust_remote_code=family.trust_remote_code,
            output_loading_info=True,
        )
    except (OSError, ValueError, ImportError) as error:
        raise UserError(f'The model "{chain.root}" cannot be loaded: {_first_line(error)}.') from error
    # The library would start absent weights at random and go on.
    if info["missing_keys"]:
        raise UserError(f'"{chain.root}" lacks {len(info["missing_keys"])} weights, e.g. {min(info["missing_keys"])}.')
    for folder in chain.adapters:
        model = _merge_adapter(model, folder)
    if chain.router is not None:
        attach(model, read_router(chain.router))
    return model.requires_grad_(True).eval()


def _check_flash_attention(family: ModelFamily, root: str) -> None:
    """Raise UserError where FlashAttention is not installed, has no device, or would leave a mask out in silence."""
    import torch
    from transformers import AutoConfig

    kind = AutoConfig.from_pretrained(root, trust_remote_code=family.trust_remote_code).model_type
    reasons = {
        "needs the package flash-attn, which is not installed (pip install flash-attn)": not find_spec("flash_attn"),
        "needs a CUDA device and there is none": not torch.cuda.is_available(),
        f"knows causal masks alone, but a {kind} model's image tokens see each other": kind in SEES_WHOLE_PICTURE,
    }
    found = [reason for reason, holds in reasons.items() if holds]
    if found:
        raise UserError(f"attn_implementation=flash_attention_2 {found[0]}; set model_family.attn_implementation=sdpa.")


def _merge_adapter(model: "PreTrainedModel", folder: Path) -> "PreTrainedModel":
    """Return the model with the adapter added to its weights: W + alpha / r * B A, rounded once to W's precision."""
    import peft
    import torch
    from safetensors.torch import load_file

    config = peft.PeftConfig.from_pretrained(str(folder))
    config.base_model_name_or_path = None  # the chain was resolved already; peft would warn of every other spelling
    try:
        # Fresh adapters are drawn before the saved ones replace them: the global generator stays where it was. Peft's
        # low_cpu_mem_usage draws nothing, but rounds the saved adapters to the base's precision.
        with torch.random.fork_rng(devices=[]):
            adapted = peft.get_peft_model(model, config)
        outcome = peft.set_peft_model_state_dict(adapted, load_file(folder / ADAPTER_WEIGHTS))
    except (ValueError, RuntimeError) as error:
        raise UserError(f'The adapter in "{folder}" does not fit its base: {_first_line(error)}.') from error
    # A layer without its weights would keep B = 0, and one that was not found would be left out: both in silence.
    stray = [*outcome.unexpected_keys, *(key for key in outcome.missing_keys if ".lora_" in key)]
    if stray:
        raise UserError(f'The adapter in "{folder}" does not fit its base: {len(stray)} tensors, e.g. {stray[0]}.')
    return adapted.merge_and_unload()


def _download_processor(hub_id: str) -> str:
    """Return the cached folder with a Hub model's processor files; offline it is found if it was downloaded before."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    if Path(hub_id).is_dir():
        raise UserError(f'"{hub_id}" holds no tokenizer; put the processor files of the model there.')
    try:
        return snapshot_download(hub_id, allow_patterns=[*PROCESSOR_FILES, "config.json"])
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise UserError(
            f'The model "{hub_id}" is neither a folder nor can it be had from the Hub ({type(error).__name__}); '
            f"correct the name, or connect (a gated model also needs `hf auth login`)."
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
