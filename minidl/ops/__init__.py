"""The operators: for each, its forward rule beside its gradient rule, and the function that users call.

Each module lists its public functions (``__all__``), those that are also Tensor methods (``METHODS``), and those with an
in-place variant (``INPLACE``: ``add`` gives ``add_``).
"""

from minidl.ops.conversion import *
from minidl.ops.elementwise import *
from minidl.ops.indexing import *
from minidl.ops.reductions import *
from minidl.ops.shape import *
