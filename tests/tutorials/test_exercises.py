"""Every exercise proved: the solution accepted, each wrong answer refused, and so is the learner's bare version."""

from __future__ import annotations

import ast
import functools
import time

import pytest

from minidl.tutor import proving
from minidl.tutor.chapter import read, top_definitions, without_solution
from tests.tutorials.test_chapters import CHAPTERS, PATHS

EXERCISES = [(path, name) for path in PATHS for name in read(path).exercises]
EACH = pytest.mark.parametrize(("path", "name"), EXERCISES, ids=[f"{p.stem}-{n}" for p, n in EXERCISES])


@functools.cache
def proved(path, name):
    """The proof of one exercise, and the seconds of this process's time that it took."""
    chapter = read(path)
    start = time.process_time()
    proofs = proving.prove(chapter, chapter.exercises[name])
    return proofs, time.process_time() - start


@EACH
def test_the_checker_tells_right_from_wrong(path, name):
    proofs, seconds = proved(path, name)
    failed = [str(p) for p in proofs if not p.holds]
    assert not failed, "\n".join(failed)
    assert seconds < 2 * len(proofs), f"{len(proofs)} checks took {seconds:.1f} s; each should take less than 2"


@EACH
def test_a_refusal_teaches(path, name):
    for proof in proved(path, name)[0]:
        if isinstance(proof.error, AssertionError):
            assert len(str(proof.error)) > 20, f"{proof.what} is refused without a word on why"


@EACH
def test_its_parts(path, name):
    exercise = read(path).exercises[name]
    assert name.isidentifier()
    assert len(exercise.text) == 1
    assert exercise.title.startswith("Exercise ")
    assert len(exercise.code) == 1
    assert 2 <= len(exercise.hints) <= 3
    assert 3 <= len(exercise.wrong_names) <= 6, exercise.wrong_names
    assert len(set(exercise.wrong_names)) == len(exercise.wrong_names)
    for cell in exercise.wrong:
        for node in top_definitions(cell.source):
            assert ast.get_docstring(node), f"{node.name} says in its docstring which misconception it is"
    assert len(exercise.check) == 1


@EACH
def test_the_learners_version_is_bare(path, name):
    exercise = read(path).exercises[name]
    (cell,) = exercise.code
    learner = without_solution(cell.source, name)
    assert "---" not in learner, "a marker has no partner"
    assert "raise NotImplementedError" in learner
    assert name in [node.name for node in top_definitions(learner)]
    solution = [line.strip() for line in cell.source.split("# --- solution")[1].split("# --- end")[0].splitlines()]
    assert not {line for line in solution if len(line) > 25} & {line.strip() for line in learner.splitlines()}


@CHAPTERS
def test_three_exercises_a_chapter(path):
    chapter = read(path)
    assert len(chapter.exercises) == 3, list(chapter.exercises)
    titles = [e.title for e in chapter.exercises.values()]
    assert [t.split(":")[0] for t in titles] == ["Exercise 1", "Exercise 2", "Exercise 3"]


@CHAPTERS
def test_the_chapter_does_not_need_its_exercises(path):
    """Its other cells run with the exercises unwritten."""
    chapter = read(path)
    for cell in chapter.cells:
        if cell.kind == "code" and not cell.exercise:
            used = {node.id for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Name)}
            assert not used & set(chapter.exercises), f"line {cell.line} uses {used & set(chapter.exercises)}"


@CHAPTERS
def test_checkers_use_what_was_taught(path):
    """Every name of minidl's in a checker also stands in the text's code of this chapter or an earlier one."""
    taught = proving.taught(read(p) for p in PATHS if p <= path)
    chapter = read(path)
    setup: dict[str, str] = {}
    proving.minidl_names(chapter.setup, setup)
    for exercise in chapter.exercises.values():
        new = proving.minidl_names(exercise.check, dict(setup)) - taught
        assert not new, f"check_{exercise.name} uses what no chapter up to here shows: {sorted(new)}"
