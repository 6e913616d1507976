"""/metrics for Prometheus, on a port of loopback only."""

from collections.abc import Callable, Iterator

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from signaling.counters import COUNTERS, Counters


class _Collector:
    """Reads our own integers when it is asked."""

    def __init__(self, counters: Counters, gauges: dict[str, tuple[str, Callable[[], int]]]) -> None:
        self._counters = counters
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        for name, (help_, label) in COUNTERS.items():
            family = CounterMetricFamily(f"ringline_{name}", help_, labels=[label] if label else None)
            for value, count in (self._counters.of(name) or ({} if label else {"": 0})).items():
                family.add_metric([value] if label else [], count)
            yield family
        for name, (help_, read) in self._gauges.items():
            yield GaugeMetricFamily(f"ringline_{name}", help_, value=read())


def metrics_app(counters: Counters, gauges: dict[str, tuple[str, Callable[[], int]]]) -> web.Application:
    """GET /metrics: `counters`, `gauges` (name -> help and reader), and those of the process."""
    registry = CollectorRegistry()
    registry.register(_Collector(counters, gauges))
    ProcessCollector(registry=registry)

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/metrics", answer)
    return app
