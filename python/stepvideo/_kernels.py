"""The library's functions for tensors of any framework."""
import ctypes
import sys

from . import _library
from ._tensor import Call, is_torch, pointer

_MASKS = {"full": 0, "causal": 1}


def _result(call, name, given, shape):
    """(the tensor to return, its Argument)"""
    tensor = call.new(name, shape) if given is None else given
    return tensor, call.take(name, tensor, is_written=True)


def _attention_options(call, mask, scale, key_lengths, log_sum_exp, keys_before):
    if mask not in _MASKS:
        raise ValueError(f"{call.name}: the mask is {mask!r}; {' and '.join(map(repr, _MASKS))} work")
    options = _library.AttentionOptions(0 if scale is None else scale, _MASKS[mask], keys_before)
    for name, tensor, is_written in (("key_lengths", key_lengths, False), ("log_sum_exp", log_sum_exp, True)):
        argument = call.take(name, tensor, is_written)
        if argument is not None:
            setattr(options, name, ctypes.pointer(argument.tensor))
    return options


def attention(queries, keys, values, *, mask="full", scale=None, key_lengths=None, keys_before=0, log_sum_exp=None,
              out=None, stream=None):
    """softmax(scale queries keys^T) values, (batch, tokens, heads, dim) each, any strides; returns `out`.

    Heads of keys and values may be fewer, by a whole factor. `mask` is "full", with `key_lengths` (batch) of int64 or
    without, or "causal", with `keys_before` keys before the first query. `scale` is 1 / sqrt(dim) where it is not given.
    `log_sum_exp` (batch, tokens, heads) of float32 is written where it is given.
    CPU: float32 and bfloat16. GPU: bfloat16 and float16.
    """
    call = Call("attention", queries, stream)
    q, k, v = call.take("queries", queries), call.take("keys", keys), call.take("values", values)
    options = _attention_options(call, mask, scale, key_lengths, log_sum_exp, keys_before)
    out, result = _result(call, "out", out, q.shape)
    _library.call("attention", call.execution, q.pointer, k.pointer, v.pointer, options, result.pointer)
    return out


def fp8_attention(queries, keys, values, *, scale=None, key_lengths=None, log_sum_exp=None, rotate=True, center=True,
                  workspace=None, out=None, stream=None):
    """attention() with the full mask whose operands are rounded to fp8 with scales first; returns `out`.

    `workspace` is a tensor of float32 on the same device, of fp8_attention_workspace() bytes or more; PyTorch and numpy
    make one where it is not given. CPU: slowly, to check a GPU against. GPU: bfloat16, on Hopper.
    """
    call = Call("fp8_attention", queries, stream)
    q, k, v = call.take("queries", queries), call.take("keys", keys), call.take("values", values)
    options = _attention_options(call, "full", scale, key_lengths, log_sum_exp, 0)
    out, result = _result(call, "out", out, q.shape)
    room = _workspace(call, queries, workspace, q.pointer, k.pointer)
    _library.call("fp8_attention", call.execution, q.pointer, k.pointer, v.pointer, options,
                  _library.Fp8Options(not rotate, not center), *room, result.pointer)
    return out


def _workspace(call, like, given, *shapes):
    """(address, bytes) of the workspace that stepvideo_CALL_workspace() asks for, in `given` or in a new tensor."""
    needed = ctypes.c_size_t()
    _library.call(call.name + "_workspace", call.execution, *shapes, needed)
    if needed.value == 0:
        return None, 0
    room = call.take("workspace", _new_workspace(call, like, needed.value) if given is None else given, is_written=True)
    padding = -(room.tensor.data or 0) % 64
    size = _library.ELEMENT_BYTES[room.tensor.element]
    for extent in room.shape:
        size *= extent
    return (room.tensor.data or 0) + padding, max(size - padding, 0)


def _new_workspace(call, like, size):
    floats = (size + 64) // 4 + 1
    if is_torch(like):
        torch = sys.modules["torch"]
        return torch.empty(floats, dtype=torch.float32, device=like.device)
    if "numpy" in sys.modules and isinstance(like, sys.modules["numpy"].ndarray):
        return sys.modules["numpy"].empty(floats, dtype="float32")
    raise ValueError(f"{call.name}: workspace must be given for a {type(like).__name__}: float32, of {4 * floats} bytes")


def _pointer_of(call, name, handle, kind):
    if not isinstance(handle, kind):
        raise ValueError(f"{call.name}: {name} is a {type(handle).__name__}; a {kind.__name__} works")
    return handle._handle.pointer


def rms_norm(x, weight, *, epsilon=1e-6, out=None, stream=None):
    """x / sqrt(mean(x^2) + epsilon) * weight over the last extent of 2 to 4; returns `out`, which may be x."""
    call = Call("rms_norm", x, stream)
    source, factors = call.take("x", x), call.take("weight", weight)
    out, result = _result(call, "out", out, source.shape)
    _library.call("rms_norm", call.execution, source.pointer, factors.pointer, epsilon, result.pointer)
    return out


