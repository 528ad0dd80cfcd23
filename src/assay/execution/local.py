"""Run tasks on this machine: in this process (`InProcess`) or in worker processes (`Workers`).

Also choose the device on which networks compute, and keep memory that a step freed for the next one.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.resource_tracker import ensure_running
from pathlib import Path
from types import ModuleType

from assay.core.errors import FullError, SpecError
from assay.core.request import DEVICES, is_device
from assay.execution.tasks import (
    Context,
    Event,
    Executor,
    Job,
    Observer,
    Outcome,
    Queue,
    Stopped,
    Task,
    describe,
    fail_task,
    finish_task,
)

# Where networks compute: chosen when a study is run, recorded next to its records, and part of no spec and no hash.

PROCESSOR = "cpu"
WORKERS_PER_GPU = 4
"""Trials wait for the processor before and after their steps, and some in each step, so a few processes share a GPU
well; each holds a context of about half a GB there."""


def choose_device(requested: str) -> str:
    """`cpu` or `cuda:N`. `auto` is the first GPU that torch sees, else the processor.

    Raises:
        SpecError: For a word that names no device, and for a missing GPU, with the available devices.
    """
    if not is_device(requested):
        raise SpecError(f"device '{requested}': expected {DEVICES}")
    if requested == PROCESSOR:
        return PROCESSOR
    devices = _gpus()
    if requested == "auto":
        return "cuda:0" if devices else PROCESSOR
    number = int(requested.partition(":")[2] or 0)
    if number >= len(devices):
        import torch

        devices_text = ", ".join([PROCESSOR, *(f"cuda:{n} ({name})" for n, name in enumerate(devices))])
        listing = f"torch {torch.__version__} sees {devices_text}"
        raise SpecError(f"device '{requested}' is not there: {listing}; choose one of these, or auto")
    return f"cuda:{number}"


def planning_device(device: str) -> str:
    """Return the device to plan on: the processor where tasks are for a GPU that is not on this machine."""
    return device if device == PROCESSOR or _gpus() else PROCESSOR


def device_name(device: str) -> str:
    """Name of a device in records: `cpu`, or `cuda:0 (NVIDIA H200)`."""
    if device == PROCESSOR:
        return device
    import torch

    return f"{device} ({torch.cuda.get_device_name(device)})"


@contextmanager
def computing_on(device: str) -> Generator[None]:
    """A GPU computes float32 in float32 and chooses the same kernels each time; for the processor nothing is changed.

    The workspace of cuBLAS is fixed for the rest of the process, since the library reads it once.
    """
    if device == PROCESSOR:
        yield
        return
    import torch

    from assay.models.weights import deterministic

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    try:
        with exact, deterministic(torch.get_num_threads()):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


def _gpus() -> list[str]:
    """Return the names of the GPUs that torch can use."""
    import torch

    if not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]


# Keeping freed memory: a training step frees its activations and asks for them again.
#
# glibc would give each large block back to the system, which zeroes it again: a fifth of the time of a step.

KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**32)}
"""Environment variables that make a new process keep freed memory."""
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # glibc's names for the same in a process that has begun


@contextmanager
def keep_freed_memory() -> Generator[None]:
    """Make this process keep freed memory, as workers do, where its C library allows it; afterward it keeps no more
    than glibc grows to by itself.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        yield
        return
    mallopt(_MMAP_THRESHOLD, 2**30)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        mallopt(_MMAP_THRESHOLD, 2**25)
        mallopt(_TRIM_THRESHOLD, 2**26)


# Worker processes of a fixed number of threads: hired, given jobs, heard, asked to stop, dismissed.
#
# They need pipes alone. The locks and events of `multiprocessing` are semaphores in shared memory, which some
# containers and clusters do not let a process make.

REPORT_EVERY = 0.25
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""A terminal and a scheduler send them to the whole process group; the parent acts on them."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Stop:
    """Asks all workers to stop: a pipe that nobody reads, so each worker sees a signal that is sent once."""

    def __init__(self) -> None:
        self.workers_end, self._ours = multiprocessing.get_context("spawn").Pipe(duplex=False)
        self._set = False

    def set(self) -> None:
        """Ask. May be called within a signal handler, and again."""
        if not self._set:
            self._set = True
            self._ours.send_bytes(b"stop")

    def is_set(self) -> bool:
        """Return whether workers were asked."""
        return self._set

    def close(self) -> None:
        """Free the pipe once the workers are gone."""
        self._ours.close()
        self.workers_end.close()


