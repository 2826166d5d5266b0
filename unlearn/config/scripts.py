"""The keys of the entry scripts, shared by all modalities: finetune, forget and eval."""

from dataclasses import dataclass, replace
from typing import Any

from unlearn.config.schema import (
    MISSING,
    SEEING,
    Component,
    Data,
    DType,
    LoRAConfig,
    Metrics,
    Modality,
    ModelFamily,
    NormFrom,
    Optimizer,
    Scheduler,
    Tracker,
    option,
    out_of_range,
    unseen_pictures,
)

SHARES = "above 0 to 1, or null"
"""Allowed values of forget_loss.saliency."""


@dataclass
class Optimisation:
    """Keys of everything that the trainer trains."""

    save_dir: str = option(MISSING, "folder of the run: weights, config, provenance, log")
    overwrite_dir: bool = option(False, "replace another run in save_dir")
    lr: float = option(1e-5, "peak learning rate")
    batch_size: int = option(1, "samples per process and micro-batch")
    gradient_accumulation_steps: int = option(1, "micro-batches per optimiser step")
    num_epochs: int = option(1, "passes over the training (forget: the forget) set")
    weight_decay: float = option(0.01, "decoupled weight decay of AdamW, L2 penalty of SGD")
    optimizer: Optimizer = option(Optimizer.adamw, "adamw | adamw_8bit (CUDA) | sgd")
    momentum: float = option(0.9, "momentum of SGD")
    lr_scheduler: Scheduler = option(Scheduler.linear, "constant | constant_with_warmup | linear | cosine")
    warmup_ratio: float = option(0.0, "part of all steps in which the learning rate rises")
    max_grad_norm: float | None = option(1.0, "largest gradient norm; null: no clipping")
    l1_lambda: float = option(0.0, "weight of the L1 norm of what trains; 0: no such penalty")
    l_norm_from: NormFrom = option(NormFrom.zero, "zero: |theta| | start: |theta - theta_0|")
    l1_decay: bool = option(False, "l1_lambda falls linearly, epoch by epoch, towards 0")
    seed: int = option(0, "order of the samples, pairing and what is drawn for a start")
    num_workers: int = option(0, "processes that decode and encode samples")
    save_state_every: int = option(0, "optimiser steps between resumable states; 0: none")
    tracker: Tracker = option(Tracker.none, "none | wandb | tensorboard")

    def pads_pictures(self) -> bool:
        """Tell whether a batch without picture gets a blank one, so that what sees takes part in every backward."""
        return False

    def problems(self) -> list[str]:
        """Return every value that is out of range or contradicts another."""
        positive = ("lr", "batch_size", "gradient_accumulation_steps", "num_epochs")
        found = [out_of_range(k, getattr(self, k), "above 0") for k in positive if getattr(self, k) <= 0]
        not_negative = ("weight_decay", "num_workers", "save_state_every", "seed", "l1_lambda")
        found += [out_of_range(k, getattr(self, k), "0 or above") for k in not_negative if getattr(self, k) < 0]
        if not 0 <= self.warmup_ratio <= 1:
            found.append(out_of_range("warmup_ratio", self.warmup_ratio, "from 0 to 1"))
        if not 0 <= self.momentum < 1:
            found.append(out_of_range("momentum", self.momentum, "from 0 to below 1"))
        if self.max_grad_norm is not None and self.max_grad_norm <= 0:
            found.append(out_of_range("max_grad_norm", self.max_grad_norm, "above 0, or null"))
        if self.l1_decay and self.l1_lambda == 0:
            found.append("l1_decay is true but l1_lambda is 0, so there is no penalty to decay; set l1_lambda.")
        return found


