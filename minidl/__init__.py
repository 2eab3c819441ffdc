"""minidl: a deep-learning engine to learn from. PyTorch's names and behaviour, on NumPy."""

import math as _math

from minidl import (
    amp,
    autograd,
    cuda,
    dtypes,
    linalg,
    methods,
    nn,
    optim,
    random,
)
from minidl.absent import finder as _finder
from minidl.amp import GradScaler
from minidl.autograd import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from minidl.autograd import functional as _functional  # written in operators, so imported after them
from minidl.autograd.autocast import autocast, get_autocast_dtype, is_autocast_enabled
from minidl.backends import device, get_backend, use_backend
from minidl.creation import *
from minidl.dtypes import bool_ as bool
from minidl.dtypes import (
    dtype,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    promote_types,
    set_default_dtype,
    uint8,
)
from minidl.nn.functional import (
    adaptive_avg_pool1d,
    alpha_dropout,
    avg_pool1d,
    bilinear,
    celu,
    celu_,
    channel_shuffle,
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    cosine_similarity,
    dropout,
    feature_alpha_dropout,
    pairwise_distance,
    pdist,
    pixel_shuffle,
    pixel_unshuffle,
    relu_,
    rrelu,
    rrelu_,
    selu,
    selu_,
    threshold,
    threshold_,
)
from minidl.ops import *
from minidl.printing import set_printoptions
from minidl.random import Generator, get_rng_state, initial_seed, manual_seed, seed, set_rng_state
from minidl.sampling import *
from minidl.surface import *
from minidl.tensor import Tensor
from minidl.threads import get_num_threads, set_num_threads
from minidl_kernels.precision import get_float32_matmul_precision, set_float32_matmul_precision

# PyTorch's other names for the types; ``bfloat16`` is looked up when asked for.
half, float, double = float16, float32, float64
short, int, long = int16, int32, int64

inf, nan, pi, e = _math.inf, _math.nan, _math.pi, _math.e
newaxis = None
Size = tuple  # what shapes are
_find = _finder(__name__)


def __getattr__(name):
    if name == "bfloat16":
        found = dtypes.bfloat16_or_none()
        if found is None:
            from minidl_kernels.installing import how_to_install

            raise AttributeError(f"minidl.bfloat16 needs the package ml_dtypes: {how_to_install('ml_dtypes')}")
        return found
    if name in ("save", "load"):  # with them comes json; few programs need it
        from minidl import serialization

        return getattr(serialization, name)
    return _find(name)


__version__ = "0.1.0"
