"""The functions behind the modules, under PyTorch's names: ``import minidl.nn.functional as F``."""

from minidl.absent import finder as _finder
from minidl.nn.functional.activation import *
from minidl.nn.functional.affine import *
from minidl.nn.functional.attention import *
from minidl.nn.functional.classification import *
from minidl.nn.functional.convolution import *
from minidl.nn.functional.ctc import *
from minidl.nn.functional.distance import *
from minidl.nn.functional.dropouts import *
from minidl.nn.functional.embeddings import *
from minidl.nn.functional.grids import *
from minidl.nn.functional.likelihoods import *
from minidl.nn.functional.losses import *
from minidl.nn.functional.margins import *
from minidl.nn.functional.multi_head import *
from minidl.nn.functional.normalization import *
from minidl.nn.functional.padding import *
from minidl.nn.functional.pooling import *
from minidl.nn.functional.positions import *
from minidl.nn.functional.resampling import *
from minidl.nn.functional.smooth import *
from minidl.nn.functional.softmaxes import *
from minidl.nn.functional.vision import *

__getattr__ = _finder(__name__)
