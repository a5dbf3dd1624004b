"""Kernels for video diffusion transformers on the CPU and on NVIDIA GPUs.

Tensors are anything that speaks DLPack: of numpy, PyTorch, JAX, CuPy. Results go to `out`, or to a new tensor of the
input's framework where that is PyTorch or numpy. A call runs where its tensors lie; on a GPU it is submitted to
PyTorch's current stream, or to `stream`. A mistake is a ValueError with one sentence, what fails nevertheless a
RuntimeError.
"""
from ._kernels import (ConvWeight, RopeTable, attention, causal_conv3d, fp8_attention, group_norm, layer_norm,
                       qk_norm_rope, rms_norm)
from ._library import serves_cuda, version

__version__ = version()
__all__ = ["ConvWeight", "RopeTable", "attention", "causal_conv3d", "fp8_attention", "group_norm", "layer_norm",
           "qk_norm_rope", "rms_norm", "serves_cuda", "version"]
