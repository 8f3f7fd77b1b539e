"""What the batcher process does once there are batches: engine, dispatcher and rounds until it is told to stop."""

import asyncio
import logging
import threading

from api.processes import logs
from api.processes.orders import Order
from api.serving.upstream_keys import UpstreamKeys
from api.settings import environment
from router.batching.anthropic_batches import AnthropicBatches
from router.batching.batch_api import BatchApi
from router.batching.batcher import Batcher
from router.batching.groups import Pace
from router.batching.openai_batches import OpenAIBatches
from router.batching.outbox import OutboxRecorder
from router.clock import machine_clock
from router.deciding.signing import load_signer
from router.engine import Engine
from router.transport.aiohttp_courier import AiohttpCourier
from router.transport.aiohttp_transport import AiohttpTransport
from router.upstream.dispatch import Dispatcher
from storage.errors import StoreError
from storage.open import open_store
from storage.spool.spool import Spool
from storage.store import Store

CLAIM_MS = 30_000
IDLE_S = 1.0
_log = logging.getLogger("pointsman.batches")


def work(order: Order, spool: Spool, redaction: logs.Redaction, stop: threading.Event) -> None:
    """Work until `stop` is set, or until another process has this one's worker number."""
    store = open_store(order.settings.store)
    number = store.claim_worker(order.holder, machine_clock(), CLAIM_MS)
    engine = Engine(store, load_signer(order.settings.store, order.settings.signing_key_text), number)
    recorder = OutboxRecorder(store, machine_clock)
    engine.recorder = recorder
    keys = UpstreamKeys(engine, environment())
    redaction.add(keys.secrets())
    threading.Thread(
        target=_keep_number, args=(store, order.holder, number, stop), name="pointsman-claim", daemon=True
    ).start()
    try:
        asyncio.run(_rounds(order, spool, engine, recorder, keys, redaction, stop))
    finally:
        engine.close()
        store.close()
        spool.close()


async def _rounds(
    order: Order, spool: Spool, engine: Engine, recorder: OutboxRecorder, keys: UpstreamKeys,
    redaction: logs.Redaction, stop: threading.Event,
) -> None:  # fmt: skip
    transport, courier = AiohttpTransport(), AiohttpCourier()
    dispatcher = Dispatcher(engine, transport, keys)
    pace = Pace(poll_s=order.settings.batch_poll_s)
    apis: dict[str, BatchApi] = {
        "openai": OpenAIBatches(courier),
        "anthropic": AnthropicBatches(courier),
    }
    batcher = Batcher(spool, engine, recorder, dispatcher, apis, keys, order.holder, pace)
    known = engine.snapshot
    try:
        while not stop.is_set():
            if engine.snapshot is not known:
                known = engine.snapshot
                redaction.add(keys.secrets())
            await asyncio.sleep(pace.round_s if await _round(batcher) else IDLE_S)
    finally:
        await batcher.close()
        await courier.close()
        await transport.close()
        await asyncio.to_thread(batcher.release)


async def _round(batcher: Batcher) -> int:
    try:
        return await batcher.round()
    except StoreError as error:
        _log.warning("batches wait: %s", error)
        return 0


def _keep_number(store: Store, holder: str, number: int, stop: threading.Event) -> None:
    """Renew the worker number, without which decision numbers would not be unique; end when it is lost."""
    while not stop.wait(CLAIM_MS / 3_000):
        try:
            renewed = store.claim_worker(holder, machine_clock(), CLAIM_MS)
        except StoreError as error:
            _log.warning("worker number %d was not renewed: %s", number, error)
            continue
        if renewed != number:
            _log.error("worker number %d went to another process; starting anew", number)
            stop.set()
            return
