"""What minidl says about names that it has not: true of the installed PyTorch, and of use to who asked."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import pickle
import re
import subprocess
import sys
import warnings
from types import ModuleType

import pytest
import torch
import torch.nn.functional
import torch.utils.data

import minidl
from minidl import absent, nn, optim
from tests import from_pytorch
from tests.table.run import resolve

# What PyTorch's own machinery has in the same places.
INTERNAL = re.compile(
    r".*_copy$|^(sym|native|quantized|import_ir|parse|cudnn|mkldnn|miopen|fbgemm|has_torch_function|DFIter|argument|runtime)_?"
    r".*|.*_notes$|.*_(stats|args|ir_module)$|^(classes|cpp|functional|monitor|return_types|torch_version|version|windows)$|"
    r"^(ScriptFunction|SymBool|compiled_with_cxx11_abi|conj_physical|hash_tensor|init_num_threads|is_storage|name|index|"
    r"merge_type_from_type_comment|thread_safe_generator|unify_type_list|typename|narrow_copy)$|"
    r"^(DType|Optional|BroadcastingList\d|boolean_dispatch|handle_torch_function|assert_int_or_pair)$|"
    r"^(DataChunk|IterDataPipe|MapDataPipe|functional_datapipe|guaranteed_datapipes_determinism|non_deterministic|graph|"
    r"graph_settings|dataloader|datapipes)$|"
    r"^(NestedIOFunction|SavedTensor|is_tensor_like|variable|kineto_available|Profiler\w+|DeviceType|profiler_\w+)$|"
    r"^(anomaly_mode|enforce_grad_layout_policy|(is|set)_(multithreading|view_replay)_enabled)$|"
    r"^(common_types|factory_kwargs|Container|NLLLoss2d|module_load|grad_dtype|as_subclass|apply_|map_)$|"
    r"^(swap_in_optimizer_params_and_state|EPOCH_DEPRECATION_WARNING|utils)$"
)
COMPLETE = ["minidl", "minidl.Tensor", "minidl.nn", "minidl.nn.functional", "minidl.optim", "minidl.optim.lr_scheduler"]
COMPLETE += ["minidl.linalg", "minidl.autograd", "minidl.data"]


def here(place):
    """What is at one of minidl's places."""
    return minidl.Tensor if place == "minidl.Tensor" else importlib.import_module(place)


def there(place):
    """What is at PyTorch's place of that name."""
    return resolve(torch, absent.PLACES[place].removeprefix("torch").lstrip(".")) if place != "minidl" else torch


def has(place, name):
    """Whether PyTorch has the name at the place, or as a module to be imported."""
    path = absent.PLACES[place]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = hasattr(there(place), name)
    return found or (isinstance(there(place), ModuleType) and importlib.util.find_spec(f"{path}.{name}") is not None)


def documented(place):
    """The names that PyTorch documents at a place, without those that it deprecates."""
    theirs = there(place)
    for name in dir(theirs):
        value = getattr(theirs, name, None)
        if not (name.startswith("_") or INTERNAL.match(name)) and is_documented(value):
            yield name


def is_documented(value):
    if isinstance(value, ModuleType):
        return value.__name__.startswith("torch.")
    home, words = str(getattr(value, "__module__", None) or "torch"), str(getattr(value, "__doc__", "") or "")
    if isinstance(value, type) and home in ("torch", "torch._C"):  # the parts of its compiler
        return False
    return home.startswith("torch") and words not in ("", type(value).__doc__) and "deprecated" not in words.lower()


@pytest.mark.parametrize("place", absent.PLACES)
def test_what_is_listed_is_in_pytorch_and_not_here(place):
    names = absent.names_of(place)
    assert [name for name in names if not has(place, name)] == [], f"{absent.PLACES[place]} has them not"
    assert [name for name in names if hasattr(here(place), name)] == [], "they are there: take them out of the table"


@pytest.mark.parametrize("place", COMPLETE)
def test_what_pytorch_documents_is_here_or_elsewhere_or_listed(place):
    unsaid = [
        name
        for name in documented(place)
        if not hasattr(here(place), name) and (place, name) not in absent.ABSENT and not absent._elsewhere(place, name)
    ]
    assert unsaid == []


def test_a_name_is_listed_once():
    keys = [(place, name) for g in absent.GROUPS for place, names in g.names.items() for name in names.split()]
    assert len(keys) == len(set(keys))


def test_the_page_says_what_the_table_says():
    text = from_pytorch.PAGE.read_text(encoding="utf-8")
    assert from_pytorch.START in text
    assert text == from_pytorch.page(), "run: python -m tests.from_pytorch"


