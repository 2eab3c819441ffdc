"""What PyTorch has and minidl has not, and what to do instead; and what was meant by a name that there is not.

One table serves the errors and docs/from_pytorch.md.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any, NamedTuple

# Where PyTorch's users look, by minidl's names: beside each, PyTorch's.
PLACES = {
    "minidl": "torch",
    "minidl.Tensor": "torch.Tensor",
    "minidl.nn": "torch.nn",
    "minidl.nn.functional": "torch.nn.functional",
    "minidl.nn.utils": "torch.nn.utils",
    "minidl.nn.utils.parametrizations": "torch.nn.utils.parametrizations",
    "minidl.nn.utils.parametrize": "torch.nn.utils.parametrize",
    "minidl.optim": "torch.optim",
    "minidl.optim.lr_scheduler": "torch.optim.lr_scheduler",
    "minidl.linalg": "torch.linalg",
    "minidl.autograd": "torch.autograd",
    "minidl.data": "torch.utils.data",
    "minidl.utils": "torch.utils",
    "minidl.amp": "torch.amp",
    "minidl.cuda": "torch.cuda",
}


class Group(NamedTuple):
    """Names that are missing for one reason: what they are about, what to do instead, and the names by place."""

    about: str
    instead: str
    names: dict[str, str]


GROUPS = [
    Group(
        "Compiling and exporting",
        "leave it out, since a program is run as it stands; minidl.use_backend('numba') runs compiled kernels, and "
        "minidl.save writes weights that PyTorch reads",
        {
            "minidl": "CompilationUnit JITException compile compiler export fx jit library onnx overrides package types",
        },
    ),
    Group(
        "Control flow for compilers",
        "write Python's if, for and while: the tape records what was run",
        {"minidl": "cond while_loop"},
    ),
    Group(
        "Function transforms",
        "write the batch as a dimension of its own, and minidl.autograd.grad(create_graph=True) for derivatives of any order; "
        "minidl.autograd.functional has jacobian, hessian, jvp, vjp and hvp",
        {"minidl": "func vmap", "minidl.autograd": "forward_ad"},
    ),
    Group(
        "Several processes and GPUs",
        "train in one process; minidl.train.Trainer(accumulate=n) has the batches of n devices, and DataLoader(num_workers=n) "
        "loads in n processes",
        {
            "minidl": "accelerator distributed fork futures multiprocessing wait",
            "minidl.nn": "DataParallel SyncBatchNorm parallel",
            "minidl.data": "DistributedSampler distributed",
            "minidl.Tensor": "is_shared share_memory_",
        },
    ),
    Group(
        "Sparse tensors",
        "use a dense tensor and index_add, scatter_add or a mask; the gradient of an embedding is dense, too",
        {
            "minidl": "hspmm smm sparse sparse_bsc_tensor sparse_bsr_tensor sparse_compressed_tensor sparse_coo "
            "sparse_coo_tensor sparse_csc_tensor sparse_csr_tensor sspaddmm",
            "minidl.Tensor": "ccol_indices coalesce col_indices crow_indices dense_dim indices is_coalesced is_sparse "
            "is_sparse_csr row_indices smm sparse_dim sparse_mask sparse_resize_ sparse_resize_and_clear_ sspaddmm to_dense "
            "to_sparse to_sparse_bsc to_sparse_bsr to_sparse_coo to_sparse_csc to_sparse_csr values",
            "minidl.optim": "SparseAdam",
        },
    ),
    Group(
        "Complex numbers, Fourier transforms",
        "keep real and imaginary parts in a last dimension of 2; numpy.fft transforms x.numpy(), without a gradient; matrices "
        "that are symmetric have minidl.linalg.eigh",
        {
            "minidl": "angle bartlett_window blackman_window cdouble cfloat chalf complex complex128 complex32 complex64 fft "
            "hamming_window hann_window is_conj istft kaiser_window polar resolve_conj resolve_neg signal stft "
            "view_as_complex view_as_real",
            "minidl.Tensor": "angle cdouble cfloat chalf conj_physical_ is_conj is_neg istft resolve_conj resolve_neg stft",
            "minidl.linalg": "eig eigvals",
        },
    ),
    Group(
        "Quantised and 8-bit numbers",
        "train and run in float16 or bfloat16 with minidl.autocast",
        {
            "minidl": "ao dequantize fake_quantize_per_channel_affine fake_quantize_per_tensor_affine float4_e2m1fn_x2 "
            "float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu qint32 qint8 quantization "
            "quantize_per_channel quantize_per_tensor quantize_per_tensor_dynamic quint8",
            "minidl.Tensor": "dequantize int_repr is_quantized q_per_channel_axis q_per_channel_scales "
            "q_per_channel_zero_points q_scale q_zero_point qscheme",
            "minidl.nn": "intrinsic qat quantizable quantized",
            "minidl.nn.functional": "ScalingType SwizzleType grouped_mm scaled_grouped_mm scaled_mm",
        },
    ),
    Group("Large unsigned integers", "use minidl.int64", {"minidl": "uint16 uint32 uint64"}),
    Group(
        "Layouts of memory",
        "leave it out, since every operator takes any strides; x.contiguous() copies into rows",
        {
            "minidl": "channels_last channels_last_3d contiguous_format empty_permuted empty_strided layout memory_format "
            "preserve_format",
            "minidl.Tensor": "dim_order layout new_empty_strided to_mkldnn",
            "minidl.nn.utils": "convert_conv2d_weight_memory_format convert_conv3d_weight_memory_format",
        },
    ),
    Group(
        "Storages",
        "x.data_ptr(), x.storage_offset() and x.stride() say where elements are, x.detach() shares them, x.clone() copies; a "
        "tensor never changes its size: make a new one",
        {
            "minidl": "Storage TypedStorage UntypedStorage frombuffer from_file storage to_dlpack",
            "minidl.Tensor": "const_data_ptr is_set_to resize_ resize_as_ set_ storage storage_type untyped_storage",
        },
    ),
    Group(
        "Copies with a part replaced",
        "copy and assign, which has a gradient: y = x.clone(), then y[:, 1] = source",
        {
            "minidl": "as_strided_scatter diagonal_scatter select_scatter slice_scatter",
            "minidl.Tensor": "as_strided_scatter diagonal_scatter select_scatter slice_scatter",
        },
    ),
    Group(
        "Ragged and masked tensors",
        "pad, and mask: minidl.nn.utils.rnn has pad_sequence and pack_padded_sequence, and attention takes masks",
        {
            "minidl": "jagged masked nested nonzero_static segment_reduce",
            "minidl.Tensor": "is_nested nonzero_static to_padded_tensor",
        },
    ),
    Group(
        "Other devices",
        "devices are 'cpu' and, with CuPy, 'cuda'",
        {
            "minidl": "cpu get_device_module mps mtia xpu",
            "minidl.Tensor": "ipu is_ipu is_meta is_mps is_mtia is_xla is_xpu mtia xpu",
        },
    ),
    Group(
        "Streams, graphs and memory of the GPU",
        "use CuPy's, which minidl runs on: cupy.cuda.Stream, cupy.get_default_memory_pool(); minidl.cuda.synchronize waits, "
        "and minidl.inspect.memory predicts what a step needs",
        {
            "minidl": "Event Stream",
            "minidl.Tensor": "is_pinned pin_memory record_stream",
            "minidl.cuda": "CUDAGraph Event Stream current_stream default_stream empty_cache get_device_capability "
            "get_device_properties graph is_bf16_supported make_graphed_callables max_memory_allocated max_memory_reserved "
            "mem_get_info memory_allocated memory_reserved memory_stats memory_summary nvtx reset_peak_memory_stats "
            "set_device set_stream stream",
        },
    ),
    Group(
        "Seeds of the GPU",
        "minidl.manual_seed seeds all devices",
        {"minidl.cuda": "get_rng_state initial_seed manual_seed seed seed_all set_rng_state"},
    ),
    Group(
        "Old ways to make a tensor",
        "say the type: minidl.tensor(data, dtype=minidl.float32), minidl.empty(2, 3), x.new_tensor(data)",
        {
            "minidl": "BoolTensor ByteTensor DoubleTensor FloatTensor HalfTensor IntTensor LongTensor ShortTensor",
            "minidl.Tensor": "new",
            "minidl.autograd": "Variable",
        },
    ),
    Group(
        "Choosing a device for good",
        "minidl.use_backend('cupy') makes new tensors on the GPU, 'numpy' on the CPU; or say device= where one is made",
        {"minidl": "get_default_device set_default_device"},
    ),
    Group(
        "Determinism, and PyTorch's own machinery",
        "leave it out, since on the CPU the same seed gives the same bits; minidl.set_num_threads sets all threads",
        {
            "minidl": "are_deterministic_algorithms_enabled get_deterministic_debug_mode get_num_interop_threads "
            "is_deterministic_algorithms_warn_only_enabled is_warn_always_enabled set_deterministic_debug_mode "
            "set_flush_denormal set_num_interop_threads set_warn_always use_deterministic_algorithms",
        },
    ),
    Group(
        "Distributions",
        "draw with minidl.randn, minidl.bernoulli, minidl.multinomial, x.exponential_() and their kin, and write the "
        "log-density out",
        {"minidl": "binomial distributions quasirandom"},
    ),
    Group(
        "Special functions",
        "minidl has the usual ones itself (erf, erfinv, lgamma, digamma, polygamma, logit, xlogy; expit is minidl.sigmoid); "
        "SciPy computes the others on x.numpy(), and a minidl.autograd.Function gives them a gradient",
        {
            "minidl": "frexp i0 ldexp igamma igammac mvlgamma nextafter special",
            "minidl.Tensor": "frexp i0 i0_ igamma igamma_ igammac igammac_ ldexp ldexp_ mvlgamma mvlgamma_ nextafter "
            "nextafter_ polygamma_",
        },
    ),
    Group(
        "Less usual decompositions",
        "minidl.linalg has cholesky, qr, svd, eigh, solve, solve_triangular, lstsq, inv and pinv, all with gradients",
        {
            "minidl": "geqrf lobpcg lu lu_solve lu_unpack orgqr ormqr pca_lowrank renorm svd_lowrank triangular_solve",
            "minidl.Tensor": "geqrf lu lu_solve orgqr ormqr renorm renorm_ triangular_solve",
            "minidl.linalg": "cholesky_ex householder_product inv_ex ldl_factor ldl_factor_ex ldl_solve lu lu_factor "
            "lu_factor_ex lu_solve solve_ex",
        },
    ),
    Group(
        "Less usual statistics",
        "minidl.histc and minidl.bincount count, minidl.diff has differences; NumPy's histogram and gradient take x.numpy()",
        {"minidl": "gradient histogram histogramdd", "minidl.Tensor": "histogram"},
    ),
    Group(
        "Layers whose sizes are found out later",
        "give the sizes: minidl.inspect.summary shows them, and minidl.inspect.why_shape says what does not fit",
        {
            "minidl.nn": "LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d LazyConv1d LazyConv2d LazyConv3d "
            "LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d LazyInstanceNorm1d LazyInstanceNorm2d "
            "LazyInstanceNorm3d LazyLinear UninitializedBuffer UninitializedParameter",
        },
    ),
    Group(
        "Less usual layers",
        "minidl.nn has the other poolings and losses (return_indices=True gives the indices), minidl.nn.LocalResponseNorm "
        "normalises across channels, and minidl.nn.CrossEntropyLoss serves large vocabularies",
        {
            "minidl": "conv_tbc",
            "minidl.nn": "AdaptiveLogSoftmaxWithLoss CrossMapLRN2d FractionalMaxPool2d FractionalMaxPool3d LPPool1d LPPool2d "
            "LPPool3d LinearCrossEntropyLoss LinearCrossEntropyOptions",
            "minidl.nn.functional": "adaptive_max_pool1d_with_indices adaptive_max_pool2d_with_indices "
            "adaptive_max_pool3d_with_indices conv_tbc fractional_max_pool2d fractional_max_pool2d_with_indices "
            "fractional_max_pool3d fractional_max_pool3d_with_indices linear_cross_entropy lp_pool1d lp_pool2d lp_pool3d "
            "max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices",
        },
    ),
    Group(
        "Weights with a norm, the old way",
        "use minidl.nn.utils.parametrizations.weight_norm or minidl.nn.utils.parametrizations.spectral_norm; "
        "minidl.nn.utils.parametrize.remove_parametrizations takes them off",
        {"minidl.nn.utils": "remove_spectral_norm remove_weight_norm spectral_norm weight_norm"},
    ),
    Group(
        "Modules changed",
        "compute the weight in forward, or register a module that does with "
        "minidl.nn.utils.parametrize.register_parametrization",
        {
            "minidl.nn.utils": "fuse_conv_bn_eval fuse_conv_bn_weights fuse_linear_bn_eval fuse_linear_bn_weights prune "
            "skip_init stateless",
            "minidl.nn.utils.parametrizations": "orthogonal",
            "minidl.nn.utils.parametrize": "transfer_parametrizations_and_params",
        },
    ),
    Group(
        "Tensors of inference mode",
        "minidl.is_inference_mode_enabled says whether one is inside; tensors made there are like others",
        {"minidl": "is_inference", "minidl.Tensor": "is_inference"},
    ),
    Group(
        "Tools around training",
        "minidl.profiler and minidl.inspect look inside, minidl.train.TensorBoard logs, minidl.models has the networks, and "
        "numpy.testing.assert_allclose takes tensors",
        {
            "minidl": "hub testing",
            "minidl.autograd": "profiler",
            "minidl.utils": "benchmark collect_env cpp_extension tensorboard",
        },
    ),
]


ABSENT = {(place, name): g.instead for g in GROUPS for place, names in g.names.items() for name in names.split()}


class Absent:
    """Stands in Tensor's class for a name that PyTorch's has: asking for it says what to do instead.

    A ``__getattr__`` would say it too, and would cost every attribute that is there a tenth of a microsecond.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        raise missing("minidl.Tensor", self.name)


