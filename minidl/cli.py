"""The command line: ``minidl train mnist``, ``minidl doctor``, ``minidl bench``, ``minidl kernels`` and more."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

import minidl

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

app = typer.Typer(
    help="minidl: a deep-learning engine to learn from.", no_args_is_help=True, pretty_exceptions_enable=False
)
train = typer.Typer(help="Train a network.", no_args_is_help=True)


class FirstOrKernels(TyperGroup):
    """A group whose first word may be a subcommand or, as with ``minidl bench softmax``, what to measure."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["kernels", *args]
        return super().parse_args(ctx, args)


bench = typer.Typer(cls=FirstOrKernels, help="Measure how fast minidl is: minidl bench [KERNEL...], or a command.")
kernels = typer.Typer(help="Read and check the kernels.", no_args_is_help=True)
app.add_typer(train, name="train")
app.add_typer(bench, name="bench")
app.add_typer(kernels, name="kernels")

Debug = Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")]


def one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose errors are one clear message and exit code 1; with --debug, a traceback. Ctrl-C is code 130."""

    @functools.wraps(command)
    def run(*args: Any, debug: bool = False, **kwargs: Any) -> None:
        try:
            command(*args, debug=debug, **kwargs)
        except KeyboardInterrupt as stop:
            errors.print(str(stop) or "Stopped.", markup=False, soft_wrap=True)
            raise typer.Exit(130) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if debug:
                raise
            text = "\n".join([str(error) or type(error).__name__, *getattr(error, "__notes__", [])])
            errors.print("Error:", style="bold red", end=" ")
            errors.print(text, markup=False, soft_wrap=True)
            raise typer.Exit(1) from None

    return run


def _version(asked: bool) -> None:
    if asked:
        console.print(f"minidl {minidl.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """minidl: a deep-learning engine to learn from."""


# -------------------------------------------------------------------------------------------------------------- train


class Data(StrEnum):
    mnist = "mnist"
    fashion = "fashion"
    digits = "digits"


class Model(StrEnum):
    convnet = "convnet"
    lenet5 = "lenet5"
    mlp = "mlp"
    convnet_bn = "convnet-bn"
    resnet = "resnet"


class OptimizerName(StrEnum):
    adam = "adam"
    adamw = "adamw"
    sgd = "sgd"


class Schedule(StrEnum):
    constant = "constant"
    cosine = "cosine"


class Precision(StrEnum):
    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


@train.command("mnist")
@one_line_errors
def train_mnist(
    data: Annotated[Data, typer.Option(help="MNIST, Fashion-MNIST, or scikit-learn's small digits.")] = Data.mnist,
    model: Annotated[Model, typer.Option(help="The network.")] = Model.convnet,
    epochs: Annotated[int | None, typer.Option(min=1, help="How often to go through the data, in all.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Pictures in a batch.")] = None,
    optimizer: Annotated[OptimizerName | None, typer.Option(help="adam has L2, adamw decoupled weight decay.")] = None,
    lr: Annotated[float | None, typer.Option(help="The learning rate, at its highest.")] = None,
    schedule: Annotated[Schedule | None, typer.Option(help="How the learning rate goes on.")] = None,
    warmup: Annotated[float | None, typer.Option(min=0, help="Epochs in which the learning rate rises.")] = None,
    weight_decay: Annotated[float | None, typer.Option(min=0, help="Of filters and matrices.")] = None,
    label_smoothing: Annotated[float | None, typer.Option(min=0, max=1, help="Part of the target for all.")] = None,
    ema: Annotated[float | None, typer.Option(min=0, max=1, help="β of the weights' running mean; 0: none.")] = None,
    clip_norm: Annotated[float | None, typer.Option(min=0, help="Longest gradient; 0: any.")] = None,
    accumulate: Annotated[int | None, typer.Option(min=1, help="Batches for one step.")] = None,
    precision: Annotated[Precision | None, typer.Option(help="float16 and bfloat16: mixed precision.")] = None,
    augment: Annotated[bool | None, typer.Option("--augment/--no-augment", help="Move, turn, flip pictures.")] = None,
    patience: Annotated[int, typer.Option(min=0, help="Stop after so many epochs without improvement; 0: don't.")] = 0,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write event files for TensorBoard.")] = False,
    wandb: Annotated[bool, typer.Option("--wandb", help="Send measurements to Weights & Biases.")] = False,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bits.")] = 0,
    name: Annotated[str | None, typer.Option(help="The run's name; data-model if not given.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's checkpoint.")] = False,
    runs_dir: Annotated[Path, typer.Option(help="Where the runs' folders are.")] = Path("runs"),
    workers: Annotated[int, typer.Option(min=0, help="Processes that load batches.")] = 0,
    debug: Debug = False,
) -> None:
    """Train a network on handwritten digits (or clothes), and leave curves and pictures to look at.

    Options that are not given are those of the network's recipe (minidl/train/recipes.py).
    """
    from minidl import random
    from minidl.train import recipes

    usual = recipes.recipe_of(model.value)
    recipe = usual.with_options(
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optimizer and optimizer.value,
        lr=lr,
        schedule=schedule and schedule.value,
        warmup=warmup,
        weight_decay=weight_decay,
        label_smoothing=label_smoothing,
        ema=ema,
        clip_norm=clip_norm,
        accumulate=accumulate,
        precision=precision and precision.value,
        augment=augment,
    )
    data, training, test = _pictures(data)
    folder = runs_dir / (name or f"{data.value}-{model.value}")
    random.manual_seed(seed)
    network = _network(model, training)
    trainer = recipes.make_trainer(
        network,
        recipe,
        training,
        test,
        data=data.value,
        seed=seed,
        folder=folder,
        callbacks=_callbacks(training.classes, patience, tensorboard, wandb),
        workers=workers,
    )
    _begin(trainer, resume)
    _say(
        f"{len(training):,} pictures to train {type(network).__name__} with, {len(test):,} to test it; on to {recipe.epochs}."
    )
    try:
        trainer.fit(recipe.epochs)
    except KeyboardInterrupt as stop:
        told = recipe.flags(beside=replace(usual, epochs=0, batch_size=0, lr=0.0))
        again = (f" --patience {patience}" if patience else "") + (" --tensorboard" if tensorboard else "")
        again += (" --wandb" if wandb else "") + (f" --name {name}" if name else "")
        way = f"minidl train mnist --data {data.value} --model {model.value}{told} --seed {seed}{again}"
        raise KeyboardInterrupt(
            f"{stop or 'Stopped at once: the last checkpoint stands.'} Go on with:\n  {way} --runs-dir {runs_dir} --resume"
        ) from None
    accuracy = f"{trainer.evaluation.accuracy:.2%}" if trainer.evaluation else ""
    _say(
        f"Done: test accuracy {accuracy}. Look at the pictures in {folder}: curves.png, confusion.png, mistakes.png"
        + (", filters.png" if (folder / "filters.png").exists() else "")
        + ". The weights are in model.safetensors; --epochs with a larger number and --resume trains on."
    )


def _callbacks(classes: Any, patience: int, tensorboard: bool, wandb: bool) -> list[Any]:
    from minidl.train import EarlyStopping, Metrics, Pictures, Progress, TensorBoard, WeightsAndBiases

    callbacks: list[Any] = [Progress(console), Metrics(), Pictures(classes)]
    callbacks += [EarlyStopping(patience)] if patience else []
    callbacks += [TensorBoard()] if tensorboard else []
    return callbacks + ([WeightsAndBiases()] if wandb else [])


def _say(text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)


def _begin(trainer: Any, resume: bool) -> None:
    if resume:
        if not trainer.checkpoint_path.exists():
            raise FileNotFoundError(
                f"there is nothing to resume: {trainer.checkpoint_path} does not exist. Train without --resume first, "
                "or name the run with --name and --runs-dir."
            )
        trainer.resume()
        _say(f"Going on from {trainer.checkpoint_path}: {trainer.epoch} epochs and {trainer.step} steps are done.")
        return
    if trainer.checkpoint_path.exists():
        _say(
            f"{trainer.folder} holds an earlier run: training starts afresh and replaces it (--resume goes on with it)."
        )
    trainer.folder.mkdir(parents=True, exist_ok=True)


def _pictures(data: Data) -> tuple[Data, Any, Any]:
    """The data that could be had, its training part and its test part."""
    from minidl.data import MNIST, Digits, FashionMNIST
    from minidl.data.download import DownloadError
    from minidl.data.transforms import ToTensor

    if data is not Data.digits:
        source = MNIST if data is Data.mnist else FashionMNIST
        try:
            return data, source(train=True, transform=ToTensor()), source(train=False, transform=ToTensor())
        except DownloadError as error:
            _say(f"{source.__name__} is not to be had here. {error}\nTraining on scikit-learn's small digits instead.")
    return Data.digits, Digits(train=True, transform=ToTensor()), Digits(train=False, transform=ToTensor())


def _network(model: Model, pictures: Any) -> Any:
    from minidl import models

    makers = {
        Model.convnet: models.ConvNet,
        Model.lenet5: models.LeNet5,
        Model.mlp: models.MLP,
        Model.convnet_bn: models.ConvNetBN,
        Model.resnet: models.resnet_small,
    }
    return makers[model](image_size=tuple(pictures.data.shape[1:]), classes=len(pictures.classes))


# ------------------------------------------------------------------------------------------------- the machine's speed


@bench.command("cpu")
@one_line_errors
def bench_cpu(
    against: Annotated[str | None, typer.Option(help="Also time 'torch', side by side.")] = None,
    backend: Annotated[str, typer.Option(help="Which kernels: numpy or numba.")] = "numpy",
    debug: Debug = False,
) -> None:
    """The time of training steps, beside PyTorch's with --against torch."""
    if against not in (None, "torch"):
        raise ValueError(f"--against knows 'torch' alone, not {against!r}")
    from minidl.bench import cpu

    cpu.run(against=against, backend=backend)


