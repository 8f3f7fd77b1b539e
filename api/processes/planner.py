"""The planner process, the only one that loads the statistics: it ticks the experiments and renders their reports."""

import signal
import threading

from api.processes import logs, orders
from api.processes.orders import Order
from router.clock import machine_clock
from router.steering.planner import run_forever
from storage.open import open_store


def work(order: Order) -> None:
    """Plan until SIGTERM, or until the supervisor is gone."""
    logs.set_up(order.name, logs.Redaction([order.settings.signing_key_text or ""]))
    stop = threading.Event()

    def end(*_: object) -> None:
        """Stop from another thread: this one may hold the event's lock when the signal comes."""
        threading.Thread(target=stop.set, name="pointsman-stop").start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    orders.when_orphaned(order, stop.set)
    store = open_store(order.settings.store)
    run_forever(store, order.holder, machine_clock, stop, order.settings.planner_interval_s)
    store.close()