def layer_norm(x, weight=None, bias=None, *, scale=None, shift=None, epsilon=1e-6, out=None, stream=None):
    """LayerNorm over the last extent of (batch, tokens, width), then weight and bias (width), then (1 + scale) and shift
    (batch, width) of float32; each pair may be left out. Returns `out`, which may be x."""
    call = Call("layer_norm", x, stream)
    source = call.take("x", x)
    terms = [call.take(name, tensor) for name, tensor in (("weight", weight), ("bias", bias), ("scale", scale),
                                                          ("shift", shift))]
    out, result = _result(call, "out", out, source.shape)
    _library.call("layer_norm", call.execution, source.pointer, *map(pointer, terms), epsilon, result.pointer)
    return out


def group_norm(x, weight, bias, groups, *, activation=None, epsilon=1e-6, workspace=None, out=None, stream=None):
    """GroupNorm of (frames, height, width, channels), statistics of each frame alone, in `groups` runs of channels; weight
    and bias (channels). `activation` is None or "silu". Returns `out`, which may be x."""
    call = Call("group_norm", x, stream)
    if activation not in (None, "silu"):
        raise ValueError(f"group_norm: the activation is {activation!r}; None and 'silu' work")
    source, factors, offsets = call.take("x", x), call.take("weight", weight), call.take("bias", bias)
    out, result = _result(call, "out", out, source.shape)
    room = _workspace(call, x, workspace, source.pointer)
    _library.call("group_norm", call.execution, source.pointer, factors.pointer, offsets.pointer, groups, epsilon,
                  int(activation == "silu"), *room, result.pointer)
    return out


def _execution_on(device):
    """ "cpu", "cuda", "cuda:1" or PyTorch's device."""
    kind, _, ordinal = str(device).partition(":")
    if kind not in ("cpu", "cuda") or not (ordinal or "0").isdigit():
        raise ValueError(f"the device is {device!r}; 'cpu', 'cuda' and 'cuda:1' work")
    return _library.Execution(_library.CPU if kind == "cpu" else _library.CUDA, int(ordinal or 0), None)


class RopeTable:
    """Angles of 3D rotary embedding for a latent video of frames x height x width tokens and heads of `dim` channels, of
    which `split` (three even numbers; dim / 2, dim / 4 and dim / 4 where it is not given) turn with each axis."""

    def __init__(self, frames, height, width, dim, *, split=None, device="cpu"):
        split = split or (dim // 2, dim // 4, dim // 4)
        if len(split) != 3 or sum(split) != dim:
            raise ValueError(f"RopeTable: the split is {tuple(split)} for heads of {dim} channels; three even numbers that "
                             "add up to it work")
        self._handle = _library.Handle("rope_table", _execution_on(device), frames, height, width, *split)


def qk_norm_rope(packed, query_weight, key_weight, table, *, first_token=0, epsilon=1e-6, queries=None, keys=None,
                 values=None, stream=None):
    """(queries, keys, values) of packed (batch, tokens, heads, 3 dim), whose heads are [q | k | v]: queries and keys with
    RMSNorm, weights (dim), and the table's rotary embedding, values copied. The results (batch, tokens, heads, dim) may
    be given, with any strides."""
    call = Call("qk_norm_rope", packed, stream)
    source = call.take("packed", packed)
    weights = [call.take("query_weight", query_weight), call.take("key_weight", key_weight)]
    shape = source.shape[:-1] + (source.shape[-1] // 3,)
    results = [_result(call, name, given, shape) for name, given in (("queries", queries), ("keys", keys),
                                                                     ("values", values))]
    _library.call("qk_norm_rope", call.execution, source.pointer, *map(pointer, weights), epsilon,
                  _pointer_of(call, "table", table, RopeTable), first_token, *(argument.pointer for _, argument in results))
    return tuple(tensor for tensor, _ in results)


class ConvWeight:
    """A convolution's weight (out channels, in channels, frames, height, width), kernels of 1 or 3, in the order in which
    causal_conv3d() reads it; made once."""

    def __init__(self, weight, *, stream=None):
        call = Call("ConvWeight", weight, stream)
        argument = call.take("weight", weight)
        self._handle = _library.Handle("conv_weight", call.execution, argument.pointer)
        self.out_channels = argument.shape[0]


def causal_conv3d(x, weight, bias, *, stride=1, past_frames=0, out=None, stream=None):
    """The convolution of x (frames, height, width, channels), causal in time, by a ConvWeight; returns `out`.

    A kernel of 3 has two zero frames in front, or up to two `past_frames` that x begins with, and padding 1 in space."""
    call = Call("causal_conv3d", x, stream)
    source, offsets = call.take("x", x), call.take("bias", bias)
    handle = _pointer_of(call, "weight", weight, ConvWeight)
    # What has no such extents is refused by the library, which then has written nothing.
    frames = max(source.shape[0] - max(past_frames, 0), 0)
    extents = tuple((extent - 1) // max(stride, 1) + 1 for extent in (frames,) + source.shape[1:3])
    out, result = _result(call, "out", out, extents + (weight.out_channels,))
    _library.call("causal_conv3d", call.execution, source.pointer, handle, offsets.pointer, stride,
                  past_frames, result.pointer)
    return out
