"""Compare these modules with golden tensors of the public release.

    python check_golden.py GOLDEN_DIR
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dit import DitConfig, VideoDit, apply_rope, rope_tables
from sampler import guided_sample, sigmas
from text_encoders import ClipConfig, ClipText, LlmConfig, StepLlm, alibi_slopes
from vae import VaeConfig, VideoVae

LIMIT = 1e-5
failures: list[str] = []


def compare(name: str, out: Tensor, ref: Tensor) -> None:
    """Print ||out - ref|| / ||ref|| and remember a miss; NaN misses."""
    error = ((out.double() - ref.double()).norm() / ref.double().norm()).item()
    good = error < LIMIT and out.shape == ref.shape
    print(f"{'ok  ' if good else 'FAIL'} {error:.2e} {name} {tuple(out.shape)}")
    if not good:
        failures.append(name)


def load(module: nn.Module, path: Path) -> nn.Module:
    """Load a state dict strictly, in float64."""
    module.load_state_dict(load_file(path), strict=True)
    return module.double().eval()


def check_dit(root: Path) -> tuple[VideoDit, VideoVae]:
    """The rotation, the transformer, and both modules for the pipeline check."""
    rope = load_file(root / "rope3d_3x4x5.safetensors")
    compare("rope", apply_rope(rope["x"].double(), *rope_tables(3, 4, 5, 128, rope["x"].double())), rope["y"])
    config = json.loads((root / "dit_tiny/config.json").read_text())
    dit = load(VideoDit(DitConfig(config["num_attention_heads"], config["attention_head_dim"], config["in_channels"],
                                  config["num_layers"], tuple(config["caption_channels"]))),
               root / "dit_tiny/diffusion_pytorch_model.safetensors")
    io = {key: value.double() for key, value in load_file(root / "dit_tiny/io.safetensors").items()}
    compare("dit", dit(io["hidden_states"], io["timestep"], io["encoder_hidden_states"],
                       io["encoder_hidden_states_2"], io["encoder_attention_mask"]), io["output"])
    vae = load(VideoVae(VaeConfig(4, 32, (1, 2, 1, 1), 32, (1, 1, 2, 1), 1)), root / "vae_tiny/vae_v2.safetensors")
    return dit, vae


def check_vae(vae: VideoVae, root: Path) -> None:
    """Decode of one chunk, two chunks and one image; encode of one chunk."""
    for name in ("decode_1chunk", "decode_2chunks", "decode_image"):
        io = load_file(root / f"vae_tiny/{name}.safetensors")
        compare(f"vae {name}", vae.decode(io["z"].double()), io["video"])
    io = load_file(root / "vae_tiny/encode_1chunk.safetensors")
    mean, logvar = vae.encode(io["video"].double())
    compare("vae encode mean", mean, io["mean"])
    compare("vae encode logvar", logvar, io["logvar"])


def check_text(root: Path) -> None:
    """Both encoders and the slopes."""
    fields = json.loads((root / "step_llm_tiny/config.json").read_text())
    config = LlmConfig(**{k: fields[k] for k in LlmConfig.__dataclass_fields__})
    llm = load(StepLlm(config), root / "step_llm_tiny/model.safetensors")
    io = load_file(root / "step_llm_tiny/io.safetensors")
    compare("step-llm", llm(io["input_ids"].long()), io["output"])
    for heads, slopes in json.loads((root / "step_llm_tiny/slopes.json").read_text()).items():
        compare(f"slopes of {heads} heads", torch.tensor(alibi_slopes(int(heads))), torch.tensor(slopes))
    fields = json.loads((root / "clip_tiny/config.json").read_text())
    config = ClipConfig(**{k: fields[k] for k in ClipConfig.__dataclass_fields__})
    clip = load(ClipText(config), root / "clip_tiny/model.safetensors")
    io = load_file(root / "clip_tiny/io.safetensors")
    out, mask = clip(io["input_ids"].long(), io["attention_mask"]), io["attention_mask"].bool()
    compare("clip, real tokens", out[mask], io["output"][mask])
    compare("clip, all tokens", out, io["output"])


def check_sampler(dit: VideoDit, vae: VideoVae, root: Path) -> None:
    """The schedules, then guided sampling and decoding end to end."""
    for case in json.loads((root / "scheduler.json").read_text()):
        compare("sigmas", sigmas(case["num_inference_steps"], case["time_shift"]), torch.tensor(case["sigmas"]))
    io = {key: value.double() for key, value in load_file(root / "pipeline_tiny.safetensors").items()}
    states = (io["encoder_hidden_states"], io["encoder_hidden_states_2"], io["encoder_attention_mask"])
    final = guided_sample(dit, io["latents"], *states, steps=4, cfg_scale=9.0, time_shift=13.0)
    compare("pipeline latents", final, io["final"])
    compare("pipeline video", vae.decode(final), io["video"])


@torch.no_grad()
def main() -> None:
    """Run every check."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: check_golden.py GOLDEN_DIR")
    root = Path(sys.argv[1])
    dit, vae = check_dit(root)
    check_vae(vae, root)
    check_text(root)
    check_sampler(dit, vae, root)
    raise SystemExit(f"differs from the golden tensors: {', '.join(failures)}" if failures else 0)


if __name__ == "__main__":
    main()