@dataclass
class Worker:
    """A worker process, the pipe to it, and its current task."""

    process: SpawnProcess
    pipe: Connection
    task: Task | None = None

    def receive(self) -> object:
        """Return its next message; None when it is dead."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            return None

    def exit_code(self) -> int | None:
        """How it ended; None where it has not."""
        self.process.join(5)
        return self.process.exitcode


class WorkerPool:
    """The worker processes: idle ones are used again, dead ones are replaced."""

    def __init__(self, threads: int, stop: Stop) -> None:
        self.threads = threads
        self.stop = stop
        self.busy: list[Worker] = []
        self.idle: list[Worker] = []
        self.killed = False

    def assign(self, task: Task, job: bytes) -> None:
        """Hand a pickled job to an idle worker that lives, else to a new one."""
        worker = self._send_to_idle(job)
        if worker is None:
            worker = self._start_worker()
            with suppress(OSError):  # one that is dead already is heard of as such
                worker.pipe.send_bytes(job)
        worker.task = task
        self.busy.append(worker)

    def _send_to_idle(self, job: bytes) -> Worker | None:
        while self.idle:
            worker = self.idle.pop()
            try:
                worker.pipe.send_bytes(job)
            except OSError:  # it died while it waited
                worker.pipe.close()
                continue
            return worker
        return None

    def ready(self) -> list[Worker]:
        """Busy workers that have something to say, after at most a second."""
        pipes = wait([worker.pipe for worker in self.busy], timeout=1.0)
        return [worker for worker in self.busy if worker.pipe in pipes]

    def release(self, worker: Worker) -> None:
        """Its task is over."""
        self.busy.remove(worker)
        worker.task = None
        if worker.process.is_alive():
            self.idle.append(worker)

    def kill(self) -> None:
        """End all of them at once."""
        self.killed = True
        for worker in (*self.busy, *self.idle):
            worker.process.kill()

    def shut_down(self) -> None:
        """Let all of them end, and end those that do not."""
        for worker in (*self.busy, *self.idle):
            worker.pipe.close()
        for worker in (*self.busy, *self.idle):
            worker.process.join(5)
            if worker.process.is_alive():
                worker.process.kill()

    def _start_worker(self) -> Worker:
        context = multiprocessing.get_context("spawn")
        pipe, worker_pipe = context.Pipe()
        process = context.Process(target=_worker_main, args=(worker_pipe, self.stop.workers_end), daemon=True)
        variables = {
            **dict.fromkeys(THREAD_VARIABLES, str(self.threads)),
            **KEEP_MEMORY,
            "PYTHONSAFEPATH": "1",
        }  # until it has the path of this process
        with _environment(variables), _blocked_signals(), _without_script():
            process.start()
        worker_pipe.close()
        return Worker(process, pipe)


@contextmanager
def _without_script() -> Generator[None]:
    """Start processes that do not run the user's script again: a spawned process imports the main module otherwise.

    Jobs name nothing of the main module (`registry.lookup` refuses it), so that scripts need no main guard.
    """
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _worker_main(pipe: Connection, stop: Connection) -> None:
    """Main loop of a worker process until its pipe closes."""
    from assay.core.terminal import visible_outputs

    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the parent handles it
    _die_with_parent()
    last_report = 0.0

    def report(share: float, text: str) -> None:
        nonlocal last_report
        now = time.monotonic()
        if now - last_report >= REPORT_EVERY or share >= 1:
            last_report = now
            pipe.send(("progress", float(share), text))

    while True:
        try:
            content = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        start = time.monotonic()
        try:
            job: Job = pickle.loads(content)
            with visible_outputs():
                job(Context(report, stop.poll))
        except Stopped:
            pipe.send(("stopped",))
        except FullError as error:
            pipe.send(("full", str(error)))
        except (Exception, SystemExit) as error:  # own code that calls sys.exit fails its trial alone
            pipe.send(("failed", describe(error), time.monotonic() - start))
        else:
            pipe.send(("done", time.monotonic() - start))


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _environment(values: dict[str, str]) -> Generator[None]:
    """Variables that a child process inherits: thread pools read them once, when they are first loaded."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _blocked_signals() -> Generator[None]:
    """Signals wait: a process that is started meanwhile has them blocked until it ignores them."""
    ensure_running()  # this helper of multiprocessing unblocks signals when it begins, else with the first process
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# Running tasks on this machine: in this process, or in worker processes of one thread each.


@dataclass
class InProcess:
    """Runs tasks one after another in this process. For tests, debugging and notebooks.

    Attributes:
        stop_file: A file whose presence asks the run to stop.
    """

    stop_file: Path | None = None

    def run(self, tasks: Sequence[Task], observe: Observer) -> Outcome:
        """See `Executor`. An interrupt ends the run with `stopped`."""
        queue, outcome = Queue.of(tasks), Outcome()
        _clear_stop_file(self.stop_file)
        while (task := queue.take()) is not None:
            observe(Event("started", task))
            start = time.monotonic()
            try:
                task.job(Context(_reporter(task, observe), lambda: _stop_requested(self.stop_file)))
            except (KeyboardInterrupt, Stopped):
                outcome.stopped = True
                break
            except FullError:
                raise
            except (Exception, SystemExit) as error:
                fail_task(queue, outcome, observe, task, describe(error), time.monotonic() - start)
                continue
            finish_task(queue, outcome, observe, task, time.monotonic() - start)
        return outcome


