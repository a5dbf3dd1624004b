"""Tensors of any framework as the library's, by DLPack."""
import ctypes
import sys
from ctypes import POINTER, c_char_p, c_int32, c_int64, c_uint8, c_uint16, c_uint32, c_uint64, c_void_p

from . import _library

# kDLCPU and kDLCUDAHost; kDLCUDA and kDLCUDAManaged
_CPU_DEVICES, _CUDA_DEVICES = (1, 3), (2, 13)
# (DLDataTypeCode, bits) -> stepvideo_element
_ELEMENTS = {(2, 32): _library.FP32, (4, 16): _library.BF16, (2, 16): _library.FP16, (0, 64): _library.INT64}
_CODES = {0: "int", 1: "uint", 2: "float", 4: "bfloat", 5: "complex", 6: "bool"}
_READ_ONLY = 1
_LEGACY_STREAM = 1  # how DLPack writes CUDA's default stream


class _DLDevice(ctypes.Structure):
    _fields_ = [("type", c_int32), ("id", c_int32)]


class _DLTensor(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("device", _DLDevice), ("ndim", c_int32), ("code", c_uint8), ("bits", c_uint8),
                ("lanes", c_uint16), ("shape", POINTER(c_int64)), ("strides", POINTER(c_int64)),
                ("byte_offset", c_uint64)]


class _Versioned(ctypes.Structure):
    _fields_ = [("major", c_uint32), ("minor", c_uint32), ("context", c_void_p), ("deleter", c_void_p),
                ("flags", c_uint64), ("tensor", _DLTensor)]


_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.argtypes, _is_valid.restype = [ctypes.py_object, c_char_p], ctypes.c_int
_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.argtypes, _pointer_of.restype = [ctypes.py_object, c_char_p], c_void_p


def is_torch(value):
    """Whether `value` is a tensor of PyTorch, which is not imported for the question."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_numpy(value):
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def stream_of(value, stream):
    """The stream of a call as a number: `stream`, or PyTorch's current one where `value` is a tensor of it."""
    if stream is not None:
        for attribute in ("cuda_stream", "ptr"):  # PyTorch, CuPy
            stream = getattr(stream, attribute, stream)
        return int(stream)
    if is_torch(value) and value.is_cuda:
        return sys.modules["torch"].cuda.current_stream(value.device).cuda_stream
    return 0


