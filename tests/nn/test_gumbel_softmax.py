"""The Gumbel softmax: its noise is random, but given the noise it is a softmax, with a softmax's derivatives."""

import numpy as np
import pytest
import torch

import minidl
import minidl.nn.functional as F
from minidl.autograd import gradcheck, gradgradcheck

LOGITS = np.random.default_rng(0).standard_normal((3, 4))
each = pytest.mark.parametrize(("tau", "dim"), [(1, -1), (0.5, 0), (3.0, 1)])


def sample(logits, **settings):
    minidl.manual_seed(7)  # the same noise every time
    return F.gumbel_softmax(logits, **settings)


@each
@pytest.mark.parametrize("hard", [False, True])
def test_the_gradient_is_that_of_a_softmax_of_the_noisy_logits(tau, dim, hard):
    soft = sample(minidl.tensor(LOGITS), tau=tau, dim=dim)
    noisy = torch.tensor(soft.log().numpy() * tau, requires_grad=True)  # up to a constant, to which softmax is blind
    logits = minidl.tensor(LOGITS, requires_grad=True)
    weights = np.random.default_rng(1).standard_normal(LOGITS.shape)
    (sample(logits, tau=tau, dim=dim, hard=hard) * minidl.tensor(weights)).sum().backward()
    (torch.softmax(noisy / tau, dim) * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(logits.grad.numpy(), noisy.grad.numpy(), rtol=1e-8, atol=1e-10)


@each
def test_finite_differences(tau, dim):
    logits = minidl.tensor(LOGITS, requires_grad=True)
    assert gradcheck(lambda x: sample(x, tau=tau, dim=dim), logits)
    assert gradgradcheck(lambda x: sample(x, tau=tau, dim=dim), logits, atol=1e-4)


@each
def test_hard_samples_are_the_nearest_one_hot_vectors(tau, dim):
    soft = sample(minidl.tensor(LOGITS), tau=tau, dim=dim).numpy()
    hard = sample(minidl.tensor(LOGITS), tau=tau, dim=dim, hard=True).numpy()
    np.testing.assert_allclose(hard, soft == soft.max(axis=dim, keepdims=True), atol=1e-12)


def test_classes_come_as_often_as_their_probability():
    probabilities = np.array([0.1, 0.2, 0.7])
    logits = minidl.tensor(np.log(probabilities)).expand(20_000, 3)
    frequencies = sample(logits, hard=True).numpy().mean(axis=0)
    np.testing.assert_allclose(frequencies, probabilities, atol=4 * np.sqrt(0.25 / 20_000))
