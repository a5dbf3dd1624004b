"""Read a checkpoint folder in the release's layout back into the PyTorch modules, in float32."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from dit import DitConfig
from prompt_tokens import PromptTokenizer
from text_encoders import ClipConfig, LlmConfig
from text_to_velocity import TextToVelocity
from vae import VaeConfig, VideoVae


@dataclass
class Checkpoint:
    """Everything that turns a prompt into a clip."""

    model: TextToVelocity
    vae: VideoVae
    tokenizer: PromptTokenizer
    generation: dict[str, Any]  # frames, height, width, steps, cfg_scale, time_shift


def vae_config(state: dict[str, Tensor]) -> VaeConfig:
    """The sizes that a VAE's tensors imply."""
    encoder = [len(state[f"encoder.down.{level}.block.0.conv2.conv.bias"]) for level in range(4)]
    decoder = [len(state[f"decoder.up.{level}.block.0.conv2.conv.bias"]) for level in range(4)]
    base = len(state["encoder.conv_in.conv.bias"])
    blocks = sum(key.startswith("encoder.down.0.block.") and key.endswith("conv2.conv.bias") for key in state)
    return VaeConfig(state["decoder.conv_in.conv.weight"].shape[1], base, tuple(w // base for w in encoder),
                     32, tuple(w // 32 for w in decoder), blocks)


def _fields(path: Path, names: Any) -> dict[str, Any]:
    values = json.loads(path.read_text(encoding="utf-8"))
    return {name: tuple(values[name]) if isinstance(values[name], list) else values[name] for name in names}


def load_checkpoint(folder: Path, device: torch.device) -> Checkpoint:
    """Load all components of `folder`."""
    clip_folder = folder / "hunyuan_clip" / "clip_text_encoder"
    model = TextToVelocity(
        DitConfig(**_fields(folder / "transformer" / "config.json", DitConfig.__dataclass_fields__)),
        LlmConfig(**_fields(folder / "step_llm" / "config.json", LlmConfig.__dataclass_fields__)),
        ClipConfig(**_fields(clip_folder / "config.json", ClipConfig.__dataclass_fields__)))
    model.dit.load_state_dict(load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors"))
    model.llm.load_state_dict(load_file(folder / "step_llm" / "model.safetensors"))
    model.clip.load_state_dict(load_file(clip_folder / "model.safetensors"))
    state = load_file(folder / "vae" / "vae_v2.safetensors")
    vae = VideoVae(vae_config(state))
    vae.load_state_dict(state)
    generation = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))["generation"]
    return Checkpoint(model.to(device).eval(), vae.to(device).eval(), PromptTokenizer(folder), generation)