@bench.command("kernels")
@one_line_errors
def bench_kernels(
    rooms: Annotated[
        list[str] | None, typer.Argument(metavar="[KERNEL]...", help="Which kernels; all of them.")
    ] = None,
    backend_names: Annotated[
        str, typer.Option("--backends", help="Which backends, with commas; those that are not emulated.")
    ] = "",
    against: Annotated[str | None, typer.Option(help="Also time 'torch', side by side.")] = None,
    dtype: Annotated[str, typer.Option(help="float32, float16, bfloat16 or float64.")] = "float32",
    runs: Annotated[int, typer.Option(min=1, help="Measurements of each.")] = 15,
    save: Annotated[Path | None, typer.Option(help="Write the results here, as JSON.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Draw rooflines and times into this folder.")] = None,
    debug: Debug = False,
) -> None:
    """Every kernel on every backend, beside what this machine could do at best."""
    from minidl.bench import kernels as measuring
    from minidl.bench import plots as drawing
    from minidl.bench import results

    if dtype not in measuring.TOLERANCE:
        raise ValueError(f"--dtype knows {', '.join(measuring.TOLERANCE)}, not {dtype!r}")
    names = [name.strip() for name in backend_names.split(",") if name.strip()]
    with console.status("Measuring…") as status:
        say = lambda text: status.update(f"Measuring {text}…")
        found = measuring.run(rooms or (), names, against, dtype, runs, say=say)
    measuring.show(found, console)
    if save is not None:
        results.save(found, save)
        _say(f"The results are in {save}; compare with another run: minidl bench compare {save} OTHER.json")
    if plots is not None:
        _say("Look at " + ", ".join(str(path) for path in drawing.draw(found, plots)))