class Argument:
    """One tensor of a call: the structure for the library, and what keeps its memory alive."""

    def __init__(self, call, name, value, stream=0, is_written=False):
        self.name, self._call = name, call
        if is_numpy(value):
            self._take_numpy(value)
        elif hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__"):
            self._take_dlpack(value, stream)
        else:
            self._refuse(f"is a {type(value).__name__}, which has no __dlpack__; an array or a tensor has")
        if is_written and self.is_read_only:
            self._refuse("is read-only and the result goes there; a writable one works")

    @property
    def shape(self):
        return tuple(self.tensor.shape[:self.tensor.rank])

    @property
    def pointer(self):
        return ctypes.byref(self.tensor)

    def _refuse(self, fact):
        raise ValueError(f"{self._call}: the tensor {self.name} {fact}")

    def _fill(self, data, code, bits, lanes, shape, strides):
        element = _ELEMENTS.get((code, bits)) if lanes == 1 else None
        if element is None:
            kind = f"{_CODES.get(code, f'type {code} of DLPack, ')}{bits}" + (f" x {lanes}" if lanes != 1 else "")
            self._refuse(f"is {kind}; float32, bfloat16 and float16 are served, and int64 for lengths")
        rank = len(shape)
        if not 1 <= rank <= _library.MAX_RANK:
            self._refuse(f"has a rank of {rank}; ranks are 1 to {_library.MAX_RANK}")
        if strides is None:
            strides = [1] * rank
            for i in range(rank - 1, 0, -1):
                strides[i - 1] = strides[i] * shape[i]
        self.tensor = _library.Tensor(data, element, rank)
        self.tensor.shape[:rank], self.tensor.strides[:rank] = shape, strides

    def _take_numpy(self, array):
        """numpy's own description, since numpy exports no read-only array by DLPack before 2.1."""
        self.keeps, self.is_read_only, self.device = array, not array.flags.writeable, (_library.CPU, 0)
        code = {"i": 0, "u": 1, "f": 2, "c": 5, "b": 6}.get(array.dtype.kind)
        if array.dtype.name == "bfloat16":  # of ml_dtypes
            code = 4
        if code is None or not array.dtype.isnative:
            self._refuse(f"is {array.dtype}; float32, bfloat16 and float16 of the machine's byte order are served, and "
                         "int64 for lengths")
        size = array.itemsize
        if any(stride % size for stride in array.strides):
            self._refuse(f"has strides of {array.strides} bytes, no multiples of its element's {size}; a copy works")
        self._fill(array.ctypes.data, code, 8 * size, 1, list(array.shape), [s // size for s in array.strides])

    def _take_dlpack(self, value, stream):
        kind, ordinal = value.__dlpack_device__()
        kind = int(kind)
        if kind in _CPU_DEVICES:
            self.device, arguments = (_library.CPU, 0), {}
        elif kind in _CUDA_DEVICES:
            self.device, arguments = (_library.CUDA, int(ordinal)), {"stream": stream or _LEGACY_STREAM}
        else:
            self._refuse(f"lies on a device of DLPack's kind {kind}; the CPU and NVIDIA GPUs are served")
        try:
            try:
                capsule = value.__dlpack__(max_version=(1, 0), **arguments)
            except TypeError:  # a producer from before DLPack 1.0
                capsule = value.__dlpack__(**arguments)
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            self._refuse(f"does not give its memory away: {error}")
        # The capsule is never renamed to a used one: its own destructor gives the memory back.
        self.keeps = (value, capsule)
        if _is_valid(capsule, b"dltensor_versioned"):
            versioned = _Versioned.from_address(_pointer_of(capsule, b"dltensor_versioned"))
            if versioned.major != 1:
                self._refuse(f"comes by DLPack {versioned.major}; versions before 2 are understood")
            tensor, self.is_read_only = versioned.tensor, bool(versioned.flags & _READ_ONLY)
        elif _is_valid(capsule, b"dltensor"):
            tensor, self.is_read_only = _DLTensor.from_address(_pointer_of(capsule, b"dltensor")), False
        else:
            self._refuse("has a __dlpack__ whose result is no DLPack capsule")
        rank = tensor.ndim
        self._fill((tensor.data or 0) + tensor.byte_offset, tensor.code, tensor.bits, tensor.lanes, tensor.shape[:rank],
                   tensor.strides[:rank] if tensor.strides else None)


class Call:
    """The tensors of one call, which must lie on one device; it runs there."""

    def __init__(self, name, first, stream=None):
        self.name, self._first, self._arguments = name, first, []
        self._stream = stream_of(first, stream)

    def take(self, name, value, is_written=False):
        """The tensor's Argument; None stays None."""
        if value is None:
            return None
        argument = Argument(self.name, name, value, self._stream, is_written)
        if self._arguments and argument.device != self._arguments[0].device:
            first = self._arguments[0]
            argument._refuse(f"lies on {device_text(argument.device)} and {first.name} on {device_text(first.device)}; "
                             "one device for all works")
        self._arguments.append(argument)
        return argument

    def new(self, name, shape):
        """A new tensor of the first one's framework, device and element."""
        if is_torch(self._first):
            return sys.modules["torch"].empty(shape, dtype=self._first.dtype, device=self._first.device)
        if is_numpy(self._first):
            return sys.modules["numpy"].empty(shape, dtype=self._first.dtype)
        raise ValueError(f"{self.name}: {name} must be given for a {type(self._first).__name__}; of PyTorch and numpy new "
                         "tensors are made")

    @property
    def execution(self):
        kind, ordinal = self._arguments[0].device
        return ctypes.byref(_library.Execution(kind, ordinal, self._stream or None))


def device_text(device):
    return "the CPU" if device[0] == _library.CPU else f"GPU {device[1]}"


def pointer(argument):
    """What the library is passed for an Argument, or for None."""
    return None if argument is None else argument.pointer
