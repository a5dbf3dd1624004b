"""Time one transformer forward and one VAE decode in PyTorch on the CPU, in float32.

    python compare_pytorch.py MODEL_DIR [--threads 2] [--latent 3x6x6] [--repeats 7]

Prints one JSON object: medians in milliseconds. `stepvideo bench --device cpu --model MODEL_DIR` prints ours for the
same sizes. The VAE is timed in every memory format and form of its convolutions; `vae_decode_ms` is the fastest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Callable

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools/demo_model"))
from dit import DitConfig, VideoDit  # noqa: E402
from vae import CausalConv, Decoder, VaeConfig  # noqa: E402

CLIP_TOKENS, LLM_TOKENS = 77, 51  # as many keys as `stepvideo bench` uses


def median_ms(call: Callable[[], Tensor], repeats: int) -> float:
    """The median of `repeats` runs after two warm-up runs."""
    seconds = []
    for run in range(repeats + 2):
        start = time.perf_counter()
        call()
        if run >= 2:
            seconds.append(time.perf_counter() - start)
    return 1e3 * statistics.median(seconds)


def load_strict(module: nn.Module, tensors: dict[str, Tensor]) -> nn.Module:
    """All weights, in float32."""
    module.load_state_dict({key: value.float() for key, value in tensors.items()}, strict=True)
    return module.float().eval()


def load_dit(folder: Path) -> VideoDit:
    """The transformer with the sizes of its config.json."""
    fields = json.loads((folder / "config.json").read_text())
    config = DitConfig(fields["num_attention_heads"], fields["attention_head_dim"], fields["in_channels"],
                       fields["num_layers"], tuple(fields["caption_channels"]))
    tensors: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(file)
    return load_strict(VideoDit(config), tensors)


def load_decoder(file: Path) -> tuple[Decoder, VaeConfig]:
    """The VAE's decoder with the sizes of its tensors; every level must have as many blocks as level 0."""
    tensors = {key.removeprefix("decoder."): value for key, value in load_file(file).items()
               if key.startswith("decoder.")}
    widths = [tensors[f"up.{level}.block.0.conv2.conv.weight"].shape[0] for level in range(4)]
    blocks = sum(f"up.0.block.{i}.conv1.conv.weight" in tensors for i in range(16))
    config = VaeConfig(z_channels=tensors["conv_in.conv.weight"].shape[1], decoder_width=1,
                       decoder_multipliers=tuple(widths), residual_blocks=blocks - 1)
    return load_strict(Decoder(config), tensors), config


def time_dit(dit: VideoDit, latent: tuple[int, int, int], repeats: int) -> float:
    """A guided pair: prompt and negative prompt in one batch."""
    frames, height, width = latent
    llm_width, clip_width = dit.config.caption_channels
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    inputs = (normal(2, frames, dit.config.in_channels, height, width), torch.full((2,), 0.5),
              normal(2, LLM_TOKENS, llm_width), normal(2, CLIP_TOKENS, clip_width),
              torch.ones(2, CLIP_TOKENS + LLM_TOKENS))
    return median_ms(lambda: dit(*inputs), repeats)


def time_decoder(decoder: Decoder, config: VaeConfig, latent: tuple[int, int, int], repeats: int) -> dict[str, float]:
    """Every memory format and form of the causal convolutions."""
    frames, height, width = latent
    z = torch.randn(1, config.z_channels, frames, height, width, generator=torch.Generator().manual_seed(1))
    results = {}
    for is_last in (False, True):
        for parameter in decoder.parameters():
            if parameter.dim() >= 4:
                last = torch.channels_last_3d if parameter.dim() == 5 else torch.channels_last
                parameter.data = parameter.data.contiguous(memory_format=last if is_last else torch.contiguous_format)
        x = z.contiguous(memory_format=torch.channels_last_3d) if is_last else z
        for taps in (False, True):
            CausalConv.taps_as_channels = taps
            name = ("channels last" if is_last else "channels first") + (", as 2D" if taps else "")
            results[name] = median_ms(lambda: decoder(x), repeats)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--latent", default="3x6x6", help="frames x height x width")
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    latent = tuple(int(size) for size in arguments.latent.split("x"))
    with torch.inference_mode():
        decoder, config = load_decoder(arguments.model / "vae/vae_v2.safetensors")
        decodes = time_decoder(decoder, config, latent, arguments.repeats)
        dit_ms = time_dit(load_dit(arguments.model / "transformer"), latent, arguments.repeats)
    print(json.dumps({"torch": torch.__version__, "threads": arguments.threads, "latent": arguments.latent,
                      "dit_forward_ms": round(dit_ms, 2), "vae_decode_ms": round(min(decodes.values()), 2),
                      "vae_decode_ms_by_form": {name: round(ms, 2) for name, ms in decodes.items()}}))


if __name__ == "__main__":
    main()
