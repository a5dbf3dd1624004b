"""libstepvideo_c.so: its structures (stepvideo_c.h) and its errors."""
import ctypes
import os
from ctypes import POINTER, byref, c_char_p, c_float, c_int, c_int32, c_int64, c_size_t, c_void_p

MAX_RANK = 5
FP32, BF16, FP16, INT64 = 1, 2, 3, 4
CPU, CUDA = 0, 1
ELEMENT_BYTES = {FP32: 4, BF16: 2, FP16: 2, INT64: 8}


class Execution(ctypes.Structure):
    _fields_ = [("device", c_int32), ("ordinal", c_int32), ("stream", c_void_p)]


class Tensor(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("element", c_int32), ("rank", c_int32), ("shape", c_int64 * MAX_RANK),
                ("strides", c_int64 * MAX_RANK)]


class AttentionOptions(ctypes.Structure):
    _fields_ = [("scale", c_float), ("mask", c_int32), ("keys_before", c_int64), ("key_lengths", POINTER(Tensor)),
                ("log_sum_exp", POINTER(Tensor)), ("spare_multiprocessors", c_int32)]


class Fp8Options(ctypes.Structure):
    _fields_ = [("without_rotation", c_int32), ("without_centering", c_int32)]


def _open():
    path = os.environ.get("STEPVIDEO_LIBRARY") or os.path.join(os.path.dirname(__file__), "libstepvideo_c.so")
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(f"stepvideo: {path} cannot be opened ({error}); the wheel brings it, or STEPVIDEO_LIBRARY "
                          "names one that was built") from None
    execution, tensor, handle = POINTER(Execution), POINTER(Tensor), c_void_p
    signatures = {
        "attention": [execution] + 3 * [tensor] + [POINTER(AttentionOptions), tensor],
        "fp8_attention_workspace": [execution, tensor, tensor, POINTER(c_size_t)],
        "fp8_attention": [execution] + 3 * [tensor] + [POINTER(AttentionOptions), POINTER(Fp8Options), c_void_p,
                                                       c_size_t, tensor],
        "rope_table_create": [execution] + 6 * [c_int32] + [POINTER(handle)],
        "qk_norm_rope": [execution] + 3 * [tensor] + [c_float, handle, c_int64] + 3 * [tensor],
        "rms_norm": [execution, tensor, tensor, c_float, tensor],
        "layer_norm": [execution] + 5 * [tensor] + [c_float, tensor],
        "group_norm_workspace": [execution, tensor, POINTER(c_size_t)],
        "group_norm": [execution, tensor, tensor, tensor, c_int32, c_float, c_int32, c_void_p, c_size_t, tensor],
        "conv_weight_create": [execution, tensor, POINTER(handle)],
        "causal_conv3d": [execution, tensor, handle, tensor, c_int32, c_int32, tensor],
    }
    for name, arguments in signatures.items():
        function = getattr(library, "stepvideo_" + name)
        function.argtypes, function.restype = arguments, c_int
    for name in ("rope_table_destroy", "conv_weight_destroy"):
        function = getattr(library, "stepvideo_" + name)
        function.argtypes, function.restype = [handle], None
    for name, result in (("version", c_char_p), ("last_error", c_char_p), ("serves_cuda", c_int)):
        function = getattr(library, "stepvideo_" + name)
        function.argtypes, function.restype = [], result
    return library


_library = _open()


def version():
    """The version of the library, "0.1.0"."""
    return _library.stepvideo_version().decode()


def serves_cuda():
    """Whether the library serves GPUs, too."""
    return bool(_library.stepvideo_serves_cuda())


def call(name, *arguments):
    """Calls stepvideo_NAME; a refusal is a ValueError, a failure a RuntimeError, with the library's sentence."""
    status = getattr(_library, "stepvideo_" + name)(*arguments)
    if status != 0:
        sentence = _library.stepvideo_last_error().decode(errors="replace")
        raise (ValueError if status == 1 else RuntimeError)(sentence)


class Handle:
    """What stepvideo_KIND_create made; destroyed with the object."""

    def __init__(self, kind, *arguments):
        self._kind, self.pointer = kind, c_void_p()
        call(kind + "_create", *arguments, byref(self.pointer))

    def __del__(self):
        if getattr(self, "pointer", None):
            getattr(_library, f"stepvideo_{self._kind}_destroy")(self.pointer)
            self.pointer = None
