"""minidl: a deep-learning engine to learn from. PyTorch's names and behaviour, on NumPy."""

from minidl import autograd, methods, optim
from minidl.autograd import functional as _functional  # written in operators, so imported after them
from minidl.autograd import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from minidl.backends import device, get_backend, use_backend
from minidl.creation import *
from minidl.dtypes import bool_ as bool
from minidl.dtypes import dtype, finfo, float16, float32, float64, iinfo, int8, int16, int32, int64, uint8
from minidl.ops import *
from minidl import linalg  # noqa: E402, I001
from minidl.random import Generator, initial_seed, manual_seed, seed
from minidl.sampling import *
from minidl.tensor import Tensor

__version__ = "0.1.0"
