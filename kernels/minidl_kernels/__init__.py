"""Hot paths: plain functions on arrays, a room an operator, a file a backend. They know no Tensor."""