@pytest.mark.parametrize("group", absent.GROUPS, ids=lambda g: g.about)
def test_what_is_to_be_used_instead_exists(group):
    for path in re.findall(r"\bminidl\.[\w.]+\w", group.instead):
        resolve(minidl, path.removeprefix("minidl."))
    for path in re.findall(r"(?<![\w.])((?:linalg|nn|autograd|optim)\.[\w.]+\w)", group.instead):
        resolve(minidl, path)
    for name in re.findall(r"\bx\.(\w+)\(", group.instead):
        assert hasattr(minidl.ones(1), name)


# ------------------------------------------------------------------------------------------------------------ the errors


@pytest.mark.parametrize(
    ("place", "name", "words"),
    [
        (minidl, "compile", r"module 'minidl' has no attribute 'compile', which PyTorch has: .*use_backend\('numba'\)"),
        (minidl, "zeroz", r"has no attribute 'zeroz'; did you mean 'zeros'\?$"),
        (minidl, "Adam", r"has no attribute 'Adam': it is minidl\.optim\.Adam$"),
        (minidl, "exp_", r"it is a method of tensors, x\.exp_$"),
        (minidl, "kl_div", r"it is minidl\.nn\.functional\.kl_div$"),
        (minidl, "qwertz", r"^module 'minidl' has no attribute 'qwertz'$"),
        (minidl, "__qwertz__", r"^module 'minidl' has no attribute '__qwertz__'$"),
        (nn, "Relu", r"module 'minidl\.nn' .*did you mean 'ReLU'\?"),
        (nn, "DataParallel", r"which PyTorch has: train in one process"),
        (nn.functional, "crossentropy", r"did you mean 'cross_entropy'\?"),
        (nn.utils, "clip_grad_norn_", r"did you mean 'clip_grad_norm_'\?"),
        (optim, "Adamm", r"module 'minidl\.optim' .*did you mean 'Adam'\?"),
        (optim, "SparseAdam", r"which PyTorch has: use a dense tensor"),
        (optim.lr_scheduler, "StepLr", r"did you mean 'StepLR'\?"),
        (minidl.linalg, "eig", r"linalg\.eigh"),
        (minidl.autograd, "forward_ad", r"jvp"),
        (minidl.data, "DataLodaer", r"did you mean 'DataLoader'\?"),
        (minidl.cuda, "Stream", r"cupy\.cuda\.Stream"),
        (minidl.ones(1), "to_sparse", r"'Tensor' object has no attribute 'to_sparse', which PyTorch has: use a dense"),
        (minidl.Tensor, "to_sparse", r"'Tensor' object has no attribute 'to_sparse', which PyTorch has: use a dense"),
    ],
)
def test_the_error_says_what_to_do(place, name, words):
    with pytest.raises(AttributeError, match=words) as caught:
        getattr(place, name)
    assert caught.value.name == name
    assert not hasattr(place, name)
    assert getattr(place, name, "default") == "default"


def test_python_itself_says_what_was_meant_on_a_tensor():
    """And only once where minidl has said it."""
    for code, words in (
        ("minidl.ones(1).summ", "has no attribute 'summ'. Did you mean: 'sum'?"),
        ("minidl.ones(1).to_spars", "has no attribute 'to_spars'"),
        ("minidl.zeroz", "has no attribute 'zeroz'; did you mean 'zeros'?"),
    ):
        run = [sys.executable, "-c", f"import minidl\n{code}"]
        last = subprocess.run(run, capture_output=True, text=True, check=False).stderr.splitlines()[-1]
        assert last.endswith(words) or code.endswith("to_spars"), last
        assert "to_sparse" not in last
        assert last.lower().count("did you mean") <= 1


def test_tensors_are_as_before():
    x = minidl.ones(2, requires_grad=True)
    assert "to_sparse" not in dir(x)
    assert "sum" in dir(x)
    x.values = 7  # an attribute of the user's own
    assert x.values == 7
    twin = copy.deepcopy(x)
    assert twin.values == 7
    assert pickle.loads(pickle.dumps(x)).tolist() == [1.0, 1.0]
    assert "__getattr__" not in vars(minidl.Tensor), "it would slow down every attribute of every tensor"


def test_submodules_are_imported_when_asked_for():
    code = "import sys, minidl\nprint('minidl.costs' in sys.modules, minidl.costs.__name__, minidl.data.text.__name__)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "minidl.costs", "minidl.data.text"]


def test_functions_that_are_one_in_pytorch_are_one_here():
    same = [name for name in dir(torch) if getattr(torch.nn.functional, name, None) is getattr(torch, name)]
    both = [name for name in same if callable(vars(nn.functional).get(name))]
    assert len(both) > 10
    assert [name for name in both if not hasattr(minidl, name)] == []