@dataclass
class Workers:
    """Runs tasks in `count` worker processes with `threads` threads each.

    The first interrupt lets every job leave a checkpoint and stop, the second ends the workers at once. A worker that
    dies is replaced and its task tried once more; workers end when this process dies.

    Attributes:
        on_interrupt: Is called at the first interrupt, within a signal handler.
        stop_file: A file whose presence is as the first interrupt, from anywhere.
    """

    count: int
    threads: int = 1
    on_interrupt: Callable[[], None] | None = None
    stop_file: Path | None = None
    _died: set[str] = field(default_factory=set[str], init=False)

    def run(self, tasks: Sequence[Task], observe: Observer) -> Outcome:
        """See `Executor`."""
        self._died.clear()
        _clear_stop_file(self.stop_file)
        queue, outcome = Queue.of(tasks), Outcome()
        stop = Stop()
        pool = WorkerPool(self.threads, stop)

        def interrupt() -> None:
            if stop.is_set():
                pool.kill()
            elif self.on_interrupt is not None:
                self.on_interrupt()
            stop.set()

        try:
            with on_signals(STOP_SIGNALS, interrupt):
                self._loop(queue, outcome, observe, pool, stop)
        except FullError:
            pool.kill()
            raise
        finally:
            pool.shut_down()
            stop.close()
        outcome.stopped = stop.is_set() and bool(queue.waiting or outcome.stopped)
        return outcome

    def _loop(self, queue: Queue, outcome: Outcome, observe: Observer, pool: WorkerPool, stop: Stop) -> None:
        while True:
            while len(pool.busy) < self.count and not stop.is_set() and (task := queue.take()) is not None:
                try:
                    job = pickle.dumps(task.job)
                except Exception as error:
                    fail_task(queue, outcome, observe, task, f"this job cannot be sent: {describe(error)}", 0.0)
                    continue
                pool.assign(task, job)
                observe(Event("started", task))
            if not pool.busy:
                return
            if not stop.is_set() and _stop_requested(self.stop_file):
                stop.set()
                if self.on_interrupt is not None:
                    self.on_interrupt()
            for worker in pool.ready():
                self._hear(worker, queue, outcome, observe, pool)

    def _hear(self, worker: Worker, queue: Queue, outcome: Outcome, observe: Observer, pool: WorkerPool) -> None:
        task = worker.task
        if task is None:
            return
        message = worker.receive()
        match message:
            case ("progress", float(share), str(text)):
                observe(Event("progress", task, share, text))
                return
            case ("done", float(seconds)):
                finish_task(queue, outcome, observe, task, seconds)
            case ("stopped",):
                outcome.stopped = True
            case ("full", str(text)):
                raise FullError(text)
            case ("failed", str(text), float(seconds)):
                fail_task(queue, outcome, observe, task, text, seconds)
            case _:
                if pool.killed:
                    outcome.stopped = True
                elif task.id not in self._died:
                    self._died.add(task.id)
                    queue.again(task.id)
                else:
                    fail_task(queue, outcome, observe, task, _end_words(worker.exit_code()), 0.0)
        pool.release(worker)


def _end_words(exit_code: int | None) -> str:
    """Return why a worker process that ended twice did so, as far as its exit code tells; signals are negative."""
    if exit_code is None or exit_code < 0:
        how = f"by signal {-exit_code}" if exit_code else "without an exit code"
        return f"the worker process ended twice, last {how} (out of memory, or killed)"
    return f"the worker process ended twice, last with exit code {exit_code}; if an error caused it, it stands above"


def _stop_requested(path: Path | None) -> bool:
    return path is not None and path.exists()


def _clear_stop_file(path: Path | None) -> None:
    if path is not None:
        path.unlink(missing_ok=True)


def _reporter(task: Task, observe: Observer) -> Callable[[float, str], None]:
    def report(share: float, text: str) -> None:
        observe(Event("progress", task, share, text))

    return report


@contextmanager
def on_signals(numbers: Sequence[signal.Signals], callback: Callable[[], object]) -> Generator[None]:
    """Call a function at each of these signals, where they arrive: in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handler_of_signal(_signal: int, _frame: object) -> None:
        callback()

    before = {number: signal.signal(number, handler_of_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# Executors of a study's tasks: this process, or as many workers as suit the machine.


def executor_for(
    workers: int | None, device: str, on_interrupt: Callable[[], None] | None = None, stop_file: Path | None = None
) -> tuple[Executor, int]:
    """Executor of the tasks, and the number of workers: by default as suits the device; with 0 this process alone.

    Args:
        workers: Their number.
        device: The device.
        on_interrupt: Is called at the first interrupt.
        stop_file: A file whose presence asks the run to stop.
    """
    if workers == 0:
        return InProcess(stop_file), 1
    count = workers or default_workers(device)
    return Workers(count, on_interrupt=on_interrupt, stop_file=stop_file), count


def default_workers(device: str = PROCESSOR) -> int:
    """As many as this process may use cores; on a GPU not more than `WORKERS_PER_GPU`."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return cores if device == PROCESSOR else min(cores, WORKERS_PER_GPU)