@bench.command("compare")
@one_line_errors
def bench_compare(
    before: Annotated[Path, typer.Argument(help="The earlier results.")],
    after: Annotated[Path, typer.Argument(help="The later results.")],
    debug: Debug = False,
) -> None:
    """What became faster or slower between two results."""
    from minidl.bench import results

    results.show_comparison(results.load(before), results.load(after), console)


@kernels.command("list")
@one_line_errors
def kernels_list(debug: Debug = False) -> None:
    """Which kernels there are, and for which backends."""
    from minidl.bench import pages

    pages.print_list(console)


@kernels.command("show")
@one_line_errors
def kernels_show(
    room: Annotated[str, typer.Argument(help="Which kernel: see minidl kernels list.")],
    backend: Annotated[str | None, typer.Option(help="Its file for one backend alone.")] = None,
    debug: Debug = False,
) -> None:
    """The mathematics, the cost and the sources of a kernel."""
    from minidl.bench import pages

    pages.print_page(room, backend, console)


@kernels.command("check")
@one_line_errors
def kernels_check(
    rooms: Annotated[
        list[str] | None, typer.Argument(metavar="[KERNEL]...", help="Which kernels; all of them.")
    ] = None,
    target: Annotated[list[str] | None, typer.Option(help="sm_80, sm_90; both if not given.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that one file may take.")] = 300.0,
    unfit: Annotated[bool, typer.Option("--unfit", help="Show only what is not fit to ship.")] = False,
    debug: Debug = False,
) -> None:
    """Compile every GPU kernel, without a GPU: registers, spilled bytes, shared memory."""
    from minidl.bench import pages

    with console.status("Compiling…") as status:
        found, wrong = pages.check(rooms or (), target or (), timeout, lambda text: status.update(f"Compiling {text}…"))
    pages.print_check([made for made in found if not (unfit and made.fit)], console)
    for sentence in wrong:
        errors.print(sentence, markup=False, style="red", soft_wrap=True)
    _say(f"{len(found)} configurations compiled; {len(wrong)} complaints.")
    if wrong:
        raise typer.Exit(1)