@dataclass
class Training(Optimisation):
    """Keys shared by finetune and forget."""

    model_family: ModelFamily = option(ModelFamily, "file of config/model_family")
    data: Data = option(Data, "file of config/data")
    model_path: str | None = option(None, "checkpoint to start from; null: the family's pretrained model")
    max_length: int = option(512, "longest sample in tokens, image tokens included")
    freeze_vision_module: bool = option(True, "the vision tower does not train")
    freeze_projector: bool = option(False, "the projector does not train")
    LoRA: LoRAConfig = option(LoRAConfig, "low-rank adapters")
    merge_adapter: bool = option(False, "save merged weights instead of the adapter")

    def trains(self, part: Component) -> bool:
        """Tell whether anything of `part` trains: its weights, or its adapters where there are any."""
        if part in SEEING and not self.model_family.vision:
            return False
        frozen = {Component.vision_tower: self.freeze_vision_module, Component.projector: self.freeze_projector}
        return part in self.LoRA.components if self.LoRA.r > 0 else not frozen.get(part, False)

    def pads_pictures(self) -> bool:
        """Tell whether what sees trains."""
        return any(self.trains(part) for part in SEEING)

    def edits(self) -> bool:
        """Tell whether columns of MLPs' closing layers are scaled instead of anything trained."""
        return False

    def problems(self) -> list[str]:
        """Return every value that is out of range or contradicts another."""
        found = super().problems()
        if self.max_length <= 0:
            found.append(out_of_range("max_length", self.max_length, "above 0"))
        blind = [] if self.model_family.vision else [p.name for p in self.LoRA.components if p in SEEING]
        if blind:
            found.append(f"LoRA.components has {', '.join(blind)}, which model_family={self.model_family.name} lacks.")
        found += unseen_pictures(self.data, self.model_family)
        if self.merge_adapter and self.LoRA.r == 0:
            found.append("merge_adapter is true but LoRA.r is 0, so there is no adapter to merge; set one of them.")
        if self.LoRA.load_in_4bit and self.model_family.dtype is DType.float64:
            found.append("LoRA.load_in_4bit is true but model_family.dtype is float64; allowed are bfloat16, float32.")
        if self.merge_adapter and self.LoRA.load_in_4bit:
            found.append(
                "merge_adapter and LoRA.load_in_4bit are true, but an adapter merged into 4-bit weights is mostly "
                "rounded away; leave merge_adapter out: every later run merges the adapter into the 16-bit weights."
            )
        return found


@dataclass
class FinetuneConfig(Training):
    """Keys of <modality>/finetune.py."""

    split: str = option("full", "full (base), or a retain split such as retain90 (gold)")
    forget_modality: Modality = option(Modality.both, "what gold must not see of the forgotten people")


@dataclass
class ForgetConfig(Training):
    """Keys of <modality>/forget.py."""

    forget_loss: Any = option(MISSING, "file of config/forget_loss: the unlearning method")
    loss_beta: float | None = option(None, "CLEAR's name for forget_loss.forget_weight; null: as the method says")
    forget_split: str = option("forget10", "what is to be forgotten: forget01, forget05, forget10")
    retain_split: str = option("retain90", "its complement: retain99, retain95, retain90")
    forget_modality: Modality = option(Modality.both, "both | image | text")
    forget_data_path: str | None = option(None, "where the forget split is read from; null: data.path")
    retain_data_path: str | None = option(None, "where the retain split is read from; null: data.path")
    refusals_path: str | None = option(None, "text file with one \"I don't know\" a line; null: the suite's own list")

    def trains(self, part: Component) -> bool:
        """Tell whether anything of `part` trains; a method that trains single layers leaves the other parts alone."""
        return super().trains(part) and (part is Component.language_model or not self.forget_loss.trains_layers)

    def edits(self) -> bool:
        """Tell whether the method scales weights instead of training any."""
        return self.forget_loss.edits

    def problems(self) -> list[str]:
        """Return what is wrong with the keys of a forget run, the method's own parameters included."""
        found = super().problems()
        if self.loss_beta is not None and not hasattr(self.forget_loss, "forget_weight"):
            name = self.forget_loss.name
            found.append(f"loss_beta is {self.loss_beta} but forget_loss={name} has no weight; leave loss_beta out.")
        if self.loss_beta is not None and self.loss_beta <= 0:
            found.append(out_of_range("loss_beta", self.loss_beta, "above 0"))
        if self.forget_loss.trains_layers and not self.trains(Component.language_model):
            found.append(
                f"forget_loss={self.forget_loss.name} trains decoder layers alone, but LoRA.components leaves out "
                f"language_model; add it."
            )
        found += self.forget_loss.problems_over(self.num_epochs)
        trains = not (self.edits() or self.forget_loss.routes)
        found += self._sense_problems()
        found += self._mask_problems() if trains else self._idle_problems()
        return found + (self._routing_problems() if self.forget_loss.routes else [])

    def _sense_problems(self) -> list[str]:
        """Return why the method makes no sense for the model, if so."""
        found, method = [], self.forget_loss
        if method.without_pictures and not self.model_family.vision:
            found.append(
                f"forget_loss={method.name} makes no sense for a model that sees nothing, such as "
                f"model_family={self.model_family.name}: {method.without_pictures}; take another method."
            )
        if method.without_faces:
            found.append(
                f"forget_loss={method.name} makes no sense for models that answer questions: {method.without_faces}; "
                f"take another method."
            )
        return found

    def _mask_problems(self) -> list[str]:
        name, share, found = self.forget_loss.name, self.forget_loss.saliency, []
        if share is not None and not 0 < share <= 1:
            found.append(out_of_range("forget_loss.saliency", share, SHARES))
        elif self.LoRA.r > 0 and self.forget_loss.mask() is not None:
            found.append(
                f"forget_loss={name} chooses by gradients at the start what may move, but LoRA.r is {self.LoRA.r}: a "
                f"fresh adapter's B is 0, so its A has gradient exactly 0 and would be held for ever; set LoRA.r=0."
            )
        return found

    def _routing_problems(self) -> list[str]:
        if self.forget_modality is Modality.text or not self.model_family.vision:
            return []
        return [
            f"forget_loss={self.forget_loss.name} tells prompts apart by their words, and a question about a picture "
            f"has the same words whoever is in it; set forget_modality=text (now {self.forget_modality.name})."
        ]

    def _idle_problems(self) -> list[str]:
        """Return the keys that say how something trains, where nothing does."""
        name, share = self.forget_loss.name, self.forget_loss.saliency
        idle = {"LoRA.r": (self.LoRA.r, 0), "l1_lambda": (self.l1_lambda, 0), "forget_loss.saliency": (share, "null")}
        return [
            f"{key} is {value}, but forget_loss={name} trains nothing, no adapter either; set {key}={off}."
            for key, (value, off) in idle.items()
            if value
        ]

    def method(self) -> Any:
        """Return the unlearning method with `loss_beta` applied."""
        return self.forget_loss if self.loss_beta is None else replace(self.forget_loss, forget_weight=self.loss_beta)


