"""The service over HTTP."""

import base64
import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from drfm.gallery.torch_engine import load_encoder
from drfm.serving.web import MAX_UPLOAD, is_local


def search(client, body, **given):
    answer = client.post("/api/search", params=given, content=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_answer_is_ranked_and_judged_like_brute_force(client, service, bundle, crops, blurry, pixels):
    told = search(client, blurry, k=4)
    encoder = load_encoder(bundle.folder, "cpu")
    files = [str(crops / f"{person}-0.png") for person in range(6)]
    expected = encoder.encode(files) @ encoder.encode(pixels)[0]
    best = sorted(range(6), key=lambda row: -expected[row])[:4]
    assert [line["path"] for line in told["results"]] == [files[row] for row in best]
    assert [line["rank"] for line in told["results"]] == [1, 2, 3, 4]
    for line, row in zip(told["results"], best, strict=True):
        assert line["similarity"] == pytest.approx(expected[row], abs=2e-6)
        value = expected[row]
        assert line["verdict"] == (
            "likely" if value >= 0.9 else "possible" if value >= 0.5 else "no evidence"
        )
    assert (told["height"], told["width"]) == pixels.shape[:2]


def test_a_crop_below_the_evidence_is_warned_of_and_gets_no_verdict(client):
    file = io.BytesIO()
    Image.new("RGB", (12, 30), (90, 40, 20)).save(file, "PNG")
    told = search(client, file.getvalue())
    assert "below 48 rows" in told["warning"]
    assert {line["verdict"] for line in told["results"]} == {"no evidence"}
    assert told["resolution"] == "lr"


def test_without_a_calibration_it_says_so(client, service, blurry):
    service.encoder.record = {**service.encoder.record, "calibration": None}
    told = search(client, blurry)
    assert {line["verdict"] for line in told["results"]} == {"not calibrated"}
    assert "not calibrated" in told["warning"]
    about = client.get("/api/about").json()
    assert (about["timed"], about["tracks"]) == (6, 3)
    assert (about["calibrated"], about["labelled"], about["rates"]) == (False, False, None)


@pytest.mark.parametrize(
    ("given", "persons"),
    [
        ({"camera": "yard"}, {1, 3, 5}),
        ({"camera": ["yard", "door"], "since": "2026-05-01T12:04:00+00:00"}, {4, 5}),
        ({"until": "2026-05-01T12:01:00"}, {0}),
        ({"person": "Anna <b>"}, {0}),
        ({"field": "colour=red"}, {0, 1}),
        ({"track": "door-2"}, {4, 5}),
        ({"camera": "roof"}, set()),
    ],
)
def test_filters(client, blurry, given, persons):
    told = search(client, blurry, **given)
    assert {int(line["path"].split("/")[-1][0]) for line in told["results"]} == persons


def test_one_image_a_track(client, blurry):
    tracks = [line["track"] for line in search(client, blurry, one_per_track=True)["results"]]
    assert sorted(tracks) == ["door-0", "door-1", "door-2"]


def test_a_search_can_be_repeated_with_another_filter_without_sending_the_crop_again(client, blurry):
    first = search(client, blurry)
    second = search(client, b"", query=first["query"], camera="yard")
    assert second["sha256"] == first["sha256"]
    assert len(second["results"]) == 3
    assert client.get(f"/api/queries/{second['query']}").json() == second


@pytest.mark.parametrize(
    ("given", "body", "message"),
    [
        ({}, b"", "give an image"),
        ({}, b"GIF89a....", "is not an image"),
        ({"k": 0}, b"x", "greater than"),
        ({"k": 201}, b"x", "less than"),
        ({"since": "noon"}, b"x", "ISO 8601"),
        ({"field": "red"}, b"x", "NAME=VALUE"),
        ({"query": "0" * 32}, b"", "not in memory"),
        ({"query": "0" * 32}, b"x", "or the query"),
    ],
)
def test_what_is_refused_and_how(client, given, body, message):
    answer = client.post("/api/search", params=given, content=body)
    assert answer.status_code in (400, 404, 422)
    assert message in answer.text
    assert "Traceback" not in answer.text


def test_large_uploads_and_large_pictures_are_refused(client):
    assert "above the limit" in client.post("/api/search", content=bytes(MAX_UPLOAD + 1)).text
    header = io.BytesIO()
    Image.new("1", (9000, 9000)).save(header, "PNG")
    answer = client.post("/api/search", content=header.getvalue())
    assert answer.status_code == 400
    assert "megapixels" in answer.text


def test_images_are_those_of_the_catalogue_and_no_other_file(client, service, crops):
    ids, items, _ = service.store.page(0, 10)
    answer = client.get(f"/api/images/{ids[0]}")
    assert answer.headers["content-type"] == "image/jpeg"
    shown, file = Image.open(io.BytesIO(answer.content)), Image.open(items[0].path)
    assert shown.size == file.size
    for name in (0, -1, max(ids) + 1, 2**70, "../../etc/passwd", "%2e%2e%2fsecret", str(crops / "0-0.png")):
        assert client.get(f"/api/images/{name}").status_code in (400, 404, 422), name


def test_an_image_whose_file_is_gone_is_one_line(client, service, tmp_path):
    from drfm.gallery.items import Item

    added = service.store.add([Item(str(tmp_path / "gone.png"))], service.store.vectors([1]))
    try:
        answer = client.get(f"/api/images/{added[0]}")
        assert answer.status_code == 400
        assert "no such file" in answer.json()["error"]
    finally:
        from drfm.gallery.items import Filter

        service.store.remove(Filter(path=(str(tmp_path / "gone.png"),)))


def test_the_twin_is_the_one_that_the_encoder_compares(client, service, blurry, pixels):
    told = search(client, blurry)
    expected = service.encoder.pairs([pixels], [told["resolution"]])
    shown = Image.open(io.BytesIO(client.get(f"/api/queries/{told['query']}/twin").content))
    want = expected.hr[0] if told["resolution"] == "lr" else expected.lr[0]
    assert np.array_equal(np.asarray(shown), want)
    crop = Image.open(io.BytesIO(client.get(f"/api/queries/{told['query']}/image").content))
    assert np.array_equal(np.asarray(crop), pixels)


def test_why_shows_both_sides(client, blurry):
    told = search(client, blurry, k=2)
    why = client.get(f"/api/queries/{told['query']}/why/{told['results'][0]['image']}").json()
    assert set(why) == {"query", "match"}
    for side in why.values():
        assert [view["space"] for view in side] == ["hr", "lr"]
        assert sum(view["made"] for view in side) == 1
        for view in side:
            plain, lit = (Image.open(io.BytesIO(base64.b64decode(view[key]))) for key in ("image", "map"))
            assert plain.size == lit.size
    other = {1, 2, 3, 4, 5, 6} - {line["image"] for line in told["results"]}
    assert client.get(f"/api/queries/{told['query']}/why/{other.pop()}").status_code == 404


def test_marks_are_kept_and_the_last_word_counts(client, service, blurry):
    told = search(client, blurry)
    address, image = f"/api/queries/{told['query']}", told["results"][0]["image"]
    for mark in ("wrong", "right"):
        assert client.post(f"{address}/marks", json={"image": image, "mark": mark}).status_code == 200
    assert client.get(address).json()["results"][0]["mark"] == "right"
    lines = [json.loads(line) for line in (service.records.folder / "marks.jsonl").read_text().splitlines()]
    assert [line["mark"] for line in lines] == ["wrong", "right"]
    assert client.post(f"{address}/marks", json={"image": image, "mark": "maybe"}).status_code == 422
    assert client.post(f"{address}/marks", json={"image": 999, "mark": "right"}).status_code == 404


def test_exports_hold_what_was_shown(client, blurry):
    told = search(client, blurry, camera="door")
    address = f"/api/queries/{told['query']}"
    client.post(f"{address}/marks", json={"image": told["results"][1]["image"], "mark": "wrong"})
    exported = client.get(f"{address}/export.json").json()
    assert exported["filter"] == {"camera": ["door"]}
    assert "personal data" in exported["notice"]
    rows = list(csv.DictReader(io.StringIO(client.get(f"{address}/export.csv").content.decode("utf-8-sig"))))
    assert [row["path"] for row in rows] == [line["path"] for line in exported["results"]]
    assert [row["mark"] for row in rows] == ["none", "wrong", "none"]
    assert {row["field colour"] for row in rows} == {"red", ""}
    assert client.get(f"{address}/export.exe").status_code == 404


def test_every_search_is_logged_without_its_image(client, service, blurry):
    told = search(client, blurry, k=2, camera="yard")
    lines = [json.loads(line) for line in (service.records.folder / "queries.jsonl").read_text().splitlines()]
    assert [line["query"] for line in lines] == [told["query"]]
    assert lines[0]["results"] == told["results"]
    assert lines[0]["bundle"] == service.encoder.id
    assert sorted(path.name for path in service.records.folder.iterdir()) == ["queries.jsonl"]


def test_health_and_metrics(client, blurry):
    assert client.get("/health").json() == {"status": "ok", "images": 6}
    search(client, blurry)
    text = client.get("/metrics").text
    assert "drfm_gallery_images 6\n" in text
    assert "drfm_search_seconds_count 1\n" in text
    assert 'drfm_requests_total{method="POST",status="200"} 1\n' in text
    for line in text.splitlines():
        assert line.startswith("# ") or float(line.rsplit(" ", 1)[1]) >= 0


def test_the_schema_names_every_door(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/api/search", "/api/images/{image}", "/api/queries/{query}/why/{image}", "/metrics"} <= set(
        paths
    )
    assert client.get("/docs").status_code == 404


def test_the_page_asks_nobody_else(client):
    for name in ("/", "/page.css", "/page.js", "/icon.svg"):
        answer = client.get(name)
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        text = answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text
        assert "https:" not in text
    page = client.get("/").text
    assert "style=" not in page
    assert "onclick=" not in page
    assert "innerHTML" not in client.get("/page.js").text


def test_foreign_hosts_and_origins_are_refused(client, blurry):
    assert client.get("/health", headers={"host": "evil.example"}).status_code == 403
    assert client.get("/health", headers={"host": "[::1]:8620"}).status_code == 200
    for origin, status in (("http://evil.example", 403), ("null", 403), ("http://localhost", 200)):
        assert client.post("/api/search", content=blurry, headers={"origin": origin}).status_code == status


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("host.example", False)],
)
def test_which_addresses_are_of_this_machine_alone(host, local):
    assert is_local(host) is local