@app.command("profile", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
@one_line_errors
def profile_script(
    context: typer.Context,
    script: Annotated[Path, typer.Argument(help="A Python file; what follows it is handed on to it.")],
    sort: Annotated[str, typer.Option(help="total, self, bytes, calls or name.")] = "total",
    rows: Annotated[int, typer.Option(min=1, help="How many rows to show.")] = 30,
    by_line: Annotated[bool, typer.Option("--by-line", help="A row for each calling line.")] = False,
    trace: Annotated[Path | None, typer.Option(help="Write a Chrome trace here.")] = None,
    debug: Debug = False,
) -> None:
    """Run a script and say which operators took the time, and which lines called them. Options go before the script."""
    from minidl import profiler
    from minidl.utils.screen import print_wide

    if sort not in profiler.SORTS:
        raise ValueError(f"--sort knows {', '.join(profiler.SORTS)}, not {sort!r}")
    prof, ended = profiler.run_script(script, context.args)
    print_wide(console, prof.key_averages(by_line).rich_table(sort, rows), 120)
    if trace is not None:
        prof.export_chrome_trace(trace)
        _say(f"The trace is in {trace}: open it in chrome://tracing or https://ui.perfetto.dev")
    if isinstance(ended, SystemExit):
        raise typer.Exit(ended.code if isinstance(ended.code, int) else int(ended.code is not None))
    if ended is not None:
        raise ended


@app.command("race")
@one_line_errors
def race_backends(
    model: Annotated[Path, typer.Argument(help="A Python file with build(), which returns a function of one run.")],
    names: Annotated[str, typer.Option("--backends", help="Which backends, with commas; all that run here.")] = "",
    emulated: Annotated[bool, typer.Option("--emulated", help="Time emulated backends too.")] = False,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each backend.")] = 5,
    plot: Annotated[Path | None, typer.Option(help="Draw the roofline into this PNG file.")] = None,
    debug: Debug = False,
) -> None:
    """Run one graph on every backend, forward and backward: the answers checked, the times compared, operator by operator."""
    from minidl.bench import plots
    from minidl.inspect import race

    chosen = [name.strip() for name in names.split(",") if name.strip()] or None
    with console.status("Racing…") as status:
        say = lambda text: status.update(f"{text.capitalize()}…")
        found = race(_builder(model), chosen, runs, emulated, say=say)
    found.show(console)
    if plot is not None:
        _say(f"The roofline is in {plots.draw_race(found, plot)}")


def _builder(path: Path) -> Callable[[], Any]:
    """``build`` out of a Python file (or ``step``, if it has that alone)."""
    import runpy

    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r} with a model to race")
    sys.path.insert(0, str(path.resolve().parent))
    names = runpy.run_path(str(path), run_name="minidl_race")
    found = names.get("build") or names.get("step")
    if not callable(found):
        raise ValueError(
            f"{path} has no build(): define it to make a model and its data, and to return a function of no arguments that "
            "computes the loss, a Tensor"
        )
    return found


@app.command("backends")
@one_line_errors
def backends_table(debug: Debug = False) -> None:
    """Which backends run here, on what, and what the others need."""
    from rich.markup import escape
    from rich.table import Table

    from minidl import backends

    table = Table("backend", "here", "version", "device", "how it is emulated")
    rows = backends.table()
    for row in rows:
        table.add_row(row.name, row.state, row.version, escape(row.device), row.how)
    console.print(table)
    for row in rows:
        if row.remedy:
            _say(f"{row.name}: {row.missing}; to mend it: {row.remedy}")
    _say(f"In use: {backends.get_backend()} (choose with minidl.use_backend(name) or MINIDL_BACKEND=name).")


@app.command("doctor")
@one_line_errors
def doctor(debug: Debug = False) -> None:
    """What this machine has and can do, and what to change."""
    from minidl import doctor as physician

    physician.main()


# --------------------------------------------------------------------------------------------------------------- start

_SKYLAKE = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}


def faster_environment(environment: Any, cpuinfo: str) -> dict[str, str] | None:
    """The environment with OpenBLAS told to use its AVX-512 kernels, where the processor has them and nobody chose.

    OpenBLAS takes processors that it does not know for older ones; None if there is nothing to change.
    """
    flags = next((line.split(":", 1)[1].split() for line in cpuinfo.splitlines() if line.startswith("flags")), [])
    if "OPENBLAS_CORETYPE" in environment or not set(flags) >= _SKYLAKE:
        return None
    return {**environment, "OPENBLAS_CORETYPE": "SkylakeX"}


def main() -> None:
    """The ``minidl`` command. OpenBLAS chooses its kernels when NumPy is imported, so the choice needs a new start."""
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text()
    except OSError:
        cpuinfo = ""
    environment = faster_environment(os.environ, cpuinfo)
    if environment is not None:
        os.execve(sys.executable, [sys.executable, "-m", "minidl", *sys.argv[1:]], environment)
    app(prog_name="minidl")