@dataclass
class Harness:
    """One file of config/eval: what lm-evaluation-harness is asked beside the suite's own tasks."""

    name: str = option("none", "none | lm_eval")
    tasks: list[str] = option(list, "tasks or groups of lm-eval")
    limit: int | None = option(None, "items of each task, the first ones; null: all")
    num_fewshot: int | None = option(None, "examples in the prompt; null: as each task says")
    include_path: str | None = option(None, "folder of further task files")
    batch_size: int = option(8, "requests per batch")

    def problems(self) -> list[str]:
        """Return every value that is out of range."""
        found = [out_of_range("eval.batch_size", self.batch_size, "above 0")] if self.batch_size <= 0 else []
        if self.tasks and self.name == "none":
            found.append(f"eval.tasks is {self.tasks} but eval is none; set eval=lm_eval too.")
        if not self.tasks and self.name != "none":
            found.append("eval.tasks is empty; name tasks of lm-eval, or set eval=none.")
        if self.limit is not None and self.limit <= 0:
            found.append(out_of_range("eval.limit", self.limit, "above 0, or null"))
        if self.num_fewshot is not None and self.num_fewshot < 0:
            found.append(out_of_range("eval.num_fewshot", self.num_fewshot, "0 or above, or null"))
        return found


@dataclass
class EvalConfig:
    """Keys of <modality>/eval.py."""

    model_family: ModelFamily = option(ModelFamily, "file of config/model_family")
    data: Data = option(Data, "file of config/data")
    model_path: str | None = option(None, "checkpoint to evaluate; null: the family's pretrained model")
    tasks: list[str] = option(list, "files of config/task")
    forget_split: str = option("forget10", "split whose people were to be forgotten")
    retain_split: str = option("retain90", "the complement of forget_split")
    forget_modality: Modality = option(Modality.both, "both | image | text")
    save_dir: str | None = option(None, "folder of the results; null: <model_path>/eval_results (_<stress>)")
    overwrite_dir: bool = option(False, "replace results of another evaluation in save_dir")
    metrics: Metrics = option(Metrics.correct, "correct | released: also answers without the picture, for its ROUGE")
    gradient_norm: bool = option(False, "also the gradient's norm for the attack by that name; a backward pass an item")
    stress: Any = option(MISSING, "file of config/stress: what is done to the model before it is evaluated")
    batch_size: int = option(8, "items (with all their answers) per batch")
    max_length: int = option(512, "longest sample in tokens, image tokens included")
    eval: Harness = option(Harness, "file of config/eval: none | lm_eval (language models)")

    def problems(self) -> list[str]:
        """Return every value that is out of range."""
        found = [
            out_of_range(k, getattr(self, k), "above 0") for k in ("batch_size", "max_length") if getattr(self, k) <= 0
        ]
        found += unseen_pictures(self.data, self.model_family)
        if self.eval.tasks and self.model_family.vision:
            found.append(
                f"eval={self.eval.name} evaluates language models, and model_family={self.model_family.name} sees "
                f"pictures; set eval=none."
            )
        if not self.tasks:
            found.append("tasks is empty; allowed are names of config/task; set e.g. tasks=[forget_captions].")
        if self.model_path is None and self.save_dir is None:
            found.append("save_dir is null for the pretrained model; set the folder of its results, save_dir=... .")
        return found
