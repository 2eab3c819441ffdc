"""The scoreboard page is what the table says."""

from tests.scoreboard import PAGE, page
from tests.table import TABLE

CONTRACT = """
abs add sub mul div neg pow exp exp2 log log2 log10 log1p expm1 sqrt rsqrt square reciprocal sin cos tan tanh sinh cosh
asin acos atan atan2 sigmoid erf logit clamp clamp_min clamp_max maximum minimum where sign floor ceil round trunc lerp
xlogy fmod remainder hypot logaddexp isnan isinf isfinite eq ne lt le gt ge logical_and logical_or
logical_xor logical_not
sum mean var std amax amin max min prod logsumexp norm argmax argmin all any cumsum cumprod count_nonzero nansum sort
argsort topk unique
reshape view permute transpose t T mT flatten unflatten squeeze unsqueeze expand expand_as repeat tile cat stack hstack
vstack chunk split unbind narrow select flip roll rot90 tril triu gather scatter scatter_add index_select index_add
index_put masked_fill masked_select take_along_dim movedim broadcast_to diagonal diag diag_embed trace meshgrid
repeat_interleave nonzero
matmul mm bmm mv dot outer inner einsum addmm addmv baddbmm tensordot kron cdist cross
linalg.norm linalg.vector_norm linalg.det linalg.inv linalg.solve linalg.cholesky
"""
FUNCTIONAL = """
linear bilinear conv1d conv2d conv3d conv_transpose1d conv_transpose2d max_pool1d max_pool2d avg_pool1d avg_pool2d
adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool2d batch_norm layer_norm group_norm instance_norm rms_norm
local_response_norm normalize dropout relu leaky_relu elu selu celu gelu silu mish hardswish hardsigmoid hardtanh relu6
softplus softsign logsigmoid glu prelu tanhshrink softshrink hardshrink threshold softmax log_softmax softmin embedding
one_hot cross_entropy nll_loss mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy
binary_cross_entropy_with_logits kl_div cosine_embedding_loss cosine_similarity triplet_margin_loss margin_ranking_loss
hinge_embedding_loss ctc_loss pairwise_distance pad interpolate pixel_shuffle pixel_unshuffle unfold fold grid_sample
"""


def test_every_operator_of_the_contract_stands_in_the_table():
    known = {name.removeprefix("Tensor.") for name in TABLE}
    missing = [name for name in CONTRACT.split() if name not in known]
    missing += [name for name in FUNCTIONAL.split() if f"nn.functional.{name}" not in known]
    assert not missing


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make scoreboard` and commit docs/scoreboard.md"
