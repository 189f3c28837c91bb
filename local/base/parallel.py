"""One task for each of many items: on the cores of this machine, or on a Dask cluster."""

import concurrent.futures
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

from local.base.errors import UserError

ANSWER_SECONDS = 10  # time limit for a scheduler's answer
AHEAD = 3  # items for each process that wait for it
WHY = "a worker process died, perhaps for want of memory"
DIED = f"{WHY}; the same command continues; try fewer --jobs"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
IDLE_SECONDS = 20  # after which a worker without its parent (kill -9) ends


def results(
    task: Callable, items: Sequence, jobs: int | None = None, scheduler: str | None = None
) -> Iterator:
    """Yield ``task(item)`` for each item as it is done, in any order.

    Args:
        task: of an importable module, or a ``functools.partial`` of such: workers import it.
        items: what it is called with, one at a time.
        jobs: processes with one BLAS thread each; None: one per core; 1: this process.
        scheduler: address of a Dask scheduler, such as ``tcp://host:8786``; its workers do the
            work instead, whatever ``jobs`` says.

    Raises:
        UserError: no Dask, no answer from the scheduler, no worker, or workers
            that cannot import winnow; a worker that died.
    """
    if not items:
        return
    if scheduler:
        yield from _on_cluster(task, items, scheduler)
    else:
        yield from _on_cores(task, items, jobs)


def _on_cores(task, items, jobs):
    import joblib
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import BrokenProcessPool

    jobs = min(jobs or joblib.cpu_count(), len(items))
    if jobs == 1:
        yield from map(task, items)
        return
    if joblib.parallel.mp is None:
        raise UserError("there is no place for what processes share (/dev/shm is full or missing):"
                        " make room there, or take --jobs 1")  # fmt: skip
    with joblib.parallel_config(
        "loky", n_jobs=jobs, inner_max_num_threads=1, idle_worker_timeout=IDLE_SECONDS
    ):
        # one item per batch: each result arrives when it is there, and is not lost with others
        run = joblib.Parallel(return_as="generator_unordered", batch_size=1)
    try:
        yield from run(joblib.delayed(task)(item) for item in items)
    except BrokenProcessPool:
        raise UserError(DIED) from None
    except BaseException:  # what still runs is useless
        get_reusable_executor().shutdown(kill_workers=True)
        raise


def in_order(task: Callable, items: Iterable[tuple], jobs: int) -> Iterator:
    """Yield ``task(*item)`` for each item in order; of short ones a process gets many at once.

    Args:
        task: of an importable module.
        jobs: processes; 1: this process.

    Raises:
        UserError: a worker died.
    """
    import joblib
    from joblib.externals.loky.process_executor import BrokenProcessPool

    try:
        run = joblib.Parallel(jobs, return_as="generator")
        yield from run(joblib.delayed(task)(*item) for item in items)
    except BrokenProcessPool:
        raise UserError(f"{WHY}; free some and run the same command again") from None


def streamed(task: Callable, items: Iterable, jobs: int | None = None) -> Iterator:
    """``results`` of items that this process makes while others work: few are made in advance.

    Args:
        task, jobs: see ``results``.
        items: what it is called with, such as a generator.
    """
    import joblib
    from joblib.externals.loky import ProcessPoolExecutor
    from joblib.externals.loky.process_executor import BrokenProcessPool

    jobs = jobs or joblib.cpu_count()
    if jobs == 1:
        yield from map(task, items)
        return
    workers = ProcessPoolExecutor(jobs, timeout=IDLE_SECONDS, env=dict.fromkeys(THREADS, "1"))
    waiting = set()
    try:
        for item in items:
            waiting.add(workers.submit(task, item))
            if len(waiting) > AHEAD * jobs:
                done, waiting = concurrent.futures.wait(
                    waiting, return_when=concurrent.futures.FIRST_COMPLETED
                )
                yield from (future.result() for future in done)
        yield from (future.result() for future in concurrent.futures.as_completed(waiting))
        workers.shutdown()
    except BrokenProcessPool:
        raise UserError(DIED) from None
    except BaseException:  # what still runs is useless
        workers.shutdown(kill_workers=True)
        raise


def _on_cluster(task, items, address):
    """Dask itself, not joblib's backend for it: that one waits forever where a worker dies, and
    works in this process where the cluster has one thread."""
    try:
        import distributed
    except ModuleNotFoundError:
        raise UserError("--scheduler needs Dask: pip install 'winnow[cluster]'") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # its faults are handled below
    where = f"--scheduler {address}"
    try:
        distributed.comm.get_address_host_port(address)
        client = distributed.Client(address, timeout=ANSWER_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{where}: no Dask scheduler answers ({reason})") from None
    with client:
        if not client.ncores():
            raise UserError(f"{where}: it has no workers")

        def finds_winnow() -> bool:  # within a function, so that Dask sends the code itself
            import importlib.util

            return importlib.util.find_spec("local") is not None

        # a worker that cannot read its task would end, and the task wait for another for ever
        if not (client.run_on_scheduler(finds_winnow) and all(client.run(finds_winnow).values())):
            raise UserError(f"{where}: its scheduler and workers cannot import winnow; start them"
                            " in this checkout, with PYTHONPATH=.")  # fmt: skip
        try:
            for future in distributed.as_completed(
                client.map(task, items, pure=False), loop=client.loop
            ):
                yield future.result()
        except (distributed.KilledWorker, concurrent.futures.CancelledError) as error:
            raise UserError(f"{where}: its workers died or the connection was lost"
                            f" ({type(error).__name__}); the same command continues"
                            ) from None  # fmt: skip
