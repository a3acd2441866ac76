"""Counts and times of a service in the text format that Prometheus reads."""

import threading
from collections import Counter

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper ends, in seconds."""


class Metrics:
    """Counters of one service since it started; any thread may count."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._marks: Counter[str] = Counter()
        self._times: Counter[float] = Counter()
        self._count, self._seconds = 0, 0.0

    def answered(self, method: str, status: int) -> None:
        """A request was answered."""
        with self._turn:
            self._requests[method, status] += 1

    def marked(self, mark: str) -> None:
        """An answer was marked."""
        with self._turn:
            self._marks[mark] += 1

    def searched(self, seconds: float) -> None:
        """A search was answered after so many seconds."""
        with self._turn:
            self._count += 1
            self._seconds += seconds
            self._times.update(bound for bound in BUCKETS if seconds <= bound)

    def text(self, images: int) -> str:
        """All of it, and the number of images in the gallery."""
        with self._turn:
            lines = [
                *_head("drfm_gallery_images", "gauge", "Images in the gallery."),
                f"drfm_gallery_images {images}",
                *_head("drfm_requests_total", "counter", "Requests that were answered."),
                *(
                    f'drfm_requests_total{{method="{method}",status="{status}"}} {count}'
                    for (method, status), count in sorted(self._requests.items())
                ),
                *_head("drfm_marks_total", "counter", "Answers that were marked."),
                *(f'drfm_marks_total{{mark="{mark}"}} {n}' for mark, n in sorted(self._marks.items())),
                *_head("drfm_search_seconds", "histogram", "Time from a decoded crop to its answer."),
                *(f'drfm_search_seconds_bucket{{le="{bound}"}} {self._times[bound]}' for bound in BUCKETS),
                f'drfm_search_seconds_bucket{{le="+Inf"}} {self._count}',
                f"drfm_search_seconds_sum {self._seconds:.6f}",
                f"drfm_search_seconds_count {self._count}",
            ]
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
