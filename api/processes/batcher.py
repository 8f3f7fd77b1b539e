"""The batcher process, which the supervisor starts where batches have a folder.

It loads what calls models only once there is a batch to work on; until then it looks once in a while and costs
next to nothing.
"""

import signal
import threading
from pathlib import Path

from api.processes import logs, orders
from api.processes.orders import Order
from storage.errors import StoreError
from storage.spool.spool import Spool, spool_path

LOOK_S = 1.0


def work(order: Order) -> None:
    """Work until SIGTERM, or until the supervisor is gone."""
    redaction = logs.Redaction([order.settings.signing_key_text or ""])
    logs.set_up(order.name, redaction)
    stop = threading.Event()

    def end(*_: object) -> None:
        """Stop from another thread: this one may hold the event's lock when the signal comes."""
        threading.Thread(target=stop.set, name="pointsman-stop").start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    orders.when_orphaned(order, end)
    folder = spool_path(order.settings.store, order.settings.batch_spool)
    assert folder is not None, "the supervisor starts a batcher only where there is a folder"
    if wait_for_work(folder, stop):
        from api.processes import batch_work

        batch_work.work(order, Spool(folder), redaction, stop)


def wait_for_work(folder: Path, stop: threading.Event) -> bool:
    """Wait until there is a batch; False when told to stop before."""
    spool: Spool | None = None
    while not stop.wait(LOOK_S):
        if spool is None and not folder.exists():
            continue
        try:
            spool = spool or Spool(folder)
            with spool.reading() as connection:
                (many,) = connection.execute("SELECT COUNT(*) FROM batches").fetchone()
        except StoreError:
            continue
        if many:
            spool.close()
            return True
    return False
