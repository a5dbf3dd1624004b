"""Write trained checkpoints as a checkpoint folder in the release's layout, weights in bf16.

    python export.py --vae runs/vae --dit runs/dit --model ../../models/demo
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from text_to_velocity import TextToVelocity
from train_vae import CONFIGS
from training import load_parts
from vae import VideoVae

LIMIT_BYTES = 16_000_000
LLM_CONTEXT = 320


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Indented JSON with a final newline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_weights(path: Path, module: nn.Module) -> None:
    """A state dict in bf16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {key: value.detach().to(torch.bfloat16).contiguous() for key, value in module.state_dict().items()}
    save_file(state, path, metadata={"format": "pt"})


def export(model: TextToVelocity, vae: VideoVae, folder: Path, generation: dict[str, Any]) -> None:
    """Write every file but the tokenizers, which make_tokenizers.py has written."""
    dit, llm, clip = model.dit.config, model.llm.config, model.clip.config
    write_weights(folder / "transformer" / "diffusion_pytorch_model.safetensors", model.dit)
    write_json(folder / "transformer" / "config.json", {
        "_class_name": "StepVideoModel", "num_attention_heads": dit.num_attention_heads,
        "attention_head_dim": dit.attention_head_dim, "in_channels": dit.in_channels,
        "out_channels": dit.in_channels, "num_layers": dit.num_layers,
        "caption_channels": list(dit.caption_channels), "attention_type": "parallel", "dropout": 0.0,
        "norm_elementwise_affine": False, "norm_eps": 1e-6, "norm_type": "ada_norm_single", "patch_size": 1,
        "use_additional_conditions": False})
    write_weights(folder / "step_llm" / "model.safetensors", model.llm)
    write_json(folder / "step_llm" / "config.json", {
        "hidden_size": llm.hidden_size, "num_attention_heads": llm.num_attention_heads,
        "num_attention_groups": llm.num_attention_groups, "num_layers": llm.num_layers,
        "ffn_hidden_size": llm.ffn_hidden_size, "seq_length": LLM_CONTEXT,
        "padded_vocab_size": llm.padded_vocab_size, "layernorm_epsilon": llm.layernorm_epsilon,
        "use_flash_attn": True, "attention_dropout": 0.0, "hidden_dropout": 0.0, "fp32_residual_connection": False,
        "embedding_weights_in_fp32": False, "params_dtype": "torch.bfloat16"})
    write_weights(folder / "hunyuan_clip" / "clip_text_encoder" / "model.safetensors", model.clip)
    write_json(folder / "hunyuan_clip" / "clip_text_encoder" / "config.json", {
        "vocab_size": clip.vocab_size, "hidden_size": clip.hidden_size,
        "num_hidden_layers": clip.num_hidden_layers, "num_attention_heads": clip.num_attention_heads,
        "intermediate_size": clip.intermediate_size, "max_position_embeddings": clip.max_position_embeddings,
        "layer_norm_eps": clip.layer_norm_eps, "hidden_act": "gelu"})
    write_weights(folder / "vae" / "vae_v2.safetensors", vae)
    write_json(folder / "scheduler" / "scheduler_config.json", {
        "_class_name": "FlowMatchDiscreteScheduler", "num_train_timesteps": 1, "reverse": False, "solver": "euler"})
    write_json(folder / "model_index.json", {
        "_class_name": "StepVideoPipeline", "transformer": ["stepvideo", "StepVideoModel"],
        "scheduler": ["stepvideo", "FlowMatchDiscreteScheduler"], "generation": generation})


def main() -> None:
    """Export and report the sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--vae-config", choices=sorted(CONFIGS), default="wide")
    parser.add_argument("--dit", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder to write into")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--cfg-scale", type=float, default=3.0)
    parser.add_argument("--time-shift", type=float, default=3.0)
    arguments = parser.parse_args()
    vae, model = VideoVae(CONFIGS[arguments.vae_config]), TextToVelocity()
    load_parts(vae, arguments.vae)
    load_parts(model, arguments.dit)
    export(model, vae, arguments.model, {
        "frames": 17, "height": 96, "width": 96, "steps": arguments.steps, "cfg_scale": arguments.cfg_scale,
        "time_shift": arguments.time_shift})
    sizes = {path: path.stat().st_size for path in sorted(arguments.model.rglob("*")) if path.is_file()}
    for path, size in sizes.items():
        print(f"{size:10d} {path.relative_to(arguments.model)}")
    print(f"{sum(sizes.values()):10d} in all")
    if sum(sizes.values()) > LIMIT_BYTES:
        raise SystemExit(f"the checkpoint has {sum(sizes.values())} bytes; at most {LIMIT_BYTES} are allowed")


if __name__ == "__main__":
    main()