def names_of(place: str) -> list[str]:
    """The names that are missing at a place."""
    return [name for where, name in ABSENT if where == place]


def finder(place: str) -> Any:
    """A module's ``__getattr__``: imports a submodule when it is first asked for, and says what is not there."""

    def find(name: str) -> Any:
        inside = "__path__" in vars(sys.modules[place]) and not name.startswith("_")
        if inside and importlib.util.find_spec(f"{place}.{name}") is not None:
            return importlib.import_module(f"{place}.{name}")
        raise missing(place, name)

    return find


def missing(place: str, name: str) -> AttributeError:
    """The error for ``name``, which is not at ``place``, with what to do instead, where else it is, or what was meant.

    It tells Python the name but not the object, in which Python would look for a similar name again.
    """
    return AttributeError(_sentence(place, name), name=name)


@functools.lru_cache(256)
def _sentence(place: str, name: str) -> str:
    kind = "'Tensor' object" if place == "minidl.Tensor" else f"module {place!r}"
    text = f"{kind} has no attribute {name!r}"
    if name.startswith("_"):
        return text
    if (place, name) in ABSENT:
        return f"{text}, which PyTorch has: {ABSENT[place, name]}"
    if found := _elsewhere(place, name):
        return f"{text}: it is {found}"
    near = _similar(name, _public(place))
    return f"{text}; did you mean {near!r}?" if near else text


def _public(place: str) -> dict[str, Any]:
    """What is at a place, by name: minidl's own, without its modules."""
    tensor = place == "minidl.Tensor"
    found = vars(importlib.import_module("minidl.tensor").Tensor if tensor else importlib.import_module(place))
    return {name: value for name, value in found.items() if name[0] != "_" and _is_ours(value)}


def _is_ours(value: Any) -> bool:
    return not isinstance(value, (Absent, ModuleType)) and str(getattr(value, "__module__", "minidl")).startswith(
        "minidl"
    )


def _elsewhere(place: str, name: str) -> str:
    """Where else the name is, in words."""
    for other in PLACES:
        if other != place and name in _public(other):
            return f"a method of tensors, x.{name}" if other == "minidl.Tensor" else f"{other}.{name}"
    return ""


def _similar(name: str, known: Iterable[str]) -> str:
    """The known name that is most like ``name``, capitals aside; "" if none is."""
    by_lower = {k.lower(): k for k in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.7)
    return by_lower[near[0]] if near else ""
