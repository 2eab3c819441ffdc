"""Entries for minidl.ops.einstein."""

from tests.table.core import FLOATS, Samples, error, op

EQUATIONS = {
    # name: (equation, shapes)
    "matmul": ("ij,jk->ik", (3, 4), (4, 5)),
    "implicit": ("ij,jk", (3, 4), (4, 5)),
    "implicit order": ("ba", (3, 4)),
    "batch": ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    "transpose": ("ij->ji", (3, 4)),
    "sum all": ("ij->", (3, 4)),
    "sum rows": ("ij->j", (3, 4)),
    "trace": ("ii", (4, 4)),
    "diagonal": ("ii->i", (4, 4)),
    "diagonal of a batch": ("bii->bi", (2, 3, 3)),
    "diagonal three times": ("iii->i", (3, 3, 3)),
    "two diagonals": ("iijj->ij", (2, 2, 3, 3)),
    "diagonals meet": ("ii,ij->j", (3, 3), (3, 4)),
    "dot": ("i,i->", (4,), (4,)),
    "outer": ("i,j->ij", (3,), (4,)),
    "outer swapped": ("i,j->ji", (3,), (4,)),
    "elementwise": ("ij,ij->ij", (3, 4), (3, 4)),
    "elementwise transposed": ("ij,ji->ij", (3, 4), (4, 3)),
    "bilinear": ("bn,anm,bm->ba", (2, 5), (3, 5, 4), (2, 4)),
    "three": ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)),
    "four": ("ab,bc,cd,da->", (2, 3), (3, 4), (4, 5), (5, 2)),
    "summed in one only": ("ij,k->i", (3, 4), (5,)),
    "attention": ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4)),
    "ellipsis": ("...ij,...jk->...ik", (2, 3, 4), (2, 4, 5)),
    "ellipsis broadcast": ("...ij,...jk->...ik", (2, 1, 3, 4), (3, 4, 5)),
    "ellipsis in one": ("...ij,jk->...ik", (2, 3, 4), (4, 5)),
    "ellipsis implicit": ("...ij,...jk", (2, 3, 4), (2, 4, 5)),
    "ellipsis in the middle": ("i...j->j...i", (2, 3, 4)),
    "ellipsis summed": ("...i->i", (2, 3, 4)),
    "ellipsis empty": ("...i,i...->i", (3,), (3,)),
    "ellipsis lengths": ("...i,...i->...", (2, 3, 4), (4,)),
    "size 1 broadcast": ("ij,jk->ik", (3, 1), (4, 5)),
    "size 1 everywhere": ("ij,jk->ijk", (3, 1), (1, 5)),
    "size 1 kept": ("ij,ij->ij", (3, 1), (3, 4)),
    "size 0": ("ij,jk->ik", (3, 0), (0, 5)),
    "0-d": (",i->i", (), (3,)),
    "0-d alone": ("->", ()),
    "spaces": (" i j , j k -> i k ", (3, 4), (4, 5)),
    "capitals": ("aA,Ab->ab", (3, 4), (4, 5)),
    "capitals implicit": ("bA,Bb", (3, 4), (5, 3)),
}


def random_equations(s: Samples):
    """Operands with names drawn at random, diagonals and sizes of 1 among them."""
    sizes = dict(zip("abcde", (2, 3, 4, 1, 2)))
    for i in range(15):
        terms = ["".join(s.rng.choice(list(sizes), s.rng.integers(1, 4))) for _ in range(s.rng.integers(1, 4))]
        used = sorted(set("".join(terms)))
        output = "".join(s.rng.permutation(used)[: s.rng.integers(0, len(used) + 1)])
        operands = [s.floats(*(sizes[c] for c in term)) for term in terms]
        yield s.sample(f"random {i} {'_'.join(terms)} to {output}", ",".join(terms) + "->" + output, *operands)


op(
    "einsum",
    lambda s: [
        *(s.sample(name, eq, *(s.floats(*shape) for shape in shapes)) for name, (eq, *shapes) in EQUATIONS.items()),
        s.sample("list of operands", "ij,jk->ik", [s.floats(3, 4), s.floats(4, 5)]),
        s.sample("transposed", "ij,jk->ik", s.floats(4, 3).T, s.floats(5, 4).T),
        s.sample("expanded", "ij,jk->ik", s.expanded(s.floats(3, 1), 3, 4), s.floats(4, 5)),
        s.sample("sublists", s.floats(3, 4), [0, 1], s.floats(4, 5), [1, 2], [0, 2]),
        s.sample("sublists implicit", s.floats(3, 4), [0, 1], s.floats(4, 5), [1, 2]),
        s.sample("sublists ellipsis", s.floats(2, 3, 4), [..., 0, 1], s.floats(4, 5), [1, 2], [..., 0, 2]),
        s.sample("sublists large", s.floats(3, 4), [0, 51], s.floats(4, 5), [51, 30], [30, 0]),
        *random_equations(s),
    ],
    dtypes=FLOATS,
    method=False,
    tolerance={"float16": 1e-1, "bfloat16": 1.0},
    dtype_samples=("matmul", "batch", "trace", "ellipsis", "outer", "sum rows"),
    errors=lambda s: [
        error("operands", RuntimeError, "2 operands, but 1", "ij,jk->ik", s.floats(2, 3)),
        error("dimensions", RuntimeError, "number of subscripts", "ijk->i", s.floats(2, 3)),
        error("too many dimensions", RuntimeError, "no ellipsis", "i->i", s.floats(2, 3)),
        error("sizes", RuntimeError, "subscript j has size 4 .* size 3", "ij,jk->ik", s.floats(2, 3), s.floats(4, 5)),
        error("diagonal sizes", RuntimeError, "repeated for operand 0", "ii->i", s.floats(2, 3)),
        error("letters", RuntimeError, "invalid subscript", "i1->i", s.floats(2, 3)),
        error("unknown output", RuntimeError, "does not appear", "ij->k", s.floats(2, 3)),
        error("output twice", RuntimeError, "more than once", "ij->ii", s.floats(2, 3)),
    ],
)
