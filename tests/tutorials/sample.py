# %% [markdown]
# # 3. A sample
#
# **The question.** How does one write a chapter so small that a test can read it at a glance, and that still has each part?
#
# More text.

# %% tags=["setup"]
import minidl


# %%
print(minidl.tensor([1.0, 2.0]).sum())

# %% [markdown] tags=["exercise", "total"]
# ### Exercise 1: a total
# Write `total(x)`, the sum of all elements of a tensor: `total(minidl.ones(2, 3))` is 6.


# %% tags=["exercise", "total"]
def total(x):
    """The sum of all elements."""
    # --- solution
    return x.sum().item()
    # --- end


# %% [markdown] tags=["hint", "total"]
# A tensor can do it.

# %% [markdown] tags=["hint", "total"]
# Its method is called `sum`.


# %% tags=["wrong", "total"]
def total_of_the_first_row(x):
    """Adds along one axis alone."""
    return x[0].sum().item() if x.ndim > 1 else x.sum().item()


def mean_for_total(x):
    """Takes the mean."""
    return x.mean().item()


class Zero:
    """Is no function of the elements."""

    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        return other == 0

    __hash__ = None


# %% tags=["check", "total"]
def check_total(total):
    """Ones of several shapes, empty ones too."""
    for shape in [(4,), (2, 3), (0, 2), (3, 1, 2)]:
        expected = minidl.ones(*shape).numel()
        got = total(minidl.ones(*shape))
        assert got == expected, f"total(ones{shape}) gave {got}; there are {expected} ones. Look at every axis."


# %%
print("the end")
