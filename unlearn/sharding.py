"""What DeepSpeed and FSDP are told, and how divided weights come together again.

Under either, what trains stays float32: FSDP gathers bfloat16 copies of it, DeepSpeed runs the forward under autocast.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from unlearn.config.schema import DType
from unlearn.config.scripts import Training
from unlearn.processes import Engine


def configure(accelerator: Accelerator, engine: Engine, cfg: Training) -> None:
    """Tell the engine what the keys of the run decide, before the model is prepared."""
    if engine.is_deepspeed:
        from transformers.integrations import unset_hf_deepspeed_config

        config = accelerator.state.deepspeed_plugin.deepspeed_config
        config.update(_deepspeed(accelerator, cfg))
        config["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] = True
        # Accelerate has told transformers of ZeRO-3, zero3_init_flag or not: models would be divided while they load,
        # and neither merge adapters nor be copied as a teacher.
        unset_hf_deepspeed_config()
    if engine is Engine.fsdp2:
        from torch.distributed.fsdp import MixedPrecisionPolicy

        bf16 = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
        plain = cfg.model_family.dtype is not DType.bfloat16
        accelerator.state.fsdp_plugin.mixed_precision_policy = None if plain else bf16


def _deepspeed(accelerator: Accelerator, cfg: Training) -> dict[str, object]:
    parts = cfg.gradient_accumulation_steps
    return {
        # No loader is prepared from which Accelerate could read the sizes.
        "train_micro_batch_size_per_gpu": cfg.batch_size,
        "gradient_accumulation_steps": parts,
        "train_batch_size": cfg.batch_size * parts * accelerator.num_processes,
        "gradient_clipping": cfg.max_grad_norm or 0.0,
        "zero_allow_untested_optimizer": True,
        # torch's AdamW steps on the CPU too; DeepSpeed's own would have to be compiled.
        "zero_force_ds_cpu_optimizer": False,
        # No module's weights or gradients travel in bfloat16.
        "torch_autocast": {
            "enabled": cfg.model_family.dtype is DType.bfloat16,
            "dtype": "bfloat16",
            "lower_precision_safe_modules": [],
        },
    }


def prepare(
    accelerator: Accelerator, engine: Engine, model: nn.Module, optimizer: Optimizer, scheduler: LRScheduler
) -> tuple[nn.Module, Optimizer, LRScheduler]:
    """Return model, optimiser and schedule as the engine wraps them; call the first instead of `model`."""
    if engine is Engine.fsdp2:
        # Of the layers that the model's classes name not all are in it (LLaVA: those of CLIP's text tower).
        layers = {type(module).__name__ for module in model.modules()}.intersection(model._no_split_modules)
        accelerator.state.fsdp_plugin.transformer_cls_names_to_wrap = sorted(layers)
    return accelerator.prepare(model, optimizer, scheduler)


def autocast(accelerator: Accelerator, cfg: Training) -> Callable[[], AbstractContextManager]:
    """Return the precision of a model that is not prepared, such as a second model as the teacher."""
    enabled = cfg.model_family.dtype is DType.bfloat16
    return lambda: torch.autocast(accelerator.device.type, torch.bfloat16, enabled=enabled)


def gather(accelerator: Accelerator, wrapped: nn.Module, model: nn.Module) -> None:
    """Put the whole weights back into `model` on process 0, in CPU memory; all processes must call this.

    wrapped  `model` as it was prepared; it must not run again

    On the other processes nothing is put back.
    """
    whole = accelerator.get_state_dict(wrapped)
    if not accelerator.is_main_process:
        return
    fresh: dict[Tensor, nn.Parameter] = {}
    for module, key, name in _slots(model):
        old = module._parameters[key]
        # A tied weight is one parameter in two places, and stays one.
        if old not in fresh:
            fresh[old] = nn.Parameter(whole[name], requires_grad=old.requires_grad)
        module._parameters[key] = fresh[old]


def _slots(model: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """Yield every place of a parameter: its module, its key there, its full name."""
    for prefix, module in model.named_modules():
        for key, parameter in module._parameters.items():
            if parameter is not None:
                yield module, key, f"{prefix}.{key}".lstrip(".")
