"""The layers, under PyTorch's names."""

from minidl.nn.modules.activation import *
from minidl.nn.modules.attention import *
from minidl.nn.modules.convolution import *
from minidl.nn.modules.embeddings import *
from minidl.nn.modules.grouped_query import *
from minidl.nn.modules.linear import *
from minidl.nn.modules.losses import *
from minidl.nn.modules.normalization import *
from minidl.nn.modules.padding import *
from minidl.nn.modules.pooling import *
from minidl.nn.modules.positions import *
from minidl.nn.modules.recurrent import *
from minidl.nn.modules.reshaping import *
from minidl.nn.modules.transformer import *
