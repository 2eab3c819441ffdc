"""The operators: for each, its forward rule beside its gradient rule, and the function that users call.

Each module lists its public functions (``__all__``), those that are also Tensor methods (``METHODS``), and those with
an in-place variant (``INPLACE``: ``add`` gives ``add_``).
"""

from minidl.ops.activation import *
from minidl.ops.comparison import *
from minidl.ops.composed import *
from minidl.ops.conversion import *
from minidl.ops.diagonals import *
from minidl.ops.einstein import *
from minidl.ops.elementwise import *
from minidl.ops.extremes import *
from minidl.ops.gamma import *
from minidl.ops.gathering import *
from minidl.ops.indexing import *
from minidl.ops.joining import *
from minidl.ops.linear_algebra import *
from minidl.ops.matrix_functions import *
from minidl.ops.norms import *
from minidl.ops.products import *
from minidl.ops.rearranging import *
from minidl.ops.reductions import *
from minidl.ops.rounding import *
from minidl.ops.scan import *
from minidl.ops.scatter_reduction import *
from minidl.ops.shape import *
from minidl.ops.sorting import *
from minidl.ops.statistics import *
from minidl.ops.strided import *
from minidl.ops.transcendental import *
